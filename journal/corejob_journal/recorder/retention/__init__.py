"""Delete past jobs that exceed the retention policy."""
