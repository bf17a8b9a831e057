"""``python -m tests.demo``: shows what the running service does, with the example job."""
