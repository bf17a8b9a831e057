"""The kubelet rotates logs while jobs write as fast as they can: every loss is reported.

Its limits are made small: it checks every 3 s, and rotates a file of more than a mebibyte. Only
the newest file can be read through the API server.
"""

import contextlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from tests.cluster.local import LocalCluster
from tests.cluster.provider import Provider
from tests.e2e.manifests import template
from tests.e2e.values import VALUES
from tests.support import corejobs, hostprocess
from tests.support.jobs import CHATTY
from tests.support.kubectl import polled
from tests.support.release import Release, released
from tests.support.rest import Rest
from tests.support.scripts import DRAINED
from tests.support.sse import Stream
from tests.support.waiting import until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.local,
    pytest.mark.alone,
    pytest.mark.usefixtures("service"),
]

RECORDER = "core4-recorder"
SMALL = {
    "containerLogMaxFiles": 2,
    "containerLogMaxSize": "1Mi",
    "containerLogMonitorInterval": "3s",
}
# 2 MB/s each of two jobs: six times the limit at each of the kubelet's checks.
RATE, SIZE, SECONDS = 2000, 1000, 15
# The buffers of the connections hold up to 64 MiB (`net.ipv4.tcp_rmem`).
STALL_SECONDS = 45
CURRENT = "0.log"
FILLING = "x" * (SIZE - 10)
WIDTH = 6
# The job sleeps within its lines, so each file but the first begins in the middle of one.
CUT = SIZE // 2
# At the moment of a rotation some lines go to the old file after the kubelet has left it.
UNSERVED = SECONDS // 3 * 10

WRITING = f"""
import sys, time
start = time.monotonic()
for number in range({RATE} * int(sys.argv[1])):
    print(f"{{number:0{WIDTH}}} {FILLING[CUT:]}", end="", flush=True)
    time.sleep(max(0, start + number / {RATE} - time.monotonic()))
    print("{FILLING[:CUT]}")
{DRAINED}"""

Streams = tuple[Stream, Stream]


@pytest.fixture(scope="module")
def small_files(provider: Provider) -> Iterator[None]:
    """Rotate the node's logs early."""
    LocalCluster(kubelet=SMALL).up()
    yield
    provider.up()


@pytest.fixture(scope="module")
def own_release(provider: Provider, image: str) -> Iterator[Release]:
    """Override the fixture: complete jobs keep their CoreJobs while their long streams are read."""
    values = VALUES | {"jobs": VALUES["jobs"] | {"ttlSeconds": 600}}
    with released(provider, image, values) as installed:
        yield installed


@pytest.fixture(scope="module")
def service(small_files: None, own_release: Release) -> Iterator[Rest]:
    del small_files
    with own_release.rest() as client:
        yield client


def settled(release: Release, job_id: str) -> dict[str, Any]:
    """Wait until the log of an ended job is complete, and return its `status.log`."""
    return polled(
        lambda: corejobs.status(release.kubectl, job_id).get("log") or {},
        lambda log: bool(log.get("complete")),
        what=f"the log of {job_id} is complete",
        seconds=180,
    )


def plain(release: Release, service: Rest, image: str, seconds: int) -> str:
    """Return the id of a job whose container runs a Python script that prints unnumbered lines."""
    command = ["python3", "-c", WRITING, str(seconds)]
    container = {"name": "job", "image": image, "command": command}
    qual_name = f"e2e.rotation.Writing{seconds}"
    release.kubectl.apply(template(qual_name, runtime="container", pod={"containers": [container]}))
    service.wait_listed(qual_name)
    return service.enqueue(qual_name)


def leading(messages: list[str], width: int = 0) -> list[int]:
    """Return the numbers with which whole lines begin, of at least `width` digits."""
    firsts = [text.split(" ")[0] for text in messages if text.endswith("xxx")]
    return [int(first) for first in firsts if first.isdecimal() and len(first) >= width]


def out_of_order(numbers: list[int]) -> list[tuple[int, int]]:
    """Return neighbours of which the second is not greater than the first."""
    return [(before, after) for before, after in pairwise(numbers) if before >= after]


@pytest.fixture
def streams(own_release: Release, service: Rest, image: str) -> Iterator[Callable[[int], Streams]]:
    """Start two jobs that write for a number of seconds: one with numbered lines, one without."""
    with contextlib.ExitStack() as stack:

        def start(seconds: int) -> Streams:
            numbered = service.run(CHATTY, rate=RATE, seconds=seconds, size=SIZE)
            job_id = plain(own_release, service, image, seconds)
            both = numbered, service.follow(job_id)
            for stream in both:
                stack.enter_context(stream)
                stream.wait(lambda frame: frame.event == "log", what="a line")
            return both

        yield start


def ended(release: Release, service: Rest, both: Streams) -> list[dict[str, Any]]:
    """Return `status.log` of completed jobs; check that their streams and logs are equal."""
    for stream in both:
        stream.to_close()
        assert stream.states[-1] == "complete"
    ids = [stream.frames[0].data["_id"] for stream in both]
    logs = [settled(release, job_id) for job_id in ids]
    for stream, job_id in zip(both, ids, strict=True):
        assert service.messages(job_id) == stream.messages
    return logs


def test_logs_under_fire(own_release: Release, service: Rest, streams: Callable[[int], Streams]):
    numbered, unnumbered = both = streams(SECONDS)
    log, other = ended(own_release, service, both)
    found, gaps = leading(numbered.messages), numbered.of("gap")
    assert not out_of_order(found)
    assert log["bytes"] > RATE * SECONDS * SIZE / 2
    named = sum(gap["to"] - gap["from"] + 1 for gap in gaps)
    assert RATE * SECONDS - len(found) <= named
    assert log["lost"] is bool(gaps), (log, gaps)

    found = leading(unnumbered.messages, WIDTH)
    assert not out_of_order(found)
    assert RATE * SECONDS - len(found) <= UNSERVED or other["lost"], other
    assert found[-1] == RATE * SECONDS - 1


def wait_left_behind(provider: LocalCluster, job_ids: list[str]) -> None:
    """Wait until the kubelet still reads a file of each log that two others have followed.

    Buffers of megabytes lie between the kubelet and the recorder, so it goes on for a while.
    """
    seen: dict[str, set[str]] = {job_id: set() for job_id in job_ids}

    def look() -> dict[str, int]:
        reads = list(hostprocess.open_files(provider.pids["kubelet"]))
        behind = {}
        for job_id, names in seen.items():
            # Such as `0.log.20261124-110000`, with `.gz` once it is compressed.
            found = provider.pod_logs.glob(f"*_{job_id}-1-*/job/0.log.*")
            names.update(path.name.removesuffix(".tmp").removesuffix(".gz") for path in found)
            old = {path.name for path in reads if f"_{job_id}-1-" in str(path)} - {CURRENT}
            behind[job_id] = sum(name > min(old) for name in names) if old else 0
        return behind

    until(
        look,
        lambda behind: min(behind.values()) >= 2,
        what="the kubelet reads files that two others have followed",
        seconds=STALL_SECONDS,
    )


@pytest.mark.host
def test_files_that_were_rotated_away_unread(
    provider: LocalCluster,
    own_release: Release,
    service: Rest,
    streams: Callable[[int], Streams],
):
    """The recorder hangs, with its connections open, while several files are rotated away."""
    pod = own_release.pod("api")
    uid = own_release.kubectl.json("get", "pod", pod)["metadata"]["uid"]
    seconds = SECONDS + STALL_SECONDS
    both = streams(seconds)
    ids = [stream.frames[0].data["_id"] for stream in both]
    with hostprocess.stopped(uid, RECORDER):
        wait_left_behind(provider, ids)
    expected = zip(both, ("LinesMissing", "Rotated"), (0, WIDTH), strict=True)
    logs = ended(own_release, service, both)
    for (stream, reason, width), log in zip(expected, logs, strict=True):
        found = leading(stream.messages, width)
        assert not out_of_order(found), (reason, stream.of("gap"))
        assert len(found) < RATE * seconds
        assert stream.of("gap"), (reason, len(found), log)
        assert (log["lost"], log["reason"]) == (True, reason), log
