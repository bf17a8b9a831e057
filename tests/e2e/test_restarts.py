"""The service's own processes die while jobs run: nothing is lost, nothing happens twice.

Deleting a pod by force comes closest to a crash in every cluster: it is gone from Kubernetes at
once, and its processes get no grace time. A container alone is ended by a signal to its first
process.
"""

from typing import Any

import pytest
from tests.e2e.manifests import template
from tests.support import corejobs
from tests.support.jobs import CHATTY, FAILING, SEGMENT, SLEEPY
from tests.support.kubectl import polled
from tests.support.release import Release
from tests.support.rest import Rest
from tests.support.sse import WAIT_SECONDS

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("service")]

START = "start execution"
# Number of successive kills, each as soon as the pod after the last one exists.
KILLS = 3


def crash(release: Release, component: str) -> None:
    """Delete the pod of a component by force, and wait until another one exists."""
    old = release.pod(component)
    release.kubectl("delete", "pod", old, "--grace-period=0", "--force")
    polled(
        lambda: release.pod(component),
        lambda name: name != old,
        what=f"there is a new pod of {component}",
        seconds=180,
        ignoring=(AssertionError,),
    )


def end_container(release: Release, container: str) -> None:
    """Signal a container's first process to end, and wait until the kubelet has started another."""
    pod = release.pod("api")

    def restarts() -> int:
        statuses = release.kubectl.json("get", "pod", pod)["status"]["containerStatuses"]
        found = next(item for item in statuses if item["name"] == container)
        return int(found["restartCount"]) if "running" in found["state"] else -1

    before = restarts()
    script = "import os, signal; os.kill(1, signal.SIGTERM)"
    # The command may end with the container, before it has ended by itself.
    release.kubectl.attempt("exec", pod, "-c", container, "--", "python3", "-c", script)
    polled(restarts, lambda count: count > before, what=f"{container} is restarted", seconds=180)


def numbers(messages: list[str]) -> list[int]:
    """Return the numbers of the lines that a ChattyJob has written."""
    firsts = [text.partition(" ")[0] for text in messages if text.endswith("xxx")]
    return [int(first) for first in firsts if first.isdecimal()]


def test_an_operator_that_is_killed_again_and_again(own_release: Release, service: Rest):
    long = service.enqueue(SLEEPY, sleep=20)
    service.wait_state(long, "running")
    retrying = service.enqueue(FAILING, message="again", attempts=3, error_time=4)
    queued = [service.enqueue(SEGMENT, segment=n, sleep=1, max_parallel=1) for n in range(5)]
    for _ in range(KILLS):
        crash(own_release, "operator")
    killed = service.enqueue(SLEEPY, sleep=600)
    service.kill(killed)

    for job_id in (long, *queued):
        assert service.wait_state(job_id, "complete")["trial"] == 1
    assert service.wait_state(retrying, "error", seconds=2 * WAIT_SECONDS)["trial"] == 3
    assert service.wait(killed, lambda row: row["killed_at"], what="is killed")["state"] == "killed"
    for job_id in (long, *queued):
        assert service.messages(job_id).count(START) == 1
    assert service.messages(retrying).count(START) == 3
    assert len(own_release.kubectl.items("corejobs")) <= len(queued) + 3


# Runs until a signal to its first process ends it.
ENDED_FROM_OUTSIDE = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("begun", flush=True)
signal.sigwait({signal.SIGTERM})
"""


def test_a_job_that_ends_while_no_operator_is_there(own_release: Release, service: Rest):
    kubectl, qual_name = own_release.kubectl, "e2e.restarts.EndedFromOutside"
    command = ["python3", "-c", ENDED_FROM_OUTSIDE]
    container = {"name": "job", "image": own_release.image, "command": command}
    kubectl.apply(template(qual_name, runtime="container", pod={"containers": [container]}))
    service.wait_listed(qual_name)
    job_id = service.enqueue(qual_name)
    with service.follow(job_id) as stream:
        stream.line("begun")
        # Its status is written, too.
        stream.state("running")
    deployment = "deployment/core4-operator"
    kubectl("scale", deployment, "--replicas=0")
    try:
        polled(
            lambda: kubectl.items("pods", "-l", "app.kubernetes.io/component=operator"),
            lambda pods: not pods,
            what="the operator is gone",
            seconds=180,
        )
        end = "import os, signal; os.kill(1, signal.SIGTERM)"
        kubectl.attempt("exec", corejobs.pod_name(kubectl, job_id), "--", "python3", "-c", end)
        polled(
            lambda: _exit_codes(own_release, job_id),
            lambda codes: codes == [0],
            what="the job's container has ended",
            seconds=180,
        )
        waiting = service.enqueue(SEGMENT, segment=99)
        assert service.detail(waiting)["state"] == "pending"
    finally:
        kubectl("scale", deployment, "--replicas=1")
    assert service.wait_state(job_id, "complete")["trial"] == 1
    assert service.wait_state(waiting, "complete")["trial"] == 1
    assert service.messages(job_id) == ["begun"]


def _exit_codes(release: Release, job_id: str) -> list[int | None]:
    pods = corejobs.pods(release.kubectl, job_id)
    states: list[dict[str, Any]] = [pod["status"]["containerStatuses"][0]["state"] for pod in pods]
    return [state.get("terminated", {}).get("exitCode") for state in states]


def test_a_recorder_that_ends_while_jobs_log(own_release: Release, service: Rest):
    rate, seconds = 50, 10
    job_id = service.enqueue(CHATTY, rate=rate, seconds=seconds, size=60)
    with service.follow(job_id) as stream:
        stream.line("100 ")
        end_container(own_release, "recorder")
        stream.to_close()
    whole = list(range(1, rate * seconds + 1))
    assert stream.states[-1] == "complete"
    assert numbers(stream.messages) == whole
    assert numbers(service.messages(job_id)) == whole
    ids = [row["_id"] for row in service.log(job_id)]
    assert ids == sorted(set(ids))
    assert service.messages(job_id).count(START) == 1


@pytest.mark.parametrize("how", ["container", "pod"])
def test_an_api_that_ends_while_jobs_log(own_release: Release, service: Rest, how):
    # The job must outlast the API's restart. The size makes the args of the two jobs differ.
    job_id = service.enqueue(CHATTY, rate=50, seconds=600, size=70 + len(how))
    with service.follow(job_id) as first:
        first.line("100 ")
        if how == "container":
            end_container(own_release, "api")
        else:
            crash(own_release, "api")
        # The stream has what was sent before the connection broke.
        with pytest.raises(AssertionError):
            first.to_close()
    own_release.wait_ready()
    last = next(frame for frame in reversed(first.frames) if frame.event == "log")
    with service.follow(job_id, last_event_id=last.id) as second:
        # `watchlog`: live records, written after this stream was opened.
        second.wait(
            lambda frame: frame.event == "log" and frame.data["mode"] == "watchlog",
            what="a line of now",
        )
        service.kill(job_id)
        second.to_close()
    assert second.states[-1] == "killed"
    found = numbers(first.messages + second.messages)
    assert found == list(range(1, len(found) + 1))
    messages = service.messages(job_id)
    assert messages == first.messages + second.messages
    assert messages.count(START) == 1
    assert messages[-1].startswith("done execution with [killed]")


def test_past_jobs_survive_a_crash_of_the_api(own_release: Release, service: Rest):
    job_id = service.enqueue(SEGMENT, segment=123)
    service.wait_state(job_id, "complete")
    log = service.whole_log(job_id)
    # From now on only the journal has the job.
    own_release.kubectl("delete", "corejob", job_id, "--timeout=110s")
    before = service.detail(job_id)
    assert (before["state"], before["journal"]) == ("complete", True)
    crash(own_release, "api")
    own_release.wait_ready()
    assert {**service.detail(job_id), "age": None} == {**before, "age": None}
    assert service.log(job_id) == log
