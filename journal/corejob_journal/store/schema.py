"""The tables. Migrations make them; `tests/unit/journal` checks that both say the same."""

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

# SQLite makes only an INTEGER PRIMARY KEY its row number.
_NUMBER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON: Final = sa.JSON(none_as_null=True)
# By code points, as SQLite and Python do, whatever the language of a PostgreSQL database.
_ORDERED: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ZERO: Final = sa.text("0")
_FALSE: Final = sa.false()

job_log: Final = sa.Table(
    "job_log",
    metadata,
    # Records refer to this short number: the 24 digits of the id would be a third of a record.
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
"""One row a job: where its log stands, and what all its records share. `owner` is the uid of its
CoreJob; rows of earlier versions have none."""

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
    sa.Column("done", sa.Boolean, nullable=False, server_default=_FALSE),
    sa.Column("ended", sa.Boolean, nullable=False, server_default=_FALSE),
    sa.Column("settled", sa.Boolean, nullable=False, server_default=_FALSE),
    sa.Column("lost", sa.Boolean, nullable=False, server_default=_FALSE),
    sa.Column("reason", sa.Text),
    sa.UniqueConstraint("job", "trial", "pod_uid"),
    sa.Index(None, "pod_uid"),
)
"""One row a pod: how far its log has been read."""

# WITHOUT ROWID: the rows of a job lie together in key order, so that a page or a tail is one short
# range of one tree. Rows are small on average; the rare long message goes to overflow pages.
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
    sqlite_with_rowid=False,
)

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
    sa.Index(None, "qual_name", "state", "job_id"),
    sa.Index(None, "state", "job_id"),
    sa.Index(None, "username", "job_id"),
    sa.Index(None, "enqueued_at", "job_id"),
    sa.Index(None, "finished_at", "job_id"),
    sa.Index(None, "journaled_at", "job_id"),
)
# With the kind, so that who looks for the latest of a kind need not look at each row.
sa.Index(
    "ix_job_finished_at_latest",
    job.c.finished_at.desc(),
    job.c.job_id,
    job.c.qual_name,
    job.c.state,
)
"""Past jobs. What is beside the document is there to be found by, and says the same as it: times
are its texts, empty for null. `size` is the document's, in bytes. Ids ascend with time."""

tally: Final = sa.Table(
    "tally",
    metadata,
    sa.Column("qual_name", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("jobs", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""How many past jobs there are of each kind, and how large their documents: counting takes long."""

dropped: Final = sa.Table(
    "dropped",
    metadata,
    sa.Column("job", sa.ForeignKey(job_log.c.no, ondelete="CASCADE"), primary_key=True),
)
"""Logs whose job retention took away: what is left of them goes bit by bit."""

source: Final = sa.Table(
    "source",
    metadata,
    sa.Column("job", sa.ForeignKey(job_log.c.no, ondelete="CASCADE"), primary_key=True),
    sa.Column("names", _JSON, nullable=False),
    sa.Column("dropped", sa.BigInteger, nullable=False),
)
"""The sources that a job has named: the newest, and how many there were before."""

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
"""One row a change of how many jobs are in the queue; `states` has only those that there are."""

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
"""Numbers that never go back, whatever is deleted. `change`: the last number in `change.at`."""
