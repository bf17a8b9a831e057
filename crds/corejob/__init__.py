"""The domain: resources, names, the job document and the state machine, as pure functions.

Nothing here does I/O or reads a clock; the time is always passed in. `docs/architecture.md` has
the picture.
"""
