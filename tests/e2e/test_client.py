"""The Python client against the real service: its page, cut connections, restarts, pods."""

import asyncio
import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.deploy import ROOT
from tests.cluster.provider import Provider
from tests.e2e.values import CLERK
from tests.support import project
from tests.support.cutter import Cutter
from tests.support.jobs import BURST, DUMMY, FAILING
from tests.support.release import Release
from tests.support.rest import Rest
from tests.support.waiting import until

from core4.client import (
    AsyncClient,
    Client,
    Close,
    DeadlineError,
    DuplicateError,
    ForbiddenError,
    JobFailedError,
    Log,
    State,
)

# One test restarts the API.
pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("service")]

PAGE = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
JOBS = [block for block in BLOCKS if "CoreJob" in block]
SCRIPTS = [block for block in BLOCKS if block not in JOBS]
POD = re.compile(r"^```yaml\n# in the template.*?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINES = 300
SECONDS = 300


@pytest.fixture(autouse=True)
def environment(own_release: Release, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment that the page begins with."""
    monkeypatch.setenv("CORE4_URL", own_release.root)
    monkeypatch.setenv("CORE4_USER", "admin")
    monkeypatch.setenv("CORE4_PASSWORD", "hans")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.fixture
def core4() -> Iterator[Client]:
    with Client(proxy="") as client:
        yield client


# --- the page -------------------------------------------------------------------------------------


def test_the_examples_of_the_page_do_what_it_says():
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    test = doctest.DocTestParser().get_doctest(PAGE, {}, "client.md", "docs/client.md", 0)
    assert len(test.examples) > 10
    out = io.StringIO()
    result = doctest.DocTestRunner(optionflags=flags).run(test, out=out.write)
    assert result.failed == 0, out.getvalue()


@pytest.mark.parametrize("number", range(len(SCRIPTS)))
def test_the_recipes_of_the_page_run(number: int, tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPTS[number], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True, text=True, check=False, timeout=SECONDS,
        env={**os.environ, "NO_PROXY": "*"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    if "sys.exit" in SCRIPTS[number]:
        assert "done execution with [complete]" in done.stdout
    if "gather" in SCRIPTS[number]:
        assert done.stdout == "['complete', 'complete', 'complete']\n"


@pytest.fixture
def night(
    own_release: Release, provider: Provider, image: str, service: Rest, tmp_path: Path
) -> Iterator[str]:
    """The page's job that starts jobs, with its Secret and its template as the page says."""
    folder = tmp_path / "project"
    (folder / "night").mkdir(parents=True)
    (folder / "night" / "__init__.py").touch()
    (folder / "night" / "jobs.py").write_text(JOBS[0], encoding="utf-8")
    dockerfile = (ROOT / "tests" / "e2e" / "original" / "Dockerfile").read_text()
    (folder / "Dockerfile").write_text(dockerfile.replace("original/", "night/"))
    built = project.build(provider, image, folder, "night")
    kubectl = own_release.kubectl
    secret = [f"--from-literal=user={CLERK}", f"--from-literal=password={CLERK}"]
    kubectl("create", "secret", "generic", "night", *secret)
    (manifest,) = yaml.safe_load_all(project.templates(folder, "night", built))
    (block,) = POD.findall(PAGE)
    pod = yaml.safe_load(block)["spec"]["template"]["spec"]
    spec = manifest["spec"]["template"]["spec"]
    spec["enableServiceLinks"] = pod["enableServiceLinks"]
    spec["containers"][0]["env"] = pod["containers"][0]["env"]
    kubectl.apply(manifest)
    service.wait_listed("night.jobs.Night")
    yield "night.jobs.Night"
    kubectl("delete", "corejobtemplate", "night.jobs.night")


def test_a_job_starts_jobs_with_nothing_but_its_image_and_a_secret(core4: Client, night: str):
    job = core4.enqueue(night)
    events = list(job.follow(timeout=SECONDS))
    messages = [event.message for event in events if isinstance(event, Log)]
    assert job.result().is_complete, messages
    assert len([message for message in messages if message.endswith("is done")]) == 2
    children = [each for each in core4.journal(username=CLERK) if each.qual_name == DUMMY]
    assert [(each.args or {})["customer"] for each in children] == ["ACME", "Globex"]
    assert {each.state for each in children} == {"complete"}


# --- streams --------------------------------------------------------------------------------------


# Each follows a job to its end, and adds each event to a list as it comes.
Follower = Callable[[str, str, list[Any]], None]


def by_thread(root: str, job_id: str, events: list[Any]) -> None:
    with Client(root, proxy="") as core4:
        events.extend(core4.job(job_id).follow(timeout=SECONDS))


def by_asyncio(root: str, job_id: str, events: list[Any]) -> None:
    async def follow() -> None:
        async with AsyncClient(root, proxy="") as core4:
            async for event in core4.job(job_id).follow(timeout=SECONDS):
                events.append(event)  # noqa: PERF401 - others read the list while it grows

    asyncio.run(follow())


def check(events: list[Any]) -> None:
    """Check that a stream has all of a burst: each record once, in order, and the end."""
    numbers = [event.number for event in events if isinstance(event, Log)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= LINES + 2
    assert [event for event in events if isinstance(event, State)][-1].state == "complete"
    assert isinstance(events[-1], Close)


@pytest.mark.parametrize("follow", [by_thread, by_asyncio])
def test_a_stream_that_is_cut_again_and_again_is_whole(
    own_release: Release, core4: Client, follow: Follower
):
    job = core4.enqueue(BURST)
    # Below 2 KiB a connection would not get beyond the document of the job.
    with Cutter(own_release.root, first=3000, step=997) as cutter:
        live: list[Any] = []
        follow(cutter.root, job.id, live)
        check(live)
        assert cutter.cuts > 5
        # The log of a past job, cut at other places.
        past: list[Any] = []
        follow(cutter.root, job.id, past)
        check(past)


def test_a_stream_outlives_the_api(own_release: Release, core4: Client, service: Rest):
    job = core4.enqueue(DUMMY, sleep=30, logging=True, loop_time=0.1)
    streams: list[list[Any]] = []
    readers = []
    for follow in (by_thread, by_asyncio):
        streams.append([])
        arguments = (own_release.root, job.id, streams[-1])
        readers.append(threading.Thread(target=follow, args=arguments))
        readers[-1].start()
    # Only an open stream is resumed for long. This includes the start of a pod.
    until(
        lambda: all(any(isinstance(one, Log) for one in events) for events in streams),
        what="the first record arrives by both streams",
        seconds=SECONDS,
    )
    own_release.kubectl("delete", "pod", own_release.pod("api"), "--grace-period=1")
    waited = core4.job(job.id).wait(timeout=SECONDS)
    for reader in readers:
        reader.join(SECONDS)
    own_release.wait_ready()
    assert waited.state == "complete"
    log = [line.message for line in job.log()]
    for events in streams:
        assert [event.message for event in events if isinstance(event, Log)] == log
        assert isinstance(events[-1], Close)
    service.wait_journaled(job.id)


# --- commands -------------------------------------------------------------------------------------


def test_commands_without_a_pause(core4: Client):
    job = core4.enqueue(DUMMY, sleep=600)
    with pytest.raises(DuplicateError) as duplicate:
        core4.enqueue(DUMMY, sleep=600)
    assert duplicate.value.existing_id == job.id
    with pytest.raises(DeadlineError):
        job.wait(timeout=1)
    job.kill()
    with pytest.raises(JobFailedError, match="killed"):
        job.result(timeout=SECONDS)
    restarted = job.restart()
    assert [each.id for each in core4.queue(name=DUMMY)] == [restarted.id]
    restarted.kill()
    restarted.remove()


def test_a_failing_job_has_no_result(core4: Client):
    job = core4.enqueue(FAILING, attempts=1)
    with pytest.raises(JobFailedError) as caught:
        job.result(timeout=SECONDS)
    assert caught.value.reason == "CodeError"
    assert caught.value.last_error is not None


def test_rights_are_those_of_the_user(own_release: Release):
    with Client(own_release.root, user=CLERK, password=CLERK, proxy="") as clerk:
        assert {entry.qual_name for entry in clerk.jobs()} == {DUMMY}
        with pytest.raises(ForbiddenError):
            clerk.enqueue(BURST)


def test_listings_page_by_themselves(core4: Client):
    jobs = [core4.enqueue(DUMMY, sleep=1, n=n) for n in range(5)]
    for job in jobs:
        with contextlib.suppress(JobFailedError):
            job.result(timeout=SECONDS)
    ids = {job.id for job in jobs}
    until(
        lambda: [each.id for each in core4.journal(per_page=2) if each.id in ids],
        lambda found: found == sorted(ids),
        what="the journal lists each job once",
    )
