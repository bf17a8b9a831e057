"""`kill`, `restart`, `rm`: single jobs and chosen ones, questions, and errors of one of many."""

import pytest
from tests.unit.client.raw_server import RawServer, bad
from tests.unit.client.story import JOB, Story, document
from tests.unit.command.conftest import BASE, IDS, Core4, FakeCore4, job

from core4.command import terminal


def steered(server: RawServer) -> list[str]:
    return [
        asked.path.removeprefix(f"{BASE}/job/") for asked in server.asked if asked.method == "PUT"
    ]


@pytest.mark.parametrize(
    ("name", "action", "told"),
    [("kill", "kill", "killed"), ("rm", "remove", "removed"), ("remove", "remove", "removed")],
)
def test_single_jobs(core4: Core4, server: RawServer, name: str, action: str, told: str) -> None:
    result = core4(name, IDS[0], IDS[1])
    assert (result.code, result.out) == (0, f"{IDS[0]}\n{IDS[1]}\n")
    assert result.err == f"{told} {IDS[0]}\n{told} {IDS[1]}\n"
    assert steered(server) == [f"{action}/{IDS[0]}", f"{action}/{IDS[1]}"]


def test_a_restart_prints_the_new_id(core4: Core4) -> None:
    result = core4("restart", IDS[0])
    assert (result.code, result.out) == (0, f"{IDS[9]}\n")
    assert result.err == f"restarted {IDS[0]} as {IDS[9]}\n"


def test_a_restart_can_be_followed(core4: Core4, fake: FakeCore4) -> None:
    fake.story = Story([("log", "again"), ("state", document("error"))])
    result = core4("restart", IDS[0], "--follow")
    assert (result.code, result.out) == (1, "INFO     again\n")
    assert result.err.startswith(f"-- job {IDS[9]} --\n")


def test_a_restart_with_changed_arguments_is_a_new_job(core4: Core4, server: RawServer) -> None:
    result = core4("restart", IDS[1], "--args", '{"m": 2}')
    assert (result.code, result.out) == (0, f"{JOB}\n")
    assert server.asked[-1].json["args"] == {"n": 1, "m": 2}
    assert not steered(server)
    assert core4("restart", IDS[1], IDS[2], "--follow").code == 2
    assert "--args is not a JSON object" in core4("restart", IDS[1], "--args", "[]").err


def test_an_error_of_one_does_not_stop_the_others(
    core4: Core4, fake: FakeCore4, server: RawServer
) -> None:
    fake.errors["PUT", f"/job/kill/{IDS[0]}"] = bad(404, "job not found")
    result = core4("kill", IDS[0], IDS[1])
    assert (result.code, result.out) == (3, f"{IDS[1]}\n")
    assert result.err == f"error: job not found\nkilled {IDS[1]}\n"
    assert len(steered(server)) == 2


@pytest.fixture
def fake() -> FakeCore4:
    return FakeCore4(queue=[job(0), job(1, "failed"), job(2, "failed")])


def test_chosen_jobs_need_a_yes(core4: Core4, server: RawServer) -> None:
    result = core4("kill", "--state", "failed")
    assert result.code == 2
    assert "Kill 2 jobs? Say -y to do it without a question." in result.err
    assert not steered(server)
    assert core4("kill", "--state", "failed", "-y").code == 0
    assert steered(server) == [f"kill/{IDS[1]}", f"kill/{IDS[2]}"]


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 130), ("", 130)])
def test_at_a_terminal_it_asks(
    core4: Core4, server: RawServer, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    monkeypatch.setattr(terminal, "is_interactive", lambda: True)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: _answered(answer))
    assert core4("rm", "--name", "reports.Nightly").code == code
    assert len(steered(server)) == (3 if code == 0 else 0)


def _answered(answer: str) -> str:
    if not answer:
        raise EOFError
    return answer.strip()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "Give ids, or options that choose jobs"),
        ([IDS[0], "--state", "failed"], "not both"),
    ],
)
def test_wrong_usage(core4: Core4, server: RawServer, args: list[str], words: str) -> None:
    result = core4("kill", *args)
    assert result.code == 2
    assert words in result.err
    assert not server.asked


def test_no_job_matches(core4: Core4, fake: FakeCore4) -> None:
    fake.queue = []
    result = core4("kill", "--state", "failed", "-y")
    assert (result.code, result.out, result.err) == (0, "", "No job in the queue matches.\n")


def test_not_signed_in_ends_at_once(core4: Core4, fake: FakeCore4, server: RawServer) -> None:
    fake.errors["PUT", f"/job/kill/{IDS[0]}"] = bad(401, "not signed in")
    assert core4("kill", IDS[0], IDS[1]).code == 4
    assert len(steered(server)) == 1
