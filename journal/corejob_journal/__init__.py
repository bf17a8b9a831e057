"""The journal keeps the logs and the documents of jobs after their pods are gone.

`corejob_journal.store` is the database, `corejob_journal.recorder` the process that writes to it.
"""
