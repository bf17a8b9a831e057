"""``python -m tests.bench``: overhead of the service over plain Kubernetes, measured in one run."""
