"""The operator: reconciles CoreJobs into Kubernetes Jobs.

`handlers` has all of kopf, whose events update `caches`; `corejob_kube.workqueue` queues the names
to reconcile. For each, `reconcile` lets `gather` collect the facts, `decide` choose, `actions` act,
`admitter` account, and `status_writer` write.
"""
