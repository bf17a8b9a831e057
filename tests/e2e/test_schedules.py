"""Templates with a schedule enqueue their jobs by themselves, also after a stop of the operator.

The id of a scheduled job tells the scheduled time for which it was created.
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
def own_kubectl(own_release: Release) -> Kubectl:
    return own_release.kubectl


@pytest.fixture(autouse=True)
def emptied(service: Rest, own_kubectl: Kubectl) -> Iterator[None]:
    """Override the fixture for this module's own release; stop the schedules first."""
    yield
    own_kubectl("delete", "corejobtemplates", "-l", "e2e=schedules")
    service.empty_queue()


class Scheduled:
    """A template with a schedule, and the jobs that it has enqueued so far."""

    def __init__(
        self,
        kubectl: Kubectl,
        image: str,
        name: str,
        *,
        schedule: str | None,
        script: str = "true",
        **spec: Any,
    ) -> None:
        self.qual_name = f"e2e.schedules.{name}"
        self._kubectl = kubectl
        container = {"name": "job", "image": image, "command": ["sh", "-c", script]}
        pod = {"containers": [container]}
        self.document = template(
            self.qual_name, runtime="container", schedule=schedule, pod=pod, **spec
        )
        self.pod = pod
        self.document["metadata"]["labels"] = {"e2e": "schedules"}
        self._jobs: dict[str, dict[str, Any]] = {}

    @property
    def resource(self) -> str:
        name: str = self.document["metadata"]["name"]
        return name

    def apply(self) -> datetime:
        """Apply the template; return when Kubernetes created it."""
        self._kubectl.apply(self.document)
        made = self._kubectl.json("get", "corejobtemplate", self.resource)
        return datetime.fromisoformat(made["metadata"]["creationTimestamp"])

    def status(self) -> dict[str, Any]:
        """Return its status."""
        found: dict[str, Any] = self._kubectl.json("get", "corejobtemplate", self.resource)
        return found.get("status", {})

    def condition(self, kind: str) -> dict[str, Any]:
        """Return one of its conditions; empty if it is missing."""
        listed = self.status().get("conditions", ())
        return next((one for one in listed if one["type"] == kind), {})

    def wait_condition(self, kind: str, status: str, reason: str) -> dict[str, Any]:
        """Wait until a condition has this status and reason."""
        return until(
            lambda: self.condition(kind),
            lambda told: (told.get("status"), told.get("reason")) == (status, reason),
            what=f"{self.qual_name}: {kind} is {status}, {reason}",
        )

    def warnings(self, reason: str) -> list[str]:
        """Return the notes of the Warning Events about it that have a reason."""
        return [
            event["note"]
            for event in self._kubectl.items("events.v1.events.k8s.io")
            if (event["regarding"]["kind"], event["regarding"]["name"], event["reason"])
            == ("CoreJobTemplate", self.resource, reason)
            and event["type"] == "Warning"
        ]

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Return all its CoreJobs ever seen, by id: past ones are soon deleted from the cluster."""
        for job in self._kubectl.items("corejobs"):
            if job["spec"]["qualName"] == self.qual_name:
                self._jobs[job["metadata"]["name"]] = job
        return self._jobs

    def times(self) -> list[datetime]:
        """Return the scheduled times for which jobs were created."""
        return sorted(ids.created_at(job_id) for job_id in self.jobs())

    def wait_times(
        self, accept: Callable[[list[datetime]], bool], *, what: str, seconds: float = 180
    ) -> list[datetime]:
        """Wait until the times are accepted, and return them."""
        return until(self.times, accept, what=f"{self.qual_name}: {what}", seconds=seconds)


def wait_row(
    service: Rest, job: Scheduled, accept: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Wait until its row of the catalogue is accepted, and return it."""

    def row() -> dict[str, Any]:
        rows = service.data("GET", "job/list", filter={"_id": job.qual_name})
        return rows[0] if rows else {"skipped": None, "next_run": None, "problem": None}

    return until(row, accept, what=f"the row of {job.qual_name} in the catalogue")


def created(job: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(job["metadata"]["creationTimestamp"])


def utc(text: str) -> datetime:
    """Parse a time of a job document, which has no offset."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def midnight(moment: datetime) -> datetime:
    """Return the beginning of its day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def last_time(status: dict[str, Any]) -> datetime | None:
    text = status.get("lastScheduleTime")
    return datetime.fromisoformat(text) if text else None


def test_every_other_second(service: Rest, own_kubectl: Kubectl, image: str):
    job = Scheduled(own_kubectl, image, "Often", schedule="* * * * * */2", script="sleep 2.5")
    applied = job.apply()
    times = job.wait_times(lambda seen: len(seen) >= 3, what="three jobs")
    # The first reconcile enqueues nothing, each time has one job, and all are in the schedule.
    assert times[0] > applied
    assert len(set(times)) == len(times)
    assert all(moment.second % 2 == 0 and moment.microsecond == 0 for moment in times)
    jobs = dict(sorted(job.jobs().items()))
    # A job takes longer than the period, so some times are skipped, and no two jobs overlap.
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
    # On time, unless the machine is busy; a poll of once a minute would never be.
    assert min(created(jobs[job_id]) - ids.created_at(job_id) for job_id in jobs) <= 30 * SECOND
    # The status is written after the job was created.
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
    # The stopped job stays in the queue: the schedule goes on and leaves it alone.
    stopped = datetime.now(UTC)
    until(
        lambda: last_time(job.status()),
        lambda last: last is not None and last >= stopped + 2 * SECOND,
        what="times of the schedule have passed",
    )
    assert list(job.jobs()) == [job_id]
    # The condition and the catalogue say so.
    told = job.wait_condition("Scheduled", "False", "Skipped")
    words = f"job {job_id} ended in error and is still in the queue; restart or remove it"
    assert words in told["message"]
    assert told["message"].startswith("skipped at ")
    assert words in job.status()["message"]
    until(
        lambda: job.warnings("Skipped"),
        lambda notes: any(words in note for note in notes),
        what="a Warning Event",
    )
    row = wait_row(service, job, lambda row: words in (row["skipped"] or ""))
    assert (row["last_job"], row["last_job_state"]) == (job_id, "error")
    assert row["last_run"].startswith(f"{ids.created_at(job_id):%Y-%m-%dT%H:%M:%S}")
    assert datetime.fromisoformat(row["next_run"]) > datetime.fromisoformat(row["last_run"])
    removed = datetime.now(UTC)
    service.remove(job_id)
    times = job.wait_times(lambda seen: len(seen) > 1, what="another job")
    # The latest of the times that have passed by then.
    assert times[1] > removed - 3 * SECOND


def test_one_that_has_stopped_is_replaced_if_the_template_says_so(
    service: Rest, own_kubectl: Kubectl, image: str
):
    job = Scheduled(
        own_kubectl,
        image,
        "Replaced",
        schedule="* * * * * */5",
        schedulePolicy="Replace",
        script="sleep 1; exit 3",
    )
    job.apply()
    job.wait_times(lambda seen: len(seen) >= 3, what="three jobs, of which each has failed")
    for job_id in sorted(job.jobs())[:2]:
        document = service.wait(job_id, lambda found: found["journal"], what="it is past")
        assert document["state"] == "error"
        assert document["removed_at"] is not None


def test_a_schedule_in_a_time_zone_says_what_it_means(
    service: Rest, own_kubectl: Kubectl, image: str
):
    job = Scheduled(own_kubectl, image, "Zoned", schedule="0 6 * * *", timeZone="Asia/Kathmandu")
    job.apply()
    job.wait_condition("Scheduled", "True", "Scheduled")
    status = job.status()
    assert status["scheduleMeaning"].count(" 06:00:00 +0545 Asia/Kathmandu") == 3
    assert "T00:15:00" in status["nextScheduleTime"]
    row = wait_row(service, job, lambda row: row["next_run"] is not None)
    assert row["time_zone"] == "Asia/Kathmandu"
    assert row["next_run"].endswith("T00:15:00")
    # The message names an unknown time zone, and suggests the right one.
    job.document["spec"]["timeZone"] = "Asia/Katmandoo"
    job.apply()
    told = job.wait_condition("Scheduled", "False", "BadSchedule")
    assert "unknown time zone [Asia/Katmandoo], did you mean Asia/Kat" in told["message"]
    columns = own_kubectl("get", "corejobtemplate", job.resource, "-o", "wide")
    assert "unknown time zone" in columns


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeZone", "Local"),
        ("timeZone", "+01:00"),
        ("schedulePolicy", "Queue"),
        ("schedule", "TZ=UTC * * * * *"),
        ("schedule", "CRON_TZ=Europe/Berlin 0 6 * * *"),
    ],
)
def test_a_bad_zone_or_policy_is_refused(own_kubectl: Kubectl, image: str, field, value):
    job = Scheduled(own_kubectl, image, "Bad", schedule="0 6 * * *")
    job.document["spec"][field] = value
    whole = {"apiVersion": "v1", "kind": "List", "items": [job.document]}
    assert f"spec.{field}" in own_kubectl.refused("apply", "-f", "-", stdin=json.dumps(whole))


# --- validation of a template's pod, before any job runs ------------------------------------------


def message_with(text: str) -> Callable[[dict[str, Any]], bool]:
    """Return a test of conditions: the message contains the text."""
    return lambda condition: text in condition.get("message", "")


def test_a_typo_in_the_pod_template_is_found_when_it_is_applied(
    service: Rest, own_kubectl: Kubectl, image: str
):
    job = Scheduled(own_kubectl, image, "Typo", schedule=None)
    (container,) = job.document["spec"]["template"]["spec"]["containers"]
    for field, value, words in (
        ("resorces", {"limits": {"cpu": 1}}, 'unknown field "spec.template.spec.containers[0].res'),
        ("env", [{"name": "A", "value": 1}], "EnvVar.spec.template.spec.containers.env.value"),
        (
            "resources",
            {"limits": {"memory": "much"}},
            "spec.template.spec.containers[0].resources.limits.memory [much]: quantities must",
        ),
        ("imagePullPolicy", "Sometimes", 'imagePullPolicy: Unsupported value: "Sometimes"'),
    ):
        container[field] = value
        job.apply()
        until(
            lambda: job.condition("Valid"),
            message_with(words),
            what=f"{field} is named",
        )
        assert job.condition("Valid")["status"] == "False"
        assert job.condition("Valid")["reason"] == "BadDefinition"
        del container[field]
    pod = job.document["spec"]["template"]["spec"]
    pod["containers"] = 5
    job.apply()
    until(
        lambda: job.condition("Valid").get("message", ""),
        lambda told: "cannot unmarshal number" in told and "spec.template.spec.containers" in told,
        what="no container at all is named",
    )
    pod["containers"] = [container]
    until(lambda: job.warnings("BadDefinition"), what="a Warning Event")
    row = wait_row(service, job, lambda row: "cannot unmarshal" in (row["problem"] or ""))
    assert row["valid"] is False
    # After the fix the template is valid, and the validation has created no Job.
    job.apply()
    job.wait_condition("Valid", "True", "Valid")
    assert own_kubectl.items("jobs", "-l", f"core4.io/qual-name={job.qual_name}") == []


def test_a_policy_that_denies_jobs_is_no_fault_of_the_template(
    own_release: Release, own_kubectl: Kubectl, image: str
):
    name = f"no-jobs-{own_release.namespace}"
    here = {"kubernetes.io/metadata.name": own_release.namespace}
    matches = {"namespaceSelector": {"matchLabels": here}}
    rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"]}
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {**matches, "resourceRules": [{**rule, "resources": ["jobs"]}]},
            "validations": [{"expression": "false", "message": "no jobs on Saturdays"}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": matches},
    }
    job = Scheduled(own_kubectl, image, "Denied", schedule=None)
    probe = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "probe"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", **job.pod}}},
    }
    try:
        own_kubectl.apply(policy, binding)
        until(
            lambda: _is_denied(own_kubectl, probe), bool, what="the policy is in force", seconds=60
        )
        job.apply()
        told = job.wait_condition("Valid", "Unknown", "Refused")
        assert "no jobs on Saturdays" in told["message"]
    finally:
        own_kubectl("delete", "validatingadmissionpolicybinding", name, "--ignore-not-found")
        own_kubectl("delete", "validatingadmissionpolicy", name, "--ignore-not-found")
    job.wait_condition("Valid", "True", "Valid")


def _is_denied(kubectl: Kubectl, probe: dict[str, Any]) -> bool:
    answer = kubectl.attempt("create", "--dry-run=server", "-f", "-", stdin=json.dumps(probe))
    return "no jobs on Saturdays" in answer.stderr


def test_the_first_sight_enqueues_nothing(service: Rest, own_kubectl: Kubectl, image: str):
    job = Scheduled(own_kubectl, image, "Yearly", schedule=YEARLY)
    applied = job.apply()
    status = until(job.status, lambda seen: "lastScheduleTime" in seen, what="it is noted")
    last = last_time(status)
    assert last is not None
    assert last >= applied
    assert status["schedule"] == YEARLY
    assert "lastJobId" not in status
    # A changed schedule counts as new, although its last time has just passed.
    job.document["spec"]["schedule"] = "* * * * *"
    # A minute may begin at any time after this, and then has a job.
    before = datetime.now(UTC)
    job.apply()
    status = until(
        job.status, lambda seen: seen["schedule"] == "* * * * *", what="the other is noted"
    )
    changed = last_time(status)
    assert changed is not None
    assert changed >= last
    until(
        lambda: service.data("GET", "job/list", filter={"_id": job.qual_name}),
        lambda rows: [row["schedule"] for row in rows] == ["* * * * *"],
        what="the catalogue has the other schedule",
    )
    assert all(moment > before for moment in job.times())


@pytest.mark.parametrize("schedule", ["at noon", "* * * *", "@sometimes", ""])
def test_a_malformed_schedule_is_refused(own_kubectl: Kubectl, image: str, schedule):
    job = Scheduled(own_kubectl, image, "Bad", schedule=schedule)
    whole = {"apiVersion": "v1", "kind": "List", "items": [job.document]}
    assert "spec.schedule" in own_kubectl.refused("apply", "-f", "-", stdin=json.dumps(whole))


def wait_complaint(job: Scheduled, schedule: str) -> None:
    """Wait until its status says that the schedule can't be used."""
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
    # The template can still be enqueued.
    service.wait_listed(job.qual_name)
    assert service.wait_state(service.enqueue(job.qual_name), "complete")["trial"] == 1
    # A valid schedule clears the message.
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
            seconds=180,
        )
        # The status after ten days without an operator.
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
    # Only the last of all missed times is caught up. If a day begins meanwhile, the last one may
    # be that of the new day, or the new day follows.
    caught_up, *later = job.times()
    days = {midnight(back), midnight(datetime.now(UTC))}
    assert caught_up in days
    assert set(later) <= days - {caught_up}
    until(
        lambda: last_time(job.status()),
        lambda noted: noted is not None and noted >= caught_up,
        what="that time is noted",
    )
