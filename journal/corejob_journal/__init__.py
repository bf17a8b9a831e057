"""The journal: what jobs wrote and what became of them, kept after their pods are gone.

`corejob_journal.store` is the database, `corejob_journal.recorder` the process that fills it.
"""
