"""The store of log records and past jobs: SQLite, or PostgreSQL 15 and later.

`Store` reads, `Writer` writes. `docs/journal.md` gives the reasons for the settings.
"""

from corejob_journal.store.errors import (
    ForeignJobError,
    SchemaError,
    StoreError,
    StoreUnavailable,
)
from corejob_journal.store.history import Steps
from corejob_journal.store.logs import LogPart, LogSelection, is_cut
from corejob_journal.store.past import PastCursor, PastJob, PastOrder, PastQuery
from corejob_journal.store.past_counts import Kind
from corejob_journal.store.reader import Store
from corejob_journal.store.records import Gap, LogRecord, LogState, OutputLine, QueueCount
from corejob_journal.store.retention import Candidate
from corejob_journal.store.trial_logs import TrialLog
from corejob_journal.store.writer import Writer

__all__ = [
    "Candidate",
    "ForeignJobError",
    "Gap",
    "Kind",
    "LogPart",
    "LogRecord",
    "LogSelection",
    "LogState",
    "OutputLine",
    "PastCursor",
    "PastJob",
    "PastOrder",
    "PastQuery",
    "QueueCount",
    "SchemaError",
    "Steps",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "TrialLog",
    "Writer",
    "is_cut",
]
