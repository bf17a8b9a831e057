"""Templates with a schedule enqueue their jobs by themselves, also across a stop of the operator.

A scheduled job's id says for which time of the schedule it was made.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from tests.e2e.manifests import template
from tests.support.kubectl import Kubectl
from tests.support.release import Release
from tests.support.rest import Rest
from tests.support.waiting import until

from corejob import ids

pytestmark = pytest.mark.cluster

NEVER = "0 0 31 2 *"
YEARLY = "@yearly"
OPERATOR = "deployment/core4-operator"
# Times of a schedule and of Kubernetes' objects are exact to a second.
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def service(own_release: Release) -> Iterator[Rest]:
    with own_release.rest() as client:
        yield client


@pytest.fixture(scope="module")
def own_kubectl(own_release: Release) -> Kubectl:
    return own_release.kubectl


@pytest.fixture(autouse=True)
def emptied(service: Rest, own_kubectl: Kubectl) -> Iterator[None]:
    """As in conftest, for this module's own release; schedules are stopped first."""
    yield
    own_kubectl("delete", "corejobtemplates", "-l", "e2e=schedules")
    service.empty_queue()


class Scheduled:
    """A template with a schedule, and the jobs that it has enqueued so far."""

    def __init__(
        self, kubectl: Kubectl, image: str, name: str, *, schedule: str, script: str = "true"
    ) -> None:
        self.qual_name = f"e2e.schedules.{name}"
        self._kubectl = kubectl
        container = {"name": "job", "image": image, "command": ["sh", "-c", script]}
        self.document = template(
            self.qual_name, runtime="container", schedule=schedule, pod={"containers": [container]}
        )
        self.document["metadata"]["labels"] = {"e2e": "schedules"}
        self._jobs: dict[str, dict[str, Any]] = {}

    @property
    def resource(self) -> str:
        name: str = self.document["metadata"]["name"]
        return name

    def apply(self) -> datetime:
        """Put it into the cluster; returns when Kubernetes made it."""
        self._kubectl.apply(self.document)
        made = self._kubectl.json("get", "corejobtemplate", self.resource)
        return datetime.fromisoformat(made["metadata"]["creationTimestamp"])

    def status(self) -> dict[str, Any]:
        """Its status."""
        found: dict[str, Any] = self._kubectl.json("get", "corejobtemplate", self.resource)
        return found.get("status", {})

    def jobs(self) -> dict[str, dict[str, Any]]:
        """All CoreJobs of it that were ever seen, by id: past ones go from the cluster soon."""
        for job in self._kubectl.items("corejobs"):
            if job["spec"]["qualName"] == self.qual_name:
                self._jobs[job["metadata"]["name"]] = job
        return self._jobs

    def times(self) -> list[datetime]:
        """The times of the schedule that jobs were made for."""
        return sorted(ids.created_at(job_id) for job_id in self.jobs())

    def wait_times(
        self, accept: Callable[[list[datetime]], bool], *, what: str, seconds: float = 180
    ) -> list[datetime]:
        """Wait until the times are accepted."""
        return until(self.times, accept, what=f"{self.qual_name}: {what}", seconds=seconds)


def created(job: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(job["metadata"]["creationTimestamp"])


def utc(text: str) -> datetime:
    """A time of a job document, which has no offset."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def midnight(moment: datetime) -> datetime:
    """The beginning of its day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def last_time(status: dict[str, Any]) -> datetime | None:
    text = status.get("lastScheduleTime")
    return datetime.fromisoformat(text) if text else None


def test_every_other_second(service: Rest, own_kubectl: Kubectl, image: str):
    job = Scheduled(own_kubectl, image, "Often", schedule="* * * * * */2", script="sleep 2.5")
    applied = job.apply()
    times = job.wait_times(lambda seen: len(seen) >= 3, what="three jobs")
    # The first sight enqueues nothing, each time has one job, and all are times of the schedule.
    assert times[0] > applied
    assert len(set(times)) == len(times)
    assert all(moment.second % 2 == 0 and moment.microsecond == 0 for moment in times)
    jobs = dict(sorted(job.jobs().items()))
    # It takes longer than a period, so some times are skipped: none overlaps with the one before.
    for earlier, later in pairwise(jobs):
        document = service.wait_state(earlier, "complete")
        assert utc(document["finished_at"]) <= created(jobs[later])
        assert document["args"] == {}
        assert document["enqueued"]["username"] == "scheduler"
        at = ids.created_at(earlier).strftime("%Y-%m-%dT%H:%M:%S")
        assert document["enqueued"]["at"].startswith(at)
    for resource in jobs.values():
        assert resource["spec"]["username"] == "scheduler"
        assert "args" not in resource["spec"]
    # It is in time, if the machine lets it; who only looks each minute never is.
    assert min(created(jobs[job_id]) - ids.created_at(job_id) for job_id in jobs) <= 3 * SECOND
    # What was enqueued is noted after it.
    status = until(
        job.status,
        lambda seen: (last_time(seen) or applied) >= times[-1],
        what="the last time is noted",
    )
    assert status["lastJobId"] in job.jobs()
    assert status["schedule"] == "* * * * * */2"


def test_a_job_that_is_in_the_queue_still_is_skipped(
    service: Rest, own_kubectl: Kubectl, image: str
):
    job = Scheduled(own_kubectl, image, "Stuck", schedule="* * * * * */2", script="exit 3")
    job.apply()
    job.wait_times(bool, what="a job")
    (job_id,) = job.jobs()
    service.wait_state(job_id, "error")
    # Stopped, it stays in the queue: the schedule goes on and leaves it alone.
    stopped = datetime.now(UTC)
    until(
        lambda: last_time(job.status()),
        lambda last: last is not None and last >= stopped + 2 * SECOND,
        what="times of the schedule have passed",
    )
    assert list(job.jobs()) == [job_id]
    removed = datetime.now(UTC)
    service.remove(job_id)
    times = job.wait_times(lambda seen: len(seen) > 1, what="another job")
    # Of the times that have passed by then, the latest.
    assert times[1] > removed - 3 * SECOND


def test_the_first_sight_enqueues_nothing(service: Rest, own_kubectl: Kubectl, image: str):
    job = Scheduled(own_kubectl, image, "Yearly", schedule=YEARLY)
    applied = job.apply()
    status = until(job.status, lambda seen: "lastScheduleTime" in seen, what="it is noted")
    last = last_time(status)
    assert last is not None
    assert last >= applied
    assert status["schedule"] == YEARLY
    assert "lastJobId" not in status
    # Another schedule is another first sight, though its last time has just passed.
    job.document["spec"]["schedule"] = "* * * * *"
    job.apply()
    until(job.status, lambda seen: seen["schedule"] == "* * * * *", what="the other is noted")
    changed = last_time(job.status())
    assert changed is not None
    assert changed >= last
    until(
        lambda: service.data("GET", "job/list", filter={"_id": job.qual_name}),
        lambda rows: [row["schedule"] for row in rows] == ["* * * * *"],
        what="the catalogue has the other schedule",
    )
    assert all(moment > changed for moment in job.times())


@pytest.mark.parametrize("schedule", ["at noon", "* * * *", "@sometimes", ""])
def test_what_is_no_schedule_is_refused(own_kubectl: Kubectl, image: str, schedule):
    job = Scheduled(own_kubectl, image, "Bad", schedule=schedule)
    whole = {"apiVersion": "v1", "kind": "List", "items": [job.document]}
    assert "spec.schedule" in own_kubectl.refused("apply", "-f", "-", stdin=json.dumps(whole))


def wait_complaint(job: Scheduled, schedule: str) -> None:
    """Wait until its status says that it has no use for a schedule."""
    until(
        lambda: job.status().get("message") or "",
        lambda told: f"the schedule [{schedule}] can't be used" in told,
        what=f"it says what is wrong with [{schedule}]",
    )


def test_a_schedule_that_can_not_be_used_says_so(service: Rest, own_kubectl: Kubectl, image: str):
    job = Scheduled(own_kubectl, image, "Useless", schedule=NEVER)
    for schedule in (NEVER, "61 * * * *", "a b c d e"):
        job.document["spec"]["schedule"] = schedule
        job.apply()
        wait_complaint(job, schedule)
    # It is a job all the same.
    service.wait_listed(job.qual_name)
    assert service.wait_state(service.enqueue(job.qual_name), "complete")["trial"] == 1
    # And it is cured by a good one.
    job.document["spec"]["schedule"] = YEARLY
    job.apply()
    until(job.status, lambda seen: not seen.get("message"), what="nothing is wrong any more")


def test_one_catch_up_run_after_the_operator_was_away(
    own_release: Release, service: Rest, own_kubectl: Kubectl, image: str
):
    job = Scheduled(own_kubectl, image, "Away", schedule="@daily")
    job.apply()
    until(job.status, lambda seen: "lastScheduleTime" in seen, what="it is noted")
    own_kubectl("scale", OPERATOR, "--replicas=0")
    try:
        until(
            lambda: own_kubectl.items("pods", "-l", "app.kubernetes.io/component=operator"),
            lambda pods: not pods,
            what="the operator is gone",
            seconds=90,
        )
        # What ten days without it leave behind.
        back = datetime.now(UTC)
        last = {"lastScheduleTime": (back - timedelta(days=10)).strftime("%Y-%m-%dT%H:%M:%SZ")}
        where = ("corejobtemplate", job.resource, "--subresource=status", "--type=merge")
        own_kubectl("patch", *where, "--patch", json.dumps({"status": last}))
    finally:
        own_kubectl("scale", OPERATOR, "--replicas=1")
    own_release.wait_ready()
    job.wait_times(bool, what="a job")
    for job_id in job.jobs():
        service.wait_state(job_id, "complete")
    # Of all that were missed the last one only, and all are dealt with. A day may begin meanwhile:
    # then that is the last one, or the next.
    caught_up, *later = job.times()
    days = {midnight(back), midnight(datetime.now(UTC))}
    assert caught_up in days
    assert set(later) <= days - {caught_up}
    until(
        lambda: last_time(job.status()),
        lambda noted: noted is not None and noted >= caught_up,
        what="that time is noted",
    )
