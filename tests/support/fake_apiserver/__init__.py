"""A fake Kubernetes API server over real HTTP, for tests of processes that need one but no cluster.

- `objects`: the objects, their versions, finalizers, owners and the rules of their updates.
- `watches`: watch streams and the changes that they deliver.
- `logs`: pod logs as the kubelet serves them.
- `faults`: refused, held and lost requests.
- `statuses`: error responses.
- `server`: `FakeApiServer`, which serves all of these.
- `scripted`: `ScriptedApiServer`, which sends what a test tells it to, valid or not.
- `http`: the listening socket of both, and a client of it.
"""
