"""The recorder dies, hangs or is missing while jobs log: all lines are in the journal, once."""

import os
import signal

import pytest
from tests.e2e.manifests import corejob, template
from tests.support import corejobs, hostprocess
from tests.support.jobs import CHATTY
from tests.support.kubectl import polled
from tests.support.release import Release
from tests.support.rest import Rest
from tests.support.scripts import DRAINED
from tests.support.sse import WAIT_SECONDS
from tests.support.waiting import let_pass, until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("service")]

JOBS = 20
RATE = 10
SECONDS = 45
AWAY_SECONDS = 20
KILLS = 2
RECORDER = "core4-recorder"
# Distinguishes the jobs of one test from those of another.
SIZES = {"killed": 100, "stopped": 200}


def numbers(messages: list[str]) -> list[int]:
    """Return the numbers of the lines that a ChattyJob has written."""
    firsts = [text.partition(" ")[0] for text in messages if text.endswith("xxx")]
    return [int(first) for first in firsts if first.isdecimal()]


def begun(service: Rest, size: int) -> list[str]:
    """Return the ids of steadily logging jobs, all of which have begun, the last one last."""
    ids = [
        service.enqueue(CHATTY, rate=RATE, seconds=SECONDS, size=size + n, max_parallel=JOBS)
        for n in range(JOBS)
    ]
    for job_id in ids:
        until(
            lambda job_id=job_id: numbers([row["message"] for row in service.log(job_id)]),  # type: ignore[misc]
            what=f"{job_id} has logged",
            seconds=WAIT_SECONDS,
            every=0.5,
        )
    return ids


def check_whole(service: Rest, ids: list[str]) -> None:
    """Check that each job has ended, and that each of its lines is in the journal once."""
    for job_id in ids:
        assert service.wait_state(job_id, "complete")["trial"] == 1
        messages = service.messages(job_id)
        assert numbers(messages) == list(range(1, RATE * SECONDS + 1))
        assert messages[0] == "start execution"
        assert messages[-1].startswith("done execution with [complete]")
        assert len(messages) == RATE * SECONDS + 2 + _progress(messages)
        found = [row["_id"] for row in service.log(job_id)]
        assert found == sorted(set(found))


def _progress(messages: list[str]) -> int:
    return sum(text.startswith("progress [") for text in messages)


def restarts(release: Release, pod: str) -> int:
    """Return how often the recorder's container was restarted; -1 while it does not run."""
    statuses = release.kubectl.json("get", "pod", pod)["status"]["containerStatuses"]
    found = next(item for item in statuses if item["name"] == "recorder")
    return int(found["restartCount"]) if "running" in found["state"] else -1


@pytest.mark.host
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_recorder_that_is_away_while_20_jobs_log(own_release: Release, service: Rest, how: str):
    pod = own_release.pod("api")
    uid = own_release.kubectl.json("get", "pod", pod)["metadata"]["uid"]
    ids = begun(service, SIZES[how])
    # The one that began last: on a slow machine the first may have ended by now.
    with service.follow(ids[-1]) as stream:
        stream.line("1 ")
        if how == "stopped":
            with hostprocess.stopped(uid, RECORDER):
                let_pass(AWAY_SECONDS)
        else:
            for _ in range(KILLS):
                before = restarts(own_release, pod)
                hostprocess.kill(uid, RECORDER)
                polled(
                    lambda before=before: restarts(own_release, pod) > before,  # type: ignore[misc]
                    what="the recorder is started anew",
                    seconds=180,
                )
        stream.to_close()
    assert numbers(stream.messages) == list(range(1, RATE * SECONDS + 1))
    check_whole(service, ids)


def test_a_gap_names_the_lost_lines_of_a_job_killed_without_a_recorder(
    own_release: Release, service: Rest
):
    kubectl, deployment = own_release.kubectl, "deployment/core4-api"
    job_id = service.enqueue(CHATTY, rate=50, seconds=600, size=80)
    with service.follow(job_id) as stream:
        stream.line("100 ")
    pod = own_release.pod("api")
    kubectl("scale", deployment, "--replicas=0")
    try:
        kubectl("wait", "pod", pod, "--for=delete", "--timeout=180s", timeout=200)
        kubectl("patch", "corejob", job_id, "--type=merge", "--patch", '{"spec": {"kill": true}}')
        corejobs.wait_state(kubectl, job_id, "killed")
        corejobs.wait_no_pod(kubectl, job_id)
    finally:
        kubectl("scale", deployment, "--replicas=1")
    own_release.wait_ready()
    log = polled(
        lambda: corejobs.status(kubectl, job_id).get("log") or {},
        lambda log: bool(log.get("complete")),
        what="the log is complete",
        seconds=180,
    )
    assert (log["lost"], log["reason"]) == (True, "PodGone")
    assert log["message"].startswith("lines after line ")
    with service.follow(job_id) as stream:
        stream.to_close()
    found = numbers(stream.messages)
    assert len(found) >= 100
    assert found == list(range(1, len(found) + 1))
    (gap,) = stream.of("gap")
    assert gap["reason"].startswith("lines after line ")


COUNTER = "e2e.recorder.Counter"
# A job with `held` waits for a signal to its first process before it says anything else.
COUNT = """
import json, os, signal, time
if json.loads(os.environ["CORE4_ARGS"]).get("held"):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    print("held", flush=True)
    signal.sigwait({signal.SIGTERM})
def say(n, kind, **more):
    line = {"core4": 1, "n": n, "type": kind, "time": time.time(), **more}
    print(json.dumps(line, separators=(",", ":")))
with open(os.environ["CORE4_JOB_FILE"]) as file:
    number = json.load(file)["cookie"].get("count", 0) + 1
say(1, "cookie", key="count", value=number)
say(2, "log", level="INFO", message=f"no. {number}")
"""


@pytest.mark.host
def test_a_job_waits_for_the_cookie_of_the_one_before(
    own_release: Release, service: Rest, image: str
):
    kubectl = own_release.kubectl
    container = {"name": "any", "image": image, "command": ["python3", "-c", COUNT + DRAINED]}
    kubectl.apply(template(COUNTER, runtime="container", pod={"containers": [container]}))
    service.wait_listed(COUNTER)
    first = service.enqueue(COUNTER, number=1)
    service.wait_state(first, "complete")
    assert service.whole_log(first)[0]["message"] == "no. 1"

    # It starts before the recorder stops: the kubelet starts a stopped recorder anew after 95 s.
    second = service.enqueue(COUNTER, number=2, held=True)
    with service.follow(second) as stream:
        stream.line("held")
        stream.state("running")
    (pod,) = corejobs.pods(kubectl, second)
    job_process = hostprocess.pid(pod["metadata"]["uid"], "python3")
    uid = kubectl.json("get", "pod", own_release.pod("api"))["metadata"]["uid"]
    with hostprocess.stopped(uid, RECORDER):
        os.kill(job_process, signal.SIGTERM)
        corejobs.wait_state(kubectl, second, "complete")
        kubectl.apply(corejob("third", qualName=COUNTER, args={"number": 3}))
        waits = polled(
            lambda: corejobs.status(kubectl, "third"),
            lambda status: status.get("reason") == "CookiePending",
            what="it waits for the cookie",
        )
        assert waits["message"].startswith(
            f"the log of trial 1 of {second} is not stored completely yet"
        )
    done = corejobs.wait_state(kubectl, "third", "complete", seconds=WAIT_SECONDS)
    assert service.whole_log(done["id"])[0]["message"] == "no. 3"
