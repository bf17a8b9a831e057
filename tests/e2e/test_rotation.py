"""The kubelet rotates logs while jobs write as fast as they can: what is lost has a name.

Its limits are made small: a file is rotated at the first look after a mebibyte, every 3 s. Only
the newest file can be read through the API server.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from tests.cluster.local import LocalCluster
from tests.cluster.provider import Provider
from tests.e2e.manifests import template
from tests.support import corejobs, hostprocess
from tests.support.jobs import CHATTY
from tests.support.release import Release
from tests.support.rest import Rest
from tests.support.waiting import let_pass, until

pytestmark = [pytest.mark.cluster, pytest.mark.local, pytest.mark.alone]

RECORDER = "core4-recorder"
MIB = 2**20
SMALL = {
    "containerLogMaxFiles": 2,
    "containerLogMaxSize": "1Mi",
    "containerLogMonitorInterval": "3s",
}
# 2 MB/s: six times the limit at each of the kubelet's looks.
RATE, SIZE, SECONDS = 2000, 1000, 20
TOTAL = RATE * SECONDS
FILLING = "x" * (SIZE - 10)
STALL_SECONDS = 12

WRITING = f"""
import sys, time
start = time.monotonic()
for number in range({RATE} * int(sys.argv[1])):
    print(f"{{number:06}} {FILLING}", flush=True)
    time.sleep(max(0, start + number / {RATE} - time.monotonic()))
"""


@pytest.fixture(scope="module")
def small_files(provider: Provider) -> Iterator[None]:
    """The node's logs are rotated early."""
    LocalCluster(kubelet=SMALL).up()
    yield
    provider.up()


@pytest.fixture(scope="module")
def service(small_files: None, own_release: Release) -> Iterator[Rest]:
    del small_files
    with own_release.rest() as client:
        yield client


@pytest.fixture(autouse=True)
def emptied(service: Rest) -> Iterator[None]:
    """As in conftest, for this module's own release."""
    yield
    service.empty_queue()


def settled(release: Release, job_id: str) -> dict[str, Any]:
    """`status.log` of a job that has ended."""
    return until(
        lambda: corejobs.status(release.kubectl, job_id).get("log") or {},
        lambda log: bool(log.get("complete")),
        what=f"the log of {job_id} is complete",
        seconds=180,
    )


def plain(release: Release, service: Rest, image: str, seconds: int) -> str:
    """The id of a job that is a container with a Python script, whose lines have no numbers."""
    command = ["python3", "-c", WRITING, str(seconds)]
    container = {"name": "job", "image": image, "command": command}
    qual_name = f"e2e.rotation.Writing{seconds}"
    release.kubectl.apply(template(qual_name, runtime="container", pod={"containers": [container]}))
    service.wait_listed(qual_name)
    return service.enqueue(qual_name)


def leading(messages: list[str]) -> list[int]:
    """The numbers with which whole lines begin."""
    parts = [text.split(" ") for text in messages if text.endswith("xxx")]
    return [int(first) for first, *_ in parts if first.isdecimal()]


def out_of_order(numbers: list[int]) -> list[tuple[int, int]]:
    """The neighbours of which the second does not come after the first."""
    return [(before, after) for before, after in pairwise(numbers) if before >= after]


def test_a_numbered_log_under_fire(own_release: Release, service: Rest):
    with service.run(CHATTY, rate=RATE, seconds=SECONDS, size=SIZE) as stream:
        stream.to_close(180)
    job_id = stream.frames[0].data["_id"]
    assert stream.states[-1] == "complete"
    log = settled(own_release, job_id)
    assert service.messages(job_id) == stream.messages
    found, gaps = leading(stream.messages), stream.of("gap")
    assert not out_of_order(found)
    assert log["bytes"] > TOTAL * SIZE / 2
    named = sum(gap["to"] - gap["from"] + 1 for gap in gaps)
    assert TOTAL - len(found) <= named
    assert log["lost"] is bool(gaps), (log, gaps)


def test_an_unnumbered_log_under_fire(own_release: Release, service: Rest, image: str):
    job_id = plain(own_release, service, image, SECONDS)
    service.wait_state(job_id, "complete", seconds=180)
    log = settled(own_release, job_id)
    messages = service.messages(job_id)
    found = leading(messages)
    assert not out_of_order(found)
    # A rotation may tear a line in two, of which the kubelet does not serve the first half.
    torn = len(messages) - len(found)
    assert len(found) + torn == TOTAL or log["lost"], log
    assert found[-1] == TOTAL - 1


@pytest.mark.host
@pytest.mark.parametrize("numbered", [True, False])
def test_files_that_were_rotated_away_unread(
    own_release: Release, service: Rest, image: str, numbered: bool
):
    """The recorder hangs, with its connection open, for longer than two files last."""
    pod = own_release.pod("api")
    uid = own_release.kubectl.json("get", "pod", pod)["metadata"]["uid"]
    seconds = SECONDS + STALL_SECONDS
    if numbered:
        job_id = service.enqueue(CHATTY, rate=RATE, seconds=seconds, size=SIZE)
    else:
        job_id = plain(own_release, service, image, seconds)
    with service.follow(job_id) as stream:
        stream.state("running")
        stream.wait(lambda frame: frame.event == "log", what="a line")
        with hostprocess.stopped(uid, RECORDER):
            # Nothing that can be waited for tells of files that nobody reads.
            let_pass(STALL_SECONDS)
        stream.to_close(180)
    assert stream.states[-1] == "complete"
    log = settled(own_release, job_id)
    found, gaps = leading(stream.messages), stream.of("gap")
    assert not out_of_order(found)
    assert len(found) < RATE * seconds
    assert gaps
    assert log["lost"] is True
    assert log["reason"] == ("LinesMissing" if numbered else "Rotated"), log
