"""The domain: resources, names, the job document and the state machine, as pure functions.

The modules do no I/O and read no clock; the time is always an argument. `docs/architecture.md` has
the overview.
"""
