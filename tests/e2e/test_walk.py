"""The user manual of the job API, call by call, with plain `requests` and without any pause."""

import re
from functools import partial
from typing import Any

import pytest
import requests
from tests.cluster.deploy import ROOT
from tests.e2e.original.original.jobs import WORDS
from tests.support.jobs import DUMMY
from tests.support.release import Release
from tests.support.rest import Rest
from tests.support.sse import TIMEOUT, WAIT_SECONDS, Stream

pytestmark = pytest.mark.cluster

README = ROOT / "README.md"

AUTH = ("admin", "hans")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Disable the environment's proxy for plain requests: it can't reach the cluster."""
    monkeypatch.setenv("no_proxy", "*")


def test_the_manual(release):
    url = f"{release.url}/job"
    get = partial(requests.get, auth=AUTH, timeout=TIMEOUT)
    post = partial(requests.post, auth=AUTH, timeout=TIMEOUT)
    put = partial(requests.put, auth=AUTH, timeout=TIMEOUT)

    catalogue = get(f"{url}/list").json()
    assert catalogue["code"] == 200
    assert catalogue["message"] == "OK"
    assert len(catalogue["data"]) == min(10, catalogue["total_count"]) > 0

    found = get(f"{url}/list?page=0&search=dummy").json()
    assert [row["_id"] for row in found["data"]] == [DUMMY]
    assert found["total_count"] == 1

    body = {"qual_name": DUMMY, "args": {"sleep": 60}}
    with Stream(post(url, json=body, stream=True)) as stream:
        stream.to_close(WAIT_SECONDS + 60)
    assert "running" in stream.states
    assert stream.states[-1] == "complete"
    assert stream.messages.count("start execution") == 1
    past = stream.of("state")[-1]["_id"]

    detail = get(f"{url}/{past}").json()["data"]
    assert detail["journal"] is True
    assert detail["state"] == "complete"
    assert detail["prog"] == {"value": 1.0, "message": ""}
    assert detail["runtime"] >= 60

    first = post(url, json={**body, "follow": False}).json()["data"]
    listed = post(f"{url}/queue", json={"search": "dummy"}).json()
    queue = get(url).json()
    for answer in (listed, queue):
        assert [row["_id"] for row in answer["data"]] == [first]
        assert answer["total_count"] == 1

    assert put(f"{url}/kill/{first}").json()["data"] is True
    second = put(f"{url}/restart/{first}", json={"follow": False}).json()["data"]
    assert second != first

    old = get(f"{url}/{first}").json()["data"]
    assert (old["state"], old["journal"]) == ("killed", True)
    assert old["enqueued"]["child_id"] == second
    new = get(f"{url}/{second}").json()["data"]
    assert new["journal"] is False
    assert new["enqueued"]["parent_id"] == first
    assert new["args"] == {"sleep": 60}

    with Stream(get(f"{url}/follow/{second}", json={"follow": True}, stream=True)) as stream:
        stream.state("running")
        stream.line("just sleeping [60] seconds")
    with Stream(get(f"{url}/log/{second}", json={"follow": True}, stream=True)) as stream:
        stream.line("just sleeping [60] seconds")
    assert stream.of("state") == []

    assert put(f"{url}/kill/{second}").json()["data"] is True
    assert put(f"{url}/remove/{second}").json()["data"] is True
    empty = get(url).json()
    assert (empty["total_count"], empty["data"]) == (0, [])


@pytest.mark.parametrize("running", [True, False], ids=["running", "just enqueued"])
def test_kill_and_restart_without_a_pause(rest: Rest, running):
    old = rest.enqueue(DUMMY, sleep=601)
    if running:
        rest.wait_state(old, "running")
    rest.kill(old)
    new = rest.restart(old)
    assert new != old
    assert rest.detail(old)["state"] == "killed"
    assert [row["_id"] for row in rest.queue()] == [new]
    rest.wait_state(new, "running")


@pytest.mark.parametrize("running", [True, False], ids=["running", "just enqueued"])
def test_kill_and_remove_and_list_without_a_pause(rest: Rest, running):
    job_id = rest.enqueue(DUMMY, sleep=602)
    if running:
        rest.wait_state(job_id, "running")
    rest.kill(job_id)
    rest.remove(job_id)
    assert rest.queue() == []
    detail = rest.detail(job_id)
    assert (detail["state"], detail["journal"]) == ("killed", True)


def test_kill_and_remove_and_enqueue_again_without_a_pause(rest: Rest):
    old = rest.enqueue(DUMMY, sleep=603)
    rest.kill(old)
    rest.remove(old)
    new = rest.enqueue(DUMMY, sleep=603)
    assert [row["_id"] for row in rest.queue()] == [new]


def readme(release: Release) -> str:
    """Return the README's Python code, for this service, with a job of a few seconds."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    changes = {"http://localhost:5001/core4/api/v1": release.url, '"sleep": 60': '"sleep": 6'}
    for old, new in changes.items():
        assert old in code
        code = code.replace(old, new)
    return str(code)


def test_the_readme_s_code_does_what_it_says(release, original, capsys):
    names: dict[str, Any] = {}
    exec(compile(readme(release), str(README), "exec"), names)
    catalogue, state, *log, page, queue = capsys.readouterr().out.splitlines()
    assert DUMMY in catalogue
    assert state in {"pending", "running"}
    assert log[:2] == ["start execution", "just sleeping [6] seconds"]
    assert log[-1].startswith("done execution with [complete]")
    assert "start execution" in page
    assert queue == "[]"

    # Every line as it was logged.
    body = {"qual_name": f"{original}.WordsJob"}
    names["follow"](names["rest"].post(f"{release.url}/job", json=body, stream=True))
    printed = capsys.readouterr().out
    whole = "start execution\n" + "".join(f"{word}\n" for word in WORDS)
    assert printed.startswith(whole)
    assert printed.removeprefix(whole).startswith("done execution with [complete]")
