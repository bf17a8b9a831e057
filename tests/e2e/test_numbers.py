"""Args reach the job as they were given: integers as integers, floats as floats."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.cluster.deploy import ROOT
from tests.e2e.manifests import corejob, template
from tests.support import corejobs
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest

pytestmark = pytest.mark.cluster

RECORDED = json.loads((ROOT / "tests/unit/domain/apiserver_args.json").read_text(encoding="utf-8"))
NUMBERS: dict[str, Any] = {
    "one": 1.0,
    "whole": 1,
    "minus_nothing": -0.0,
    "exponent": 1e3,
    "large": 1.2345678901234567e20,
    "larger": 1e22,
    "largest": 1.7976931348623157e308,
    "smallest": 5e-324,
    "most": 2**63 - 1,
    "least": -(2**63),
    "odd": 2**53 + 1,
    "text": "1.0",
    "deep": [1.0, {"ä": [2.0, 2, None, True]}],
}


def logged(rest: Rest, job_id: str) -> dict[str, str]:
    """Return the arguments as the job saw them, by name, as their Python `repr`."""
    lines = [text.partition("=") for text in rest.messages(job_id) if "=" in text]
    return {name: value for name, _, value in lines}


def expected(args: dict[str, Any]) -> dict[str, str]:
    return {name: repr(value) for name, value in args.items()}


def test_through_rest_retries_restarts_and_kubectl(rest: Rest, kubectl: Kubectl, original: str):
    # Both trials of the job fail, and both of its restart by REST; the one by kubectl completes.
    args = {**NUMBERS, "fail": 4}
    job_id = rest.enqueue(f"{original}.ArgumentsJob", **args, attempts=2)
    rest.wait_state(job_id, "error")
    assert rest.messages(job_id).count("one=1.0") == 2
    child = rest.restart(job_id)
    rest.wait_state(child, "error")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    patch = json.dumps({"spec": {"restartAt": now}})
    kubectl("patch", "corejob", child, "--type=merge", "--patch", patch)
    restarted = rest.wait(child, lambda row: "child_id" in row["enqueued"], what="is restarted")
    grandchild = restarted["enqueued"]["child_id"]
    rest.wait_known(grandchild)
    rest.wait_state(grandchild, "complete")
    for one in (job_id, child, grandchild):
        assert logged(rest, one) == expected(NUMBERS)
        assert repr(rest.detail(one)["args"]) == repr(args)


def test_a_float_by_kubectl(rest: Rest, kubectl: Kubectl, original: str):
    text = json.dumps(NUMBERS)
    manifest = corejob("floats", qualName=f"{original}.ArgumentsJob", argsJson=text)
    kubectl.apply(manifest)
    job_id = corejobs.wait_state(kubectl, "floats", "complete")["id"]
    rest.wait_known(job_id)
    assert logged(rest, job_id) == expected(NUMBERS)
    # Another one, which stays: the complete one is soon deleted.
    manifest = corejob("kept", qualName=f"{original}.ArgumentsJob", argsJson=text, worker="nowhere")
    kubectl.apply(manifest)
    refused = kubectl.refused(
        "patch", "corejob", "kept", "--type=merge",
        "--patch", '{"spec":{"argsJson":"{}"}}',
    )  # fmt: skip
    assert "argsJson is immutable" in refused


def test_the_api_server_changes_numbers_as_is_recorded(kubectl: Kubectl, tmp_path):
    """Check the records that the unit tests rely on."""
    sent = ",".join(f'"r{no}": {text}' for no, (text, _) in enumerate(RECORDED))
    body = (
        '{"apiVersion": "core4.io/v1", "kind": "CoreJob", "metadata": {"name": "recorded"}, '
        f'"spec": {{"qualName": "nobody.Knows", "args": {{{sent}}}}}}}'
    )
    file = tmp_path / "body.json"
    file.write_text(body, encoding="utf-8")
    path = f"/apis/core4.io/v1/namespaces/{kubectl.namespace}/corejobs"
    # Otherwise kubectl itself would change them first.
    kubectl("create", "--raw", path, "-f", str(file))
    received = kubectl.json("get", "corejob", "recorded")["spec"]["args"]
    for no, (_, text) in enumerate(RECORDED):
        assert repr(received[f"r{no}"]) == repr(json.loads(text)), RECORDED[no]


@pytest.mark.parametrize(
    ("by_rest", "by_kubectl"),
    [
        ({"x": 1.0}, {"args": {"x": 1}}),
        ({"x": 1e3, "y": -0.0}, {"args": {"x": 1000, "y": 0}}),
        ({"x": 1.2345678901234567e20}, {"argsJson": '{"x": 123456789012345670000.0}'}),
        ({"x": 9.223372036854775e18}, {"args": {"x": 9223372036854775000}}),
        ({"x": [1, {"y": 2}]}, {"argsJson": '{"x": [1.0, {"y": 2.0}]}'}),
    ],
    ids=["one", "thousand", "large", "larger than 2**53", "text"],
)
def test_equal_jobs_are_equal_whatever_way_they_come(
    rest: Rest, kubectl: Kubectl, original: str, by_rest: Any, by_kubectl: Any
):
    name, suffix = f"{original}.SegmentJob", uuid.uuid4().hex[:6]
    job_id = rest.enqueue(name, **by_rest)
    # If both jobs are created within one second, either one may be the duplicate.
    rest.wait_state(job_id, "running")
    kubectl.apply(corejob(f"second-{suffix}", qualName=name, **by_kubectl))
    status = corejobs.wait_state(kubectl, f"second-{suffix}", "error")
    assert status["reason"] == "Duplicate"
    assert job_id in status["message"]
    rest.kill(job_id)
    rest.remove(job_id)
    kubectl.apply(corejob(f"first-{suffix}", qualName=name, **by_kubectl))
    rest.wait_known(corejobs.wait_state(kubectl, f"first-{suffix}", "running")["id"])
    body = {"qual_name": name, "args": by_rest, "follow": False}
    assert "exists with args" in rest.refused(400, "POST", "job", json=body)


def test_args_that_can_not_be_kept_are_refused(
    rest: Rest, kubectl: Kubectl, original: str, image: str
):
    name = f"{original}.ArgumentsJob"
    for text, path in (
        ('{"n": [9223372036854775808]}', "[args.n[0]]"),
        ('{"n": {"m": -9223372036854775809}}', "[args.n.m]"),
        ('{"n": 1e400}', "[args.n]"),
        ('{"n": NaN}', "[args.n]"),
    ):
        body = f'{{"qual_name": "{name}", "args": {text}, "follow": false}}'
        assert path in rest.refused(400, "POST", "job", data=body)
        form = {"qual_name": name, "args": text, "follow": "false"}
        assert path in rest.refused(400, "POST", "job", params=form)
    container = "e2e.numbers.Container"
    pod = {"containers": [{"name": "job", "image": image, "command": ["true"]}]}
    kubectl.apply(template(container, runtime="container", pod=pod))
    rest.wait_listed(container)
    document = {"qual_name": container, "args": {"a": {"b": "c\0"}}, "follow": False}
    assert "[args.a.b] has a NUL" in rest.refused(400, "POST", "job", json=document)
    assert rest.queue() == []


def test_args_by_kubectl_that_can_not_be_kept_are_refused(
    kubectl: Kubectl, original: str, image: str
):
    container = "e2e.numbers.Refusing"
    pod = {"containers": [{"name": "job", "image": image, "command": ["true"]}]}
    kubectl.apply(template(container, runtime="container", pod=pod))
    arguments = f"{original}.ArgumentsJob"
    for name, qual_name, spec, words in (
        ("rounded", arguments, {"args": {"n": [2**64]}}, "[args.n[0]] is 18446744073709552000"),
        ("beyond", arguments, {"argsJson": '{"n": 18446744073709551616}'}, "[args.n] is 184467440"),
        ("infinite", arguments, {"argsJson": '{"n": 1e400}'}, "[args.n] is not a finite number"),
        ("broken", arguments, {"argsJson": '{"n": 1'}, "argsJson is not a JSON object"),
        ("nul", container, {"args": {"a": {"b": "c\0"}}}, "[args.a.b] has a NUL character"),
    ):
        kubectl.apply(corejob(name, qualName=qual_name, **spec))
        status = corejobs.wait_state(kubectl, name, "error")
        assert status["reason"] == "BadDefinition"
        assert words in status["message"]
    refused = kubectl.refused("apply", "-f", "-", stdin=json.dumps(
        corejob("list", qualName=arguments, argsJson="[1]")
    ))  # fmt: skip
    assert "argsJson" in refused
