"""Commands: enqueue, kill, restart, remove."""
