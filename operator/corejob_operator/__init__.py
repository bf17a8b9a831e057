"""The operator: reconciles CoreJobs into Kubernetes Jobs.

`handlers` receives events from kopf, `caches` stores the objects, `corejob_kube.workqueue` queues
the names to reconcile, `reconcile` gathers and acts, `decide` and `admission` decide without I/O.
"""
