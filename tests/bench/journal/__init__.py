"""``python -m tests.bench.journal``: how fast past jobs and logs are found among very many."""
