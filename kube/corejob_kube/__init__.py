"""Access to the Kubernetes API: a thin asynchronous client, informers with caches, and leases.

It also has what every process needs: work queue, back-off, supervision, health server, logs.
Objects are raw JSON (`dict`); the domain package `corejob` parses them.
"""
