"""A Kubernetes cluster for development, the demo and the tests, on any machine.

``python -m tests.cluster up`` chooses one of three providers and starts it: a cluster that the
user names, kind where a Docker engine answers, or a cluster of our own on Linux as root.
`tests.cluster.providers.choose` gives the same from Python.
"""
