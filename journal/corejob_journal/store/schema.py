"""The tables. Migrations create them; `tests/unit/journal` checks that both agree."""

from typing import Final

import sqlalchemy as sa

metadata: Final = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# In SQLite only an INTEGER PRIMARY KEY is an alias of the row id.
_NUMBER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON: Final = sa.JSON(none_as_null=True)
# Sort by code points, as SQLite and Python do, whatever the locale of a PostgreSQL database.
_ORDERED: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ZERO: Final = sa.text("0")
_FALSE: Final = sa.false()

job_log: Final = sa.Table(
    "job_log",
    metadata,
    # Records refer to this short number, since the id's 24 digits would be a third of a record.
    sa.Column("no", _NUMBER, primary_key=True),
    sa.Column("job_id", sa.Text, nullable=False, unique=True),
    sa.Column("qual_name", sa.Text, nullable=False),
    sa.Column("username", sa.Text),
    sa.Column("last_seq", sa.BigInteger, nullable=False, server_default=_ZERO),
    sa.Column("last_output", sa.BigInteger, nullable=False, server_default=_ZERO),
    sa.Column("lines", sa.BigInteger, nullable=False, server_default=_ZERO),
    sa.Column("bytes", sa.BigInteger, nullable=False, server_default=_ZERO),
    sa.Column("settled_trial", sa.Integer, nullable=False, server_default=_ZERO),
    sa.Column("lost", sa.Boolean, nullable=False, server_default=_FALSE),
    sa.Column("reason", sa.Text),
    sa.Column("message", sa.Text),
    sa.Column("owner", sa.Text),
)
"""One row for each job: the state of its log, and the values that all its records share.

`owner` is the uid of its CoreJob; null in rows of earlier versions.
"""

stream: Final = sa.Table(
    "stream",
    metadata,
    sa.Column("no", _NUMBER, primary_key=True),
    sa.Column("job", sa.ForeignKey(job_log.c.no, ondelete="CASCADE"), nullable=False),
    sa.Column("trial", sa.Integer, nullable=False),
    sa.Column("pod_uid", sa.Text, nullable=False),
    sa.Column("pod", sa.Text),
    sa.Column("hostname", sa.Text),
    sa.Column("token", sa.BigInteger, nullable=False, server_default=_ZERO),
    sa.Column("stamp", sa.BigInteger, nullable=False, server_default=_ZERO),
    sa.Column("count", sa.Integer, nullable=False, server_default=_ZERO),
    sa.Column("last_n", sa.BigInteger, nullable=False, server_default=_ZERO),
    sa.Column("pieces", sa.Integer, nullable=False, server_default=_ZERO),
    sa.Column("ahead", sa.BigInteger, nullable=False, server_default=_ZERO),
    sa.Column("done", sa.Boolean, nullable=False, server_default=_FALSE),
    sa.Column("ended", sa.Boolean, nullable=False, server_default=_FALSE),
    sa.Column("settled", sa.Boolean, nullable=False, server_default=_FALSE),
    sa.Column("lost", sa.Boolean, nullable=False, server_default=_FALSE),
    sa.Column("reason", sa.Text),
    sa.Column("first_seq", sa.BigInteger),
    sa.Column("last_seq", sa.BigInteger),
    sa.UniqueConstraint("job", "trial", "pod_uid"),
    sa.Index(None, "pod_uid"),
)
"""One row for each pod: the position up to which its log has been read.

`first_seq` and `last_seq` are the numbers of its first and last record: null without records, and
in rows that earlier versions finalised.
"""

# WITHOUT ROWID stores the rows of a job together in key order, so that a page or a tail is one
# short range of one tree. Rows are small on average; a rare long message goes to overflow pages.
log: Final = sa.Table(
    "log",
    metadata,
    sa.Column("job", sa.ForeignKey(job_log.c.no, ondelete="CASCADE"), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("stream", _NUMBER, nullable=False),
    sa.Column("n", sa.BigInteger),
    sa.Column("epoch", sa.Double, nullable=False),
    sa.Column("levelno", sa.SmallInteger, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("exception", _JSON),
    sqlite_with_rowid=False,
)

output: Final = sa.Table(
    "output",
    metadata,
    sa.Column("job", sa.ForeignKey(job_log.c.no, ondelete="CASCADE"), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("stream", _NUMBER, nullable=False),
    sa.Column("n", sa.BigInteger),
    sa.Column("epoch", sa.Double, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("after_seq", sa.BigInteger, nullable=False, server_default=_ZERO),
    sa.Index(None, "job", "after_seq"),
    sqlite_with_rowid=False,
)

"""Lines that a job printed. `after_seq` is the number of the record before the line; 0: none."""

gap: Final = sa.Table(
    "gap",
    metadata,
    sa.Column("no", _NUMBER, primary_key=True),
    sa.Column("job", sa.ForeignKey(job_log.c.no, ondelete="CASCADE"), nullable=False),
    sa.Column("stream", _NUMBER, nullable=False),
    sa.Column("after_seq", sa.BigInteger, nullable=False),
    sa.Column("first_n", sa.BigInteger),
    sa.Column("last_n", sa.BigInteger),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Index(None, "job", "after_seq"),
)

job: Final = sa.Table(
    "job",
    metadata,
    sa.Column("job_id", _ORDERED, primary_key=True),
    sa.Column("qual_name", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("username", _ORDERED),
    sa.Column("enqueued_at", _ORDERED, nullable=False),
    sa.Column("finished_at", _ORDERED, nullable=False),
    sa.Column("journaled_at", sa.Double, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("document", _JSON, nullable=False),
    sa.Column("owner", sa.Text),
    sa.Column("trials", _JSON),
    sa.Index(None, "qual_name", "state", "job_id"),
    sa.Index(None, "state", "job_id"),
    sa.Index(None, "username", "job_id"),
    sa.Index(None, "enqueued_at", "job_id"),
    sa.Index(None, "finished_at", "job_id"),
    sa.Index(None, "journaled_at", "job_id"),
)
# Contains the kind, so that a search for the latest job of a kind reads the index only.
sa.Index(
    "ix_job_finished_at_latest",
    job.c.finished_at.desc(),
    job.c.job_id,
    job.c.qual_name,
    job.c.state,
)
"""Past jobs. The columns beside the document serve searches and have the document's values.

Times are the document's texts, empty for null. `trials` is `status.trials`, apart from the
document, since only details show it; null without trials. `size` is the size of both in bytes. Ids
ascend with time.
"""

tally: Final = sa.Table(
    "tally",
    metadata,
    sa.Column("qual_name", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("jobs", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Number of past jobs of each kind, and the size of their documents, since counting is slow."""

dropped: Final = sa.Table(
    "dropped",
    metadata,
    sa.Column("job", sa.ForeignKey(job_log.c.no, ondelete="CASCADE"), primary_key=True),
)
"""Logs of jobs that retention deleted; their remaining rows are deleted in parts."""

source: Final = sa.Table(
    "source",
    metadata,
    sa.Column("job", sa.ForeignKey(job_log.c.no, ondelete="CASCADE"), primary_key=True),
    sa.Column("names", _JSON, nullable=False),
    sa.Column("dropped", sa.BigInteger, nullable=False),
)
"""The sources that a job has named: the newest, and the number of earlier ones dropped."""

cookie: Final = sa.Table(
    "cookie",
    metadata,
    sa.Column("qual_name", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", _JSON, nullable=False),
    sqlite_with_rowid=False,
)

queue_history: Final = sa.Table(
    "queue_history",
    metadata,
    sa.Column("no", _NUMBER, primary_key=True),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("states", _JSON, nullable=False),
    sa.Index(None, "created"),
)
"""One row for each change of the queue's job counts; `states` leaves out states without jobs."""

change: Final = sa.Table(
    "change",
    metadata,
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Index(None, "at"),
)
"""SQLite only: the number of the last change of each job, for readers in other processes."""

counter: Final = sa.Table(
    "counter",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)
"""Numbers that never decrease, whatever is deleted. `change` is the last number in `change.at`."""
