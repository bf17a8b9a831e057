"""Common parts of the service's processes that don't concern Kubernetes."""
