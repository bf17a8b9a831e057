"""A Kubernetes cluster for development, the demo and the tests, on any machine.

``python -m tests.cluster up`` chooses one of three providers and starts it: a cluster that the
user names, kind if a Docker engine answers, or the local cluster on Linux as root.
`tests.cluster.providers.choose` returns the same provider in Python.
"""
