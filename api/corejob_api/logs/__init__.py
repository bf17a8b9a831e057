"""The logs of jobs."""
