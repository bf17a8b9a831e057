"""Stores: a locked and a full SQLite, a PostgreSQL that fails, and recorders that share it."""

import base64
import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.cluster.commands import run
from tests.cluster.provider import Provider
from tests.e2e.values import VALUES
from tests.support import hostprocess
from tests.support.jobs import CHATTY, SEGMENT, SLEEPY
from tests.support.kubectl import Kubectl, polled
from tests.support.postgres import Postgres, postgres
from tests.support.release import Release, released
from tests.support.rest import Rest
from tests.support.sse import Stream
from tests.support.waiting import until

from corejob.identity import identity
from corejob_journal.recorder import rendezvous

pytestmark = pytest.mark.cluster

SECRET = "journal-store"
RECORDER = "core4-recorder"
RATE = 20
SECONDS = 15
WHOLE = list(range(1, RATE * SECONDS + 1))
# Usually less than 15: on a busy machine a look at the Leases may take too long, and then the 5 s
# without a renewal begin anew. The kubelet restarts a recorder that hangs only after 95 s.
TAKE_OVER_SECONDS = 45
RECORDERS = 2
JOBS = 4
VOLUME_MIB = 24
WAITS: dict[str, Any] = {"sleep": 600, "worker": "no-such-node", "max_parallel": 1}
ORDER: dict[str, Any] = {"qual_name": SEGMENT, "args": {"segment": 1}}


@pytest.fixture(autouse=True)
def emptied() -> None:
    """Override the fixture: the whole releases are deleted."""


@pytest.fixture(scope="module")
def embedded(own_release: Release) -> Iterator[Rest]:
    with own_release.rest() as client:
        yield client


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(scope="module")
def shared(provider: Provider, image: str, server: Postgres) -> Iterator[Release]:
    """A release with PostgreSQL, two pods of the API and two recorders."""

    def prepare(kubectl: Kubectl) -> None:
        data = {"url": base64.b64encode(server.url.encode()).decode()}
        meta = {"name": SECRET}
        kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})

    values: dict[str, Any] = {
        **VALUES,
        "store": {"existingSecret": SECRET},
        "api": {"replicas": 2},
        "recorder": {"replicas": 2},
    }
    with released(provider, image, values, prepare=prepare) as installed:
        yield installed


@pytest.fixture(scope="module")
def service(shared: Release) -> Iterator[Rest]:
    with shared.rest() as client:
        yield client


def numbers(messages: list[str]) -> list[int]:
    """Return the numbers of the lines that a ChattyJob has written."""
    firsts = [text.partition(" ")[0] for text in messages if text.endswith("xxx")]
    return [int(first) for first in firsts if first.isdecimal()]


def chatty(service: Rest, size: int) -> Stream:
    """Return the stream of a new, steadily logging job that has begun."""
    stream = service.run(CHATTY, rate=RATE, seconds=SECONDS, size=size, max_parallel=2 * JOBS)
    stream.line("50 ")
    return stream


def refused(service: Rest, order: dict[str, Any]) -> str:
    """Return the error text of an enqueue that must get 503 with `Retry-After`."""
    answer = service.call("POST", "job", json={**order, "follow": False})
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True)
    text: str = answer.json()["error"]
    return text


def wait_told(release: Release, words: str) -> None:
    """Wait until `/readyz` of the API reports the store's problem."""
    until(
        release.readiness,
        lambda seen: seen[0] == 503 and words in seen[1],
        what=f"the API tells {words!r}",
        seconds=180,
    )


def check_whole(service: Rest, stream: Stream) -> None:
    """Check that every line arrived by the unbroken stream, and is in the journal once."""
    stream.to_close()
    assert stream.states[-1] == "complete"
    assert numbers(stream.messages) == WHOLE
    assert service.messages(stream.frames[0].data["_id"]) == stream.messages
    stream.hang_up()


def pods(release: Release, component: str) -> dict[str, dict[str, Any]]:
    """Return the pods of a component by name."""
    found = release.kubectl.items("pods", "-l", f"app.kubernetes.io/component={component}")
    return {pod["metadata"]["name"]: pod for pod in found}


def is_ready(pod: dict[str, Any], container: str) -> bool:
    """True if the kubelet reports the pod's container as ready."""
    statuses = pod["status"].get("containerStatuses", ())
    return any(item["ready"] for item in statuses if item["name"] == container)


def wait_ready(
    release: Release, component: str, container: str, *, ready: bool, count: int = 1
) -> None:
    """Wait until all `count` pods of a component are ready, or none of them."""
    polled(
        lambda: [is_ready(pod, container) for pod in pods(release, component).values()],
        lambda seen: seen == [ready] * count,
        what=f"{container} is {'' if ready else 'not '}ready",
        seconds=180,
        every=0.5,
    )


# --- SQLite ------------------------------------------------------------------------------------

HOLD = """
import sqlite3, sys
connection = sqlite3.connect("/var/lib/core4/journal.db", isolation_level=None, timeout=30)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


@contextlib.contextmanager
def held(release: Release) -> Iterator[None]:
    """Hold the lock of the store's file in another process."""
    words = ("exec", "-i", release.pod("api"), "-c", "recorder", "--", "python3", "-c", HOLD)
    pipe = subprocess.PIPE
    with subprocess.Popen(release.kubectl.argv(*words), stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            process.stdin.write(b"\n")
            process.stdin.close()
            process.wait(60)


def sleeping(service: Rest) -> str:
    """Return the id of a new job that runs until it is killed."""
    job_id = service.enqueue(SLEEPY, sleep=600)
    service.wait_state(job_id, "running")
    return job_id


def check_unwritable(
    release: Release, service: Rest, *, words: str, stream: Stream, sleeper: str
) -> None:
    """Check the service while the store can be read but not written to."""
    job_id = stream.frames[0].data["_id"]
    wait_told(release, words)
    before = made(release)
    assert words in refused(service, ORDER)
    assert words in refused(service, {**ORDER, "args": {"segment": 2}})
    assert numbers([row["message"] for row in service.log(job_id)])[:50] == WHOLE[:50]
    service.kill(sleeper)
    # A restart would make another job.
    answer = service.call("PUT", f"job/restart/{sleeper}", json={"follow": False})
    assert (answer.status_code, words in answer.text) == (503, True)
    assert int(answer.headers["Retry-After"]) > 0
    service.remove(sleeper)
    wait_ready(release, "api", "recorder", ready=False)
    assert words in refused(service, ORDER)
    # The refused requests have created nothing.
    assert made(release) <= before


def made(release: Release) -> set[str]:
    """Return the names of all jobs and of their claims."""
    found = release.kubectl.items("corejobs,leases")
    return {
        item["metadata"]["name"]
        for item in found
        if item["kind"] == "CoreJob" or item["metadata"]["name"].startswith("core4-job-")
    }


def check_writable(release: Release, service: Rest, stream: Stream, words: str) -> None:
    """Check the service as soon as the store can be written to again."""
    until(
        release.readiness,
        lambda seen: seen == (200, "ok\n"),
        what=f"the API does not tell {words!r} any more",
        seconds=180,
    )
    job_id = service.data("POST", "job", **ORDER, follow=False)
    service.wait_state(job_id, "complete")
    assert service.messages(job_id)[1:-1] == [f"segment [{ORDER['args']['segment']}]"]
    check_whole(service, stream)


def test_a_file_that_is_locked(own_release: Release, embedded: Rest):
    words = "keeps the store locked"
    sleeper = sleeping(embedded)
    stream = chatty(embedded, 100)
    with held(own_release):
        check_unwritable(own_release, embedded, words=words, stream=stream, sleeper=sleeper)
    check_writable(own_release, embedded, stream, words)
    wait_ready(own_release, "api", "recorder", ready=True)


@pytest.fixture
def tight(own_release: Release, provider: Provider) -> Iterator[Path]:
    """The folder of the journal's volume, on a small file system of its own; empty at first."""
    folder = provider.volume_host_path(own_release.namespace)
    assert folder is not None
    owner = folder.stat()
    kubectl, deployment = own_release.kubectl, "deployment/core4-api"
    # A mount is visible only in pods that start after it.
    old = own_release.pod("api")
    kubectl("scale", deployment, "--replicas=0")
    kubectl("wait", "pod", old, "--for=delete", "--timeout=180s", timeout=200)
    run(["mount", "-t", "tmpfs", "-o", f"size={VOLUME_MIB}m", "tmpfs", str(folder)])
    try:
        os.chown(folder, owner.st_uid, owner.st_gid)
        kubectl("scale", deployment, "--replicas=1")
        own_release.wait_ready()
        yield folder
    finally:
        kubectl("scale", deployment, "--replicas=0")
        polled(
            lambda: pods(own_release, "api"),
            lambda found: not found,
            what="the pod is gone",
            seconds=180,
        )
        run(["umount", str(folder)])
        kubectl("scale", deployment, "--replicas=1")
        own_release.wait_ready()


@pytest.mark.local
def test_a_volume_that_is_full(own_release: Release, embedded: Rest, tight: Path):
    words = "the store is full"
    sleeper = sleeping(embedded)
    stream = chatty(embedded, 200)
    filler = tight / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    check_unwritable(own_release, embedded, words=words, stream=stream, sleeper=sleeper)
    filler.unlink()
    check_writable(own_release, embedded, stream, words)
    wait_ready(own_release, "api", "recorder", ready=True)


# --- PostgreSQL --------------------------------------------------------------------------------


def test_two_apis_and_two_recorders(shared: Release, service: Rest):
    assert len(pods(shared, "api")) == len(pods(shared, "recorder")) == RECORDERS
    expected = {f"core4-recorder-{name}" for name in pods(shared, "recorder")}
    polled(
        lambda: {lease["metadata"]["name"] for lease in shared.kubectl.items("leases")},
        lambda names: {name for name in names if name.startswith("core4-recorder-")} == expected,
        what="each recorder has its Lease",
    )
    ids = [service.enqueue(SEGMENT, segment=number) for number in range(JOBS)]
    for number, job_id in enumerate(ids):
        service.wait_state(job_id, "complete")
        assert service.messages(job_id)[1:-1] == [f"segment [{number}]"]


class Race:
    """Requests that enqueue equal jobs at once, again and again, at whatever API takes them."""

    def __init__(self, service: Rest) -> None:
        self._client = service.by_token()
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._rounds = self._pool.submit(self._run)

    def end(self) -> list[list[int]]:
        """Return the statuses of all rounds."""
        self._over.set()
        with self._pool:
            return self._rounds.result()

    def _run(self) -> list[list[int]]:
        rounds: list[list[int]] = []
        with ThreadPoolExecutor(4) as pool:
            while not self._over.wait(0.05):
                rounds.append(list(pool.map(self._enqueue, [len(rounds)] * 4)))
        return rounds

    def _enqueue(self, number: int) -> int:
        """Return the status, or 0 if there is no answer: the API that took the request ends."""
        body = {"qual_name": SLEEPY, "args": {**WAITS, "number": number}, "follow": False}
        try:
            # A new connection each time, since one leads to one pod.
            headers = {"Connection": "close"}
            return self._client.call("POST", "job", json=body, headers=headers).status_code
        except (requests.ConnectionError, requests.ReadTimeout):
            return 0


def test_one_of_equal_enqueues_wins_while_apis_come_and_go(shared: Release, service: Rest):
    race = Race(service)
    try:
        for count in (1, 2, 1):
            shared.kubectl("scale", "deployment/core4-api", f"--replicas={count}")
            wait_scaled(shared, service, count)
    finally:
        rounds = race.end()
        shared.kubectl("scale", "deployment/core4-api", "--replicas=2")
    wait_ready(shared, "api", "api", ready=True, count=2)
    assert max(statuses.count(200) for statuses in rounds) == 1
    assert {tuple(sorted(statuses)) for statuses in rounds if 0 not in statuses} == {
        (200, 400, 400, 400)
    }
    made_by_race = [row for row in service.queue() if "number" in row["args"]]
    assert len({row["args"]["number"] for row in made_by_race}) == len(made_by_race)
    assert "Duplicate" not in {row["reason"] for row in made_by_race}
    for row in service.queue():
        service.remove(row["_id"])


def wait_scaled(release: Release, service: Rest, count: int) -> None:
    """Wait until there are so many APIs, and their claims are those of that number."""
    polled(
        lambda: pods(release, "api"), lambda seen: len(seen) == count, what="scaled", seconds=180
    )
    wait_ready(release, "api", "api", ready=True, count=count)
    # An API looks every 30 s if it is the only one. Until the routes to one that has ended are
    # gone, a request may fail; the next one makes another job.
    polled(
        lambda: claims_in_memory(release, service),
        lambda in_memory: in_memory == (count == 1),
        what=f"claims are those of {count} API",
        seconds=180,
        ignoring=(requests.ConnectionError, requests.ReadTimeout),
    )


def claims_in_memory(release: Release, service: Rest) -> bool:
    """True if a new job has no Lease as its claim."""
    args = {"sleep": 600, "at": time.time()}
    service.enqueue(SLEEPY, **{**WAITS, **args})
    names = {lease["metadata"]["name"] for lease in release.kubectl.items("leases")}
    return f"core4-job-{identity(SLEEPY, args)[:40]}" not in names


@pytest.mark.host
@pytest.mark.parametrize("how", ["hangs", "is killed", "is deleted"])
def test_a_recorder_takes_over_from_another_within_seconds(
    shared: Release, service: Rest, how: str
):
    wait_ready(shared, "recorder", "recorder", ready=True, count=RECORDERS)
    recorders = pods(shared, "recorder")
    streams = [chatty(service, 100 * len(how) + n) for n in range(JOBS)]
    # The job whose log was followed last of all.
    observed = streams[-1]
    victim = rendezvous.owner(recorders, observed.frames[0].data["_id"])
    uid = recorders[victim]["metadata"]["uid"]
    last = f"{WHOLE[-1]} "
    if how == "hangs":
        with hostprocess.stopped(uid, RECORDER):
            # All lines of the job arrive by the other recorder.
            observed.line(last)
    elif how == "is killed":
        hostprocess.kill(uid, RECORDER)
        observed.line(last)
    else:
        words = ("delete", "pod", victim, "--grace-period=0", "--force")
        with ThreadPoolExecutor(1) as pool:
            # A line's arrival is the time when it is read, so keep reading while kubectl runs.
            deleted = pool.submit(shared.kubectl, *words)
            observed.line(last)
            deleted.result()
    for stream in streams:
        check_whole(service, stream)
    came = [frame.at for frame in observed.frames if frame.event == "log"]
    *_, usual, longest = sorted(after - before for before, after in pairwise(came))
    # On a machine that stalls, there are other long pauses.
    assert longest - usual < TAKE_OVER_SECONDS


def test_a_server_that_is_away_for_a_while(shared: Release, service: Rest, server: Postgres):
    wait_ready(shared, "recorder", "recorder", ready=True, count=RECORDERS)
    past = service.enqueue(SEGMENT, segment=777)
    service.wait_journaled(past)
    stream = chatty(service, 300)
    job_id = stream.frames[0].data["_id"]
    server.stop()
    try:
        for path in (f"job/log/{job_id}", "jobs/history"):
            answer = service.call("GET", path)
            assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True)
        assert "store" in refused(service, {"qual_name": SEGMENT, "args": {"segment": 778}})
        status, text = shared.readiness()
        assert (status, "store" in text) == (503, True)
        wait_ready(shared, "recorder", "recorder", ready=False, count=RECORDERS)
    finally:
        server.start()
    wait_ready(shared, "recorder", "recorder", ready=True, count=RECORDERS)
    shared.wait_answer()
    check_whole(service, stream)
    # The refused request has created nothing.
    assert [row["args"] for row in service.queue(filter={"qual_name": SEGMENT})] == []
    service.enqueue(SEGMENT, segment=778)
