"""Past jobs, from the journal."""
