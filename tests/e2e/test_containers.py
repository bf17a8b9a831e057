"""Jobs of the container runtime: any image and command, in any language."""

import json
from typing import Any

import pytest
import yaml
from tests.cluster.deploy import ROOT
from tests.cluster.provider import Provider
from tests.e2e.manifests import template
from tests.support import corejobs
from tests.support.images import go_program
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest
from tests.support.scripts import SHELL_DRAINED

pytestmark = pytest.mark.cluster

GO_JOB = ROOT / "examples" / "go-job"
SHELL = "e2e.containers."
# Seconds to wait for the last lines of a pod, however busy its node is.
PATIENT = {"terminationGracePeriodSeconds": 60}
# Fields of a container's log records: level, message.
Lines = list[tuple[str, str]]


def shell(rest: Rest, kubectl: Kubectl, image: str, name: str, script: str, **pod: Any) -> str:
    """Create the template of a job that runs a shell script; return the job's name."""
    container = {"name": "any", "image": image, "command": ["sh", "-c", SHELL_DRAINED + script]}
    qual_name = f"{SHELL}{name}"
    whole = {"containers": [container], **pod}
    kubectl.apply(template(qual_name, runtime="container", pod=whole))
    rest.wait_listed(qual_name)
    return qual_name


def lines(rest: Rest, job_id: str) -> Lines:
    return [(record["level"], record["message"]) for record in rest.whole_log(job_id)]


ARGUMENTS: dict[str, Any] = {
    "word": 'it\'s $HOME & "so" on',
    "number": 7,
    "list": [1, {"a": None}],
    "no-variable": True,
}
SHOW_ARGUMENTS = """
echo "$CORE4_ARG_WORD"; echo "$CORE4_ARG_NUMBER"; echo "$CORE4_ARG_LIST"
echo "$CORE4_ARGS"; cat "$CORE4_JOB_FILE"; echo
test -n "$CORE4_POD" && test -n "$CORE4_NODE" && echo "$CORE4_POD"
"""


def test_arguments_as_environment_and_as_a_file(rest: Rest, kubectl: Kubectl, image: str):
    name = shell(rest, kubectl, image, "Arguments", SHOW_ARGUMENTS)
    job_id = rest.enqueue(name, **ARGUMENTS, attempts=2)
    document = rest.wait_state(job_id, "complete")
    word, number, listed, args, whole, pod = [text for _, text in lines(rest, job_id)]
    assert word == ARGUMENTS["word"]
    assert number == "7"
    assert json.loads(listed) == ARGUMENTS["list"]
    assert json.loads(args) == ARGUMENTS
    told = json.loads(whole)
    assert told["id"] == job_id
    assert (told["qualName"], told["args"]) == (name, ARGUMENTS)
    assert (told["trial"], told["attempts"], told["attemptsLeft"]) == (1, 2, 2)
    assert told["enqueued"]["username"] == told["username"] == "admin"
    assert pod.startswith(f"{job_id}-1-")
    assert document["prog"] == {"value": 1.0, "message": ""}


LINES = r"""
echo 'plain'
echo 'to stderr' >&2
echo '{"level": "warn", "message": "with a level"}'
echo '{"severity": "DEBUG", "msg": "in other words"}'
echo '{"levelname": "fatal", "message": "the worst"}'
echo '{"level": "strange", "message": "no level"}'
echo '{"level": "ERROR", "text": "no message"}'
echo '["no", "object"]'
echo ''
echo 'tab	and	ünïcode'
printf '\377bad\n'
"""


def test_plain_lines_and_json_lines_with_levels(rest: Rest, kubectl: Kubectl, image: str):
    job_id = rest.enqueue(shell(rest, kubectl, image, "Lines", LINES))
    rest.wait_state(job_id, "complete")
    found = lines(rest, job_id)
    # The two streams are two pipes: order is kept only within each.
    assert ("INFO", "to stderr") in found
    found.remove(("INFO", "to stderr"))
    assert found == [
        ("INFO", "plain"),
        ("WARNING", "with a level"),
        ("DEBUG", "in other words"),
        ("CRITICAL", "the worst"),
        ("INFO", "no level level=strange"),
        ("ERROR", '{"level": "ERROR", "text": "no message"}'),
        ("INFO", '["no", "object"]'),
        ("INFO", ""),
        ("INFO", "tab\tand\tünïcode"),
        ("INFO", "\\xffbad"),
    ]


HALF = r"""
printf 'no line end'
drained
exec >&-
echo ', to stderr' >&2
echo 'the last' >&2
# For what runs at the end.
exec >&2
"""


def test_a_text_without_a_line_end_beside_the_other_stream(
    rest: Rest, kubectl: Kubectl, image: str
):
    job_id = rest.enqueue(shell(rest, kubectl, image, "Half", HALF))
    rest.wait_state(job_id, "complete")
    # In the file, the kubelet joins this line with the next one; nothing is missing.
    assert [text for _, text in lines(rest, job_id)] in (
        ["no line end, to stderr", "the last"],
        [", to stderr", "no line endthe last"],
        [", to stderr", "the last", "no line end"],
    )


def test_the_exit_code_decides(rest: Rest, kubectl: Kubectl, image: str):
    name = shell(rest, kubectl, image, "Exit", 'echo "exit $CORE4_ARG_CODE"; exit $CORE4_ARG_CODE')
    good = rest.enqueue(name, code=0)
    later = rest.enqueue(name, code=75, defer_time=600)
    bad = rest.enqueue(name, code=3, attempts=2, error_time=1)

    document = rest.wait_state(good, "complete")
    assert (document["reason"], document["last_error"]) == ("Completed", None)

    document = rest.wait_state(later, "deferred")
    assert (document["attempts_left"], document["trial"]) == (1, 1)
    assert document["query_at"] is not None
    assert document["last_error"]["exception"] == "the container ended with exit code 75: exit 75"

    document = rest.wait_state(bad, "error")
    assert (document["attempts_left"], document["trial"]) == (0, 2)
    assert document["reason"] == "CodeError"
    assert document["message"] == "the container ended with exit code 3: exit 3"
    assert lines(rest, bad) == [("INFO", "exit 3")] * 2
    assert lines(rest, good) == [("INFO", "exit 0")]


def test_a_container_that_is_killed(rest: Rest, kubectl: Kubectl, image: str):
    script = "trap 'echo bye; exit 143' TERM; echo waiting; sleep 600 & wait"
    name = shell(rest, kubectl, image, "Killed", script, **PATIENT)
    job_id = rest.enqueue(name)
    with rest.follow(job_id) as stream:
        stream.line("waiting")
        rest.kill(job_id)
        stream.to_close()
    assert stream.messages == ["waiting", "bye"]
    document = rest.detail(job_id)
    assert (document["state"], document["reason"]) == ("killed", "Killed")
    corejobs.wait_no_pod(kubectl, job_id)


@pytest.fixture(scope="module")
def primes(provider: Provider, rest: Rest, kubectl: Kubectl) -> str:
    """The name of the job in Go, with its image built and its template applied."""
    built = go_program(provider, GO_JOB, "primes")
    document = yaml.safe_load((GO_JOB / "template.yaml").read_text(encoding="utf-8"))
    pod = document["spec"]["template"]["spec"]
    pod["containers"][0]["image"] = built.reference
    pod |= PATIENT
    kubectl.apply(document)
    qual_name: str = document["spec"]["qualName"]
    rest.wait_listed(qual_name)
    return qual_name


def test_a_go_job_that_speaks_the_protocol(rest: Rest, primes: str):
    job_id = rest.enqueue(primes, limit=1000, progress_interval=1)
    # The recorder may write the sources after the operator has written the state.
    document = rest.wait(
        job_id,
        lambda row: row["state"] == "complete" and bool(row["sources"]),
        what="is complete, with its sources",
    )
    assert document["prog"] == {"value": 1.0, "message": ""}
    assert document["sources"] == ["natural numbers"]
    assert lines(rest, job_id) == [("DEBUG", "trial 1"), ("INFO", "168 primes up to 1000")]


def test_the_progress_of_a_go_job(rest: Rest, primes: str):
    with rest.run(primes, limit=100, sleep=600) as stream:
        stream.line("25 primes up to 100")
        seen = stream.wait(
            # The recorder may read its log before the operator has recorded that it runs.
            lambda frame: (
                frame.event == "state"
                and (frame.data["state"], frame.data["prog"]["value"]) == ("running", 1.0)
            ),
            what="its progress",
        ).data
        assert seen["prog"]["message"] == "25 primes up to 100"
        rest.kill(seen["_id"])
        stream.to_close()
    assert stream.states[-1] == "killed"
    assert stream.of("log")[-1]["level"] == "WARNING"
    assert stream.messages[-1] == "told to stop"


def test_the_errors_of_a_go_job(rest: Rest, primes: str):
    job_id = rest.enqueue(primes, limit=1)
    document = rest.wait_state(job_id, "error")
    assert document["last_error"]["exception"] == "limit is 1, expected 2 or more"
    assert document["message"] == "limit is 1, expected 2 or more"
    assert lines(rest, job_id)[-1] == ("ERROR", "there is no prime number up to 1")

    job_id = rest.enqueue(primes, limit=11, defer=True, defer_time=1)
    document = rest.wait_state(job_id, "complete")
    assert (document["trial"], document["attempts_left"]) == (2, 1)
    assert ("INFO", "5 primes up to 11") in lines(rest, job_id)

    assert "limit" in rest.refused(
        400, "POST", "job", json={"qual_name": primes, "args": {"limit": "x"}, "follow": False}
    )
