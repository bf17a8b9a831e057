"""The rows of `stream`, one for each pod: the position up to which its log has been read."""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from corejob_journal.store import owners, schema
from corejob_journal.store.records import LogPosition, LogSource, StreamState
from corejob_journal.store.slices import in_slices
from corejob_journal.store.upsert import insert_new, touch

_STREAM: Final = sa.select(
    schema.stream.c.no,
    schema.stream.c.job,
    schema.job_log.c.job_id,
    schema.stream.c.trial,
    schema.stream.c.pod_uid,
    schema.stream.c.token,
    schema.stream.c.stamp,
    schema.stream.c.count,
    schema.stream.c.last_n,
    schema.stream.c.pieces,
    schema.stream.c.ahead,
    schema.stream.c.done,
    schema.stream.c.ended,
    schema.stream.c.settled,
).join_from(schema.stream, schema.job_log, schema.job_log.c.no == schema.stream.c.job)
# Statements with parameters are built once, which costs more than to execute them.
_OF_POD: Final = _STREAM.where(
    schema.job_log.c.job_id == sa.bindparam("job_id"),
    schema.stream.c.trial == sa.bindparam("trial"),
    schema.stream.c.pod_uid == sa.bindparam("pod_uid"),
    schema.job_log.c.owner.is_not_distinct_from(sa.bindparam("owner")),
)
_OF_TRIAL: Final = (
    _STREAM.where(
        schema.job_log.c.job_id == sa.bindparam("job_id"),
        schema.stream.c.trial == sa.bindparam("trial"),
    )
    .order_by(schema.stream.c.no.desc())
    .limit(1)
)
_JOB: Final = sa.select(schema.job_log.c.no).where(
    schema.job_log.c.job_id == sa.bindparam("job_id")
)
_UNFINALISE: Final = (
    sa.update(schema.job_log)
    .where(
        schema.job_log.c.no == sa.bindparam("job"),
        schema.job_log.c.settled_trial > sa.bindparam("before"),
    )
    .values(settled_trial=sa.bindparam("before"))
)


def open_stream(connection: sa.Connection, source: LogSource) -> StreamState:
    """Return the row of a source, created if missing.

    A new pod makes the log of a finalised trial incomplete again.

    Raises:
        ForeignJobError: The log belongs to another CoreJob or a past job; nothing is stored.
    """
    pod = {
        "job_id": source.job_id,
        "trial": source.trial,
        "pod_uid": source.pod_uid,
        "owner": source.owner,
    }
    if stream := connection.execute(_OF_POD, pod).first():
        return _state(stream)
    owners.check(connection, source)
    identity = {
        "owner": source.owner,
        "job_id": source.job_id,
        "qual_name": source.qual_name,
        "username": source.username,
    }
    is_first = insert_new(connection, schema.job_log, identity)
    if not is_first:
        owners.adopt(connection, source)
    job = connection.execute(_JOB, {"job_id": source.job_id}).scalar_one()
    row = {
        "job": job,
        "trial": source.trial,
        "pod_uid": source.pod_uid,
        "pod": source.pod,
        "hostname": source.hostname,
    }
    if insert_new(connection, schema.stream, row) and not is_first:
        before = {"job": job, "before": source.trial - 1}
        if connection.execute(_UNFINALISE, before).rowcount:
            touch(connection, [source.job_id])
    return _state(connection.execute(_OF_POD, pod).one())


def streams_of_pods(connection: sa.Connection, uids: Sequence[str]) -> dict[str, StreamState]:
    """Return the stored streams of these pods, by pod uid."""
    streams = {}
    for part in in_slices(uids):
        query = _STREAM.where(schema.stream.c.pod_uid.in_(part))
        streams.update({row[4]: _state(row) for row in connection.execute(query)})
    return streams


def trial_stream(connection: sa.Connection, job_id: str, trial: int) -> StreamState | None:
    """Return the stream of a trial's last pod, or None."""
    row = connection.execute(_OF_TRIAL, {"job_id": job_id, "trial": trial}).first()
    return _state(row) if row is not None else None


def _state(row: Any) -> StreamState:
    no, job, job_id, trial, uid, token, *place, done, ended, settled = row
    position = LogPosition(*place)
    return StreamState(no, job, job_id, trial, uid, token, position, done, ended, settled)
