"""Write the recorder's knowledge into CoreJobs and CoreJobTemplates."""
