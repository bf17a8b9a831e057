"""Access to the Kubernetes API: a thin asynchronous client, and an informer that keeps a cache.

Objects are raw JSON (`dict`) here; the domain package `corejob` gives them meaning.
"""
