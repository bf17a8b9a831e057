"""``python -m tests.bench``: what the service adds to plain Kubernetes, measured in one run."""
