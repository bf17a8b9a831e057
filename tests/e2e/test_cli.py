"""The real command `core4` against the real service, in pipes, in a terminal, and in a pod."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
from tests.support import terminals
from tests.support.command import CORE4, Command
from tests.support.jobs import DEFERRING, DUMMY, FAILING, PRINTING
from tests.support.kubectl import polled
from tests.support.release import Release
from tests.support.scripts import SHELL_DRAINED
from tests.support.waiting import until

# One test restarts the API.
pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("service")]

SECONDS = 240


@pytest.fixture
def core4(own_release: Release, tmp_path: Path) -> Command:
    return Command.of(own_release.root, tmp_path)


def queued(core4: Command, job_id: str, state: str) -> None:
    until(
        lambda: core4("get", job_id, "-o", "json").json["state"],
        lambda found: found == state,
        what=f"job {job_id} is {state}",
        seconds=SECONDS,
    )


# --- the exit code is the job's result ------------------------------------------------------------


def test_a_job_to_its_end(core4: Command):
    result = core4("enqueue", DUMMY, "sleep=1")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[0].startswith("INFO     start execution")
    assert lines[-1].startswith("INFO     done execution with [complete]")
    assert "-- running, trial 1" in result.err
    assert "-- complete after" in result.err.splitlines()[-1]
    # Once more, from the store, and as the latest job.
    again = core4("follow", "@latest")
    assert (again.code, again.out) == (0, result.out)
    assert core4("logs", "@latest").out == result.out


def test_an_error(core4: Command):
    result = core4("enqueue", FAILING, "--set", "attempts=1")
    assert result.code == 1
    assert "-- error after" in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    job_id = core4("ls", "-q", "--state", "error").out.strip()
    shown = core4("get", job_id).out
    assert "State:       error" in shown
    assert "Last error:" in shown


def test_an_inactive_job(core4: Command):
    result = core4("enqueue", DEFERRING, "--set", "defer_time=1", "--set", "defer_max=1")
    assert result.code == 1
    assert "-- deferred, next trial at" in result.err
    assert "-- inactive" in result.err.splitlines()[-1]


def test_a_killed_job(core4: Command):
    with core4.start("enqueue", DUMMY, "sleep=600") as running:
        running.line()
        (job_id,) = core4("ls", "-q").out.split()
        killed = core4("kill", job_id)
        assert (killed.code, killed.out) == (0, f"{job_id}\n")
        result = running.end()
    assert result.code == 1
    assert "-- killed" in result.err.splitlines()[-1]
    assert core4("wait", job_id).code == 1
    restarted = core4("restart", job_id).out.strip()
    assert restarted != job_id
    assert core4("rm", restarted).code == 0


# --- leave and come back --------------------------------------------------------------------------


def test_detach_and_come_back_while_the_api_restarts(core4: Command, own_release: Release):
    # It still runs when the interrupt arrives, and when the API's pod is deleted.
    with core4.start("enqueue", DUMMY, "sleep=30", "logging=true", "loop_time=0.1") as running:
        before = running.line()
        running.interrupt(signal.SIGINT)
        left = running.end()
    assert left.code == 130
    told = re.search(r"Follow: core4 follow ([0-9a-f]{24})", left.err)
    assert told is not None, left.err
    with core4.start("follow", told[1], "-o", "jsonl") as running:
        first = running.line()  # only an open stream is resumed for long
        own_release.kubectl("delete", "pod", own_release.pod("api"), "--grace-period=1")
        followed = running.end()
    own_release.wait_ready()
    assert followed.code == 0, followed.err
    out = first + followed.out
    events = [json.loads(line) for line in out.split("\n") if line]
    numbers = [int(event["_id"]) for event in events if event["event"] == "log"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 100
    assert (before + left.out).count("\n") < len(numbers)
    assert events[-1]["event"] == "close"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_kills_the_job_of_a_ci_step(core4: Command, number: signal.Signals):
    with core4.start("enqueue", DUMMY, "sleep=600", "--kill-on-interrupt") as running:
        running.line()
        running.interrupt(number)
        result = running.end()
    assert result.code == 1
    assert "-- killed" in result.err.splitlines()[-1]


def test_a_time_limit_leaves_the_job(core4: Command):
    result = core4("enqueue", DUMMY, "sleep=600", "--timeout", "2s")
    assert result.code == 124
    (job_id,) = core4("ls", "-q").out.split()
    assert core4("wait", job_id, "--timeout", "1s").code == 124
    assert core4("kill", job_id).code == 0


def test_wait_on_several(core4: Command):
    good = core4("enqueue", DUMMY, "sleep=1", "-d").out.strip()
    bad = core4("enqueue", FAILING, "--set", "attempts=1", "-d").out.strip()
    result = core4("wait", good, bad)
    assert result.code == 1
    assert [line.split()[:2] for line in result.out.splitlines()] == [
        [good, "complete"],
        [bad, "error:"] if f"{bad} error:" in result.out else [bad, "error"],
    ]
    slow = core4("enqueue", DUMMY, "sleep=600", "-d").out.strip()
    assert core4("wait", slow, good, "--any").out.split()[0] == good


# --- listings, forms, bulk ------------------------------------------------------------------------


def test_listings(core4: Command):
    waiting = core4("enqueue", DUMMY, "sleep=600", "n=1", "-d").out.strip()
    queued(core4, waiting, "running")
    assert core4("ls").out.split("\n")[1].split()[:3] == [waiting, DUMMY, "running"]
    assert [job["_id"] for job in core4("ls", "-o", "json").json] == [waiting]
    assert core4("ls", "-q", "--state", "error,killed").out == ""
    assert core4("get", waiting[:12], "-o", "json").json["args"] == {"sleep": 600, "n": 1}
    assert core4("get", waiting, "-o", "json").json["can"]["kill"] is True
    assert core4("kill", "--name", DUMMY, "-y").out == f"{waiting}\n"
    queued(core4, waiting, "killed")
    assert core4("rm", "--state", "killed", "-y").code == 0
    until(
        lambda: core4("history", "-q", "--user", "admin").out,
        lambda found: waiting in found,
        what="the history has the removed job",
    )
    assert core4("jobs", "-q", "--search", "DummyJob").out == f"{DUMMY}\n"
    # The counts are written at intervals.
    until(
        lambda: core4("counts", "-o", "json").json["total"],
        lambda total: total == 0,
        what="no job is counted",
    )
    profile = core4("whoami", "-o", "json").json
    assert profile["can"] == {"read": True, "log": True, "enqueue": True, "steer": True}
    assert core4("api", "GET", "/meta").json["data"]["api_level"] == 1


def test_a_refusal_of_the_server_has_an_exit_code_of_its_own(core4: Command):
    assert core4("get", "0" * 24).code == 3
    unknown = core4("enqueue", "no.such.Job")
    assert (unknown.code, unknown.out) == (3, "")
    assert "no.such.Job" in unknown.err
    refused = core4("ls", CORE4_PASSWORD="wrong")
    assert refused.code == 4
    away = core4("ls", CORE4_URL="http://127.0.0.1:1")
    assert away.code == 5


def test_a_context_and_its_token(core4: Command, own_release: Release):
    signed_in = core4("login", "--url", own_release.root, "--user", "admin", "--name", "here")
    assert signed_in.code == 0, signed_in.err
    alone = {"CORE4_URL": "", "CORE4_USER": "", "CORE4_PASSWORD": ""}
    assert core4("whoami", "-q", **alone).out == "admin\n"
    assert core4("logout", **alone).code == 0
    assert core4("whoami", **alone).code == 4


def test_without_an_ingress(core4: Command, own_release: Release):
    kubectl = own_release.provider.binary("kubectl")
    environ = {
        "PATH": f"{kubectl.parent}:{os.environ['PATH']}",
        "KUBECONFIG": str(own_release.provider.kubeconfig),
        "CORE4_URL": "",
    }
    via = f"kubectl:{own_release.namespace}/core4-api"
    result = core4("--via", via, "whoami", "-q", **environ)
    assert (result.code, result.out) == (0, "admin\n"), result.err
    result = core4("--via", via, "enqueue", DUMMY, "sleep=1", **environ)
    assert result.code == 0, result.err
    missing = core4("ls", "--via", f"kubectl:{own_release.namespace}/none", **environ)
    assert missing.code == 2
    assert "none" in missing.err


def test_at_a_terminal(core4: Command):
    argv = [CORE4, "enqueue", DUMMY, "sleep=2"]
    code, written = terminals.run(argv, {**core4.environ, "TERM": "xterm"}, seconds=SECONDS)
    assert code == 0
    assert "done execution with [complete]" in written
    assert "\r\x1b[K" in written


def test_from_a_pod_with_nothing_but_the_image(own_release: Release):
    """The service is found by itself; the sign-in comes from a Secret."""
    kubectl = own_release.kubectl
    kubectl(
        "create", "secret", "generic", "cli", "--from-literal=user=admin",
        "--from-literal=password=hans",
    )  # fmt: skip
    names = {"CORE4_USER": "user", "CORE4_PASSWORD": "password"}
    environ = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": "cli", "key": key}}}
        for name, key in names.items()
    ]
    container = {
        "name": "cli",
        "image": own_release.image,
        "command": ["sh", "-c", f"{SHELL_DRAINED}core4 enqueue {DUMMY} sleep=1"],
        "env": environ,
    }
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "cli"},
            "spec": {"restartPolicy": "Never", "containers": [container]},
        }
    )
    polled(
        lambda: kubectl.json("get", "pod", "cli")["status"]["phase"],
        lambda phase: phase in {"Succeeded", "Failed"},
        what="the pod has ended",
        seconds=SECONDS,
    )
    log = kubectl("logs", "cli")
    kubectl("delete", "pod", "cli")
    assert "done execution with [complete]" in log
    assert "-- complete after" in log


def test_the_output_of_a_job_is_shown_on_request_between_its_records(core4: Command):
    plain = core4("enqueue", PRINTING)
    assert plain.code == 0, plain.err
    whole = core4("follow", "@latest", "--with-output")
    assert whole.code == 0, whole.err
    printed = [line for line in whole.out.splitlines() if line.startswith(("stdout", "stderr"))]
    assert printed
    records = [line for line in whole.out.splitlines() if line not in printed]
    assert records == plain.out.splitlines()
    assert core4("logs", "@latest", "--with-output").out == whole.out
    # Printed between the first record and the last.
    assert whole.out.splitlines()[0] == records[0]
    assert whole.out.splitlines()[-1] == records[-1]
