"""The operator: reconciles CoreJobs into Kubernetes Jobs.

`handlers` receives events from kopf, `world` remembers what they say, `workqueue` says what to look
at, `reconcile` gathers and acts, and `decide` and `admission` decide, without any I/O.
"""
