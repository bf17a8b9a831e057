"""A log needs the right to read its own class, not only the class of the job with its id now."""

from types import SimpleNamespace
from typing import Any

import pytest

from corejob_api.http.errors import ApiError
from corejob_api.queue.jobs import Jobs, LocatedJob

JOB = "6743aaaaaaaaaaaaaaaaaaaa"


class JobsOfAnId(Jobs):
    """The job with this id is pub.Job now."""

    async def find(self, job_id: str) -> LocatedJob:
        return LocatedJob({"_id": job_id, "qual_name": "pub.Job"}, in_queue=True)


def jobs(log_of: str | None) -> Jobs:
    async def log_qual_name(_job_id: str) -> str | None:
        return log_of

    nothing: Any = None
    store: Any = SimpleNamespace(log_qual_name=log_qual_name)
    return JobsOfAnId(nothing, store, nothing, "jobs", nothing)


@pytest.mark.parametrize("log_of", ["pub.Job", None])
async def test_a_log_of_the_same_kind_is_shown(log_of: str | None) -> None:
    alice: Any = SimpleNamespace(may_read=lambda name: name.startswith("pub."))
    await jobs(log_of).readable_log(JOB, alice)


async def test_the_log_of_another_job_under_that_id_is_not_shown() -> None:
    alice: Any = SimpleNamespace(may_read=lambda name: name.startswith("pub."))
    with pytest.raises(ApiError, match=JOB) as refused:
        await jobs("secret.Job").readable_log(JOB, alice)
    assert refused.value.status == 403
