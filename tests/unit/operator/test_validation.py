"""Validation of templates when they are applied: by a strict dry run, and our own checks."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from tests.unit.domain.builders import NOW
from tests.unit.operator.rig import Rig
from tests.unit.operator.schedule_clock import ScheduleClock

from corejob.names import TemplateReason
from corejob_operator import validation
from corejob_operator.template_status import Verdict
from corejob_operator.validation import Validator

RECORDED: Final[dict[str, Any]] = json.loads(
    Path(__file__).with_name("refusals.json").read_text("utf-8")
)
FINE: Final = {"spec": {"containers": [{"name": "job", "image": "x"}]}}


async def judge(rig: Rig, **spec: Any) -> Verdict:
    rig.template("a.Job", **spec)
    body = rig.caches.templates.get("a.job")
    assert body is not None
    return await Validator(rig.kube, rig.settings, lambda: NOW).judge(body)


async def refused(rig: Rig, name: str, **spec: Any) -> Verdict:
    """Return the verdict after a recorded response of the API server."""
    body = RECORDED[name]
    rig.fake.refuse_with("POST", "jobs", body)
    return await judge(rig, template=FINE, **spec)


async def test_a_valid_template_and_its_job_is_not_stored(rig: Rig) -> None:
    assert await judge(rig, template=FINE) == Verdict("True", TemplateReason.VALID, "")

    (request,) = rig.fake.requested("POST", "jobs")
    assert request.query["dryRun"] == "All"
    assert request.query["fieldValidation"] == "Strict"
    assert rig.jobs() == []
    # The validated Job is that of a trial.
    assert request.body["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert request.body["metadata"]["name"].endswith("-1")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("strict_unknown_field", 'unknown field "spec.template.spec.containers[0].resorces"'),
        ("strict_two_fields", 'unknown field "spec.template.spec.tolerationz"'),
        ("bad_type", "PodSpec.spec.template.spec.containers of type []v1.Container"),
        ("missing_image", "containers[0].image: Required value: the template must name one"),
        ("bad_enum", "containers[0].imagePullPolicy: Unsupported value"),
    ],
)
async def test_a_bad_definition_is_said_with_its_path(rig: Rig, name: str, words: str) -> None:
    verdict = await refused(rig, name)

    assert (verdict.status, verdict.reason) == ("False", "BadDefinition")
    assert words in verdict.message


async def test_a_bad_quantity_has_a_path_that_the_api_server_omits(rig: Rig) -> None:
    body = RECORDED["bad_quantity"]
    rig.fake.refuse_with("POST", "jobs", body)
    container = {"name": "job", "image": "x", "resources": {"limits": {"cpu": "banana"}}}
    verdict = await judge(rig, template={"spec": {"containers": [container]}})

    path = "spec.template.spec.containers[0].resources.limits.cpu [banana]"
    assert verdict.message.startswith(path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("policy", "Refused"),
        ("policy_forbidden", "Refused"),
        ("webhook_no_code", "Refused"),
        ("webhook_bad_request", "Refused"),
        ("webhook_invalid", "Refused"),
        ("webhook_away", "Refused"),
        ("webhook_conflict", "Refused"),
        ("quota", "Refused"),
        ("rbac", "Refused"),
        ("namespace_terminating", "Refused"),
    ],
)
async def test_a_refusal_by_others_leaves_the_verdict_unknown(
    rig: Rig, name: str, reason: str
) -> None:
    verdict = await refused(rig, name)

    assert (verdict.status, verdict.reason) == ("Unknown", reason)
    assert RECORDED[name]["message"][:40] in verdict.message


async def test_an_api_server_that_is_away_is_no_fault_of_the_template(rig: Rig) -> None:
    rig.fake.refuse("POST", "jobs", 503, "starting up")
    verdict = await judge(rig, template=FINE)

    assert (verdict.status, verdict.reason) == ("Unknown", "Unavailable")


@pytest.mark.parametrize(
    "pod",
    [
        {"spec": {"containers": "x"}},
        {"spec": {"containers": [None]}},
        {"spec": 5},
        [1],
        {"spec": {"containers": [{"name": "job", "env": 7}]}},
        {"metadata": {"labels": [1]}},
    ],
)
async def test_a_pod_of_any_json_is_a_bad_definition_at_the_most(rig: Rig, pod: Any) -> None:
    verdict = await judge(rig, template=pod)

    assert (verdict.status, verdict.reason) == ("False", "BadDefinition")


async def test_the_api_server_judges_a_pod_that_the_operator_can_not_read(rig: Rig) -> None:
    body = RECORDED["bad_type"]
    rig.fake.refuse_with("POST", "jobs", body)
    verdict = await judge(rig, template={"spec": {"containers": 5}})

    assert verdict.reason == "BadDefinition"
    assert "spec.template.spec.containers of type []v1.Container" in verdict.message
    (request,) = rig.fake.requested("POST", "jobs")
    assert request.body["spec"]["template"] == {"spec": {"containers": 5}}
    assert request.query["dryRun"] == "All"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "objekt"}, "/type"),
        ({"properties": {"n": {"minimum": "1"}}}, "/properties/n/minimum"),
        ({"required": "n"}, "/required"),
        ("text", "not of type"),
        ({"pattern": "("}, ""),
    ],
)
async def test_a_bad_args_schema_is_named_with_its_path(rig: Rig, schema: Any, words: str) -> None:
    problem = validation.args_schema_problem(schema)
    if words:
        verdict = await judge(rig, template=FINE, argsSchema=schema)
        assert (verdict.status, verdict.reason) == ("False", "BadDefinition")
        assert words in verdict.message
        assert problem is not None
        assert rig.fake.requested("POST", "jobs") == []


def test_a_deep_schema_is_a_problem_not_an_error() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5000):
        schema = {"not": schema}
    assert validation.args_schema_problem(schema) == "it is nested too deeply"


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        ({"containers": [{"name": "a"}, {"name": "b"}]}, "the first one, a, is the job"),
        ({"containers": [{"name": "a"}, {"name": "job"}]}, ""),
        ({"containers": [{"name": "a"}]}, ""),
        ({"restartPolicy": "OnFailure"}, "its restartPolicy is not used"),
        ({"restartPolicy": "Never"}, ""),
        ({}, ""),
    ],
)
def test_valid_but_perhaps_unintended_settings_are_reported(
    pod: dict[str, Any], words: str
) -> None:
    remark_text = "; ".join(validation.remarks({"template": {"spec": pod}}))
    assert words in remark_text
    assert bool(words) == bool(remark_text)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"schedule": "@daily", "argsSchema": {"required": ["day"]}},
            "'day' is a required property",
        ),
        ({"argsSchema": {"required": ["day"]}}, ""),
        ({"schedule": "@daily", "argsSchema": {"properties": {"day": {"type": "string"}}}}, ""),
        ({"schedule": "@daily", "argsSchema": {"$ref": "#/$defs/none"}}, ""),
        ({"schedule": "@daily", "argsSchema": {"$ref": "#"}}, ""),
        ({"schedule": "@daily", "argsSchema": False}, "False schema does not allow {}"),
        ({"schedule": "@daily"}, ""),
    ],
)
def test_a_schedule_whose_jobs_the_schema_refuses_is_reported(
    spec: dict[str, Any], words: str
) -> None:
    remark_text = "; ".join(validation.remarks(spec))
    assert words in remark_text
    assert bool(words) == bool(remark_text)


# --- times of the validation ------------------------------------------------------------------


@pytest.fixture
def clock(rig: Rig) -> ScheduleClock:
    rig.template(schedule="@daily", uid="x")
    return ScheduleClock(rig)


def conditions(clock: ScheduleClock) -> dict[str, tuple[str, str]]:
    listed = clock.status().get("conditions") or ()
    return {one["type"]: (one["status"], one["reason"]) for one in listed}


async def test_both_conditions_live_in_one_list(clock: ScheduleClock) -> None:
    await clock.reconcile()
    await clock.templates.validate("a.job")
    await clock.reconcile()

    assert conditions(clock) == {"Scheduled": ("True", "Scheduled"), "Valid": ("True", "Valid")}
    clock.rig.fake.change("corejobtemplates", "a.job", {"spec": {"schedule": None}})
    await clock.reconcile()
    assert conditions(clock) == {"Valid": ("True", "Valid")}


async def test_each_generation_is_judged_once(clock: ScheduleClock) -> None:
    for _ in range(3):
        await clock.reconcile()
        await clock.templates.validate("a.job")
    assert len(clock.rig.fake.requested("POST", "jobs")) == 1

    meta = {"metadata": {"generation": 2}}
    clock.rig.fake.change("corejobtemplates", "a.job", meta)
    for _ in range(3):
        await clock.reconcile()
        await clock.templates.validate("a.job")
    assert len(clock.rig.fake.requested("POST", "jobs")) == 2
    observed = {one["type"]: one["observedGeneration"] for one in clock.status()["conditions"]}
    assert observed["Valid"] == 2


async def test_another_operator_judges_again_but_writes_nothing_new(clock: ScheduleClock) -> None:
    await clock.reconcile()
    await clock.templates.validate("a.job")
    await clock.reconcile()
    clock.restart()
    writes = len(clock.rig.fake.requested("PATCH", "corejobtemplates"))
    await clock.reconcile()
    await clock.templates.validate("a.job")
    await clock.reconcile()

    assert len(clock.rig.fake.requested("POST", "jobs")) == 2
    assert len(clock.rig.fake.requested("PATCH", "corejobtemplates")) == writes


async def test_a_refusal_by_others_is_retried_until_the_verdict_is_known(
    clock: ScheduleClock,
) -> None:
    clock.rig.fake.refuse("POST", "jobs", 503)
    await clock.reconcile()
    await clock.templates.validate("a.job")
    await clock.reconcile()
    assert conditions(clock)["Valid"] == ("Unknown", "Unavailable")
    await clock.templates.validate("a.job")
    await clock.reconcile()

    assert conditions(clock)["Valid"] == ("True", "Valid")


async def test_a_bad_definition_is_a_warning_event_and_a_metric(clock: ScheduleClock) -> None:
    body = RECORDED["strict_unknown_field"]
    clock.rig.fake.refuse_with("POST", "jobs", body)
    await clock.reconcile()
    await clock.templates.validate("a.job")
    for _ in range(3):
        await clock.reconcile()

    (event,) = await clock.rig.events()
    assert (event["reason"], event["type"]) == ("BadDefinition", "Warning")
    assert "resorces" in event["note"]
    assert clock.rig.metrics.invalid_templates.labels("a.job")._value.get() == 1


async def test_an_error_of_our_own_is_said_and_ends_nothing(
    clock: ScheduleClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> Verdict:
        raise RecursionError("deep")

    monkeypatch.setattr(Validator, "judge", fail)
    await clock.reconcile()
    await clock.templates.validate("a.job")
    await clock.reconcile()

    assert conditions(clock)["Valid"] == ("Unknown", "InternalError")
