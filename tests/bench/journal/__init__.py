"""``python -m tests.bench.journal``: time to find past jobs and logs in a very large store."""
