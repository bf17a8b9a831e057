"""Refused Jobs: errors of the definition, and refusals by others, from real responses."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from corejob_kube.errors import (
    AlreadyExistsError,
    ConflictError,
    KubeError,
    QuotaExceededError,
    UnavailableError,
    for_status,
)
from corejob_operator import refusals

RECORDED: Final[dict[str, Any]] = json.loads(
    Path(__file__).with_name("refusals.json").read_text("utf-8")
)
"""Responses of the API server of Kubernetes 1.37 to the creation of a Job (or pod)."""
AT_FAULT: Final = {
    "strict_unknown_field",
    "strict_two_fields",
    "strict_duplicate_field",
    "bad_type",
    "bad_type_env",
    "bad_quantity",
    "missing_image",
    "bad_name",
    "bad_volume_mount",
    "bad_enum",
    "request_above_limit",
    "annotations_too_long",
}


def recorded(name: str) -> KubeError:
    body = RECORDED[name]
    return for_status(
        body["code"],
        str(body.get("reason")),
        body["message"],
        details=body.get("details") or {},
    )


@pytest.mark.parametrize("name", sorted(AT_FAULT))
def test_a_violation_of_the_schema_blames_the_definition(name: str) -> None:
    assert refusals.blames_definition(recorded(name))


@pytest.mark.parametrize("name", sorted(RECORDED.keys() - AT_FAULT))
def test_policies_webhooks_quotas_and_rights_are_not_the_definitions_fault(name: str) -> None:
    assert not refusals.blames_definition(recorded(name))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "strict_unknown_field",
            'strict decoding error: unknown field "spec.template.spec.containers[0].resorces"',
        ),
        ("missing_image", "spec.template.spec.containers[0].image: Required value"),
        (
            "bad_type",
            "cannot unmarshal string into Go struct field PodSpec.spec.template.spec.containers "
            "of type []v1.Container",
        ),
    ],
)
def test_the_complaint_leaves_out_the_jobs_name(name: str, text: str) -> None:
    assert refusals.complaint(recorded(name)) == text


def test_the_complaint_is_bounded() -> None:
    assert len(refusals.complaint(KubeError(500, "x", "y" * 5000))) == 1000


@pytest.mark.parametrize("details", [{}, {"causes": None}, {"causes": "x"}, {"causes": ["x", {}]}])
def test_details_of_any_form_are_read(details: dict[str, Any]) -> None:
    assert not refusals.blames_definition(KubeError(422, "Invalid", "no", details=details))


def test_a_webhook_that_answers_already_exists_has_not_said_that_there_is_one() -> None:
    assert type(recorded("webhook_conflict")) is ConflictError
    assert type(recorded("already_exists")) is AlreadyExistsError


@pytest.mark.parametrize(
    ("name", "kind"),
    [("quota", QuotaExceededError), ("webhook_away", UnavailableError), ("rbac", KubeError)],
)
def test_a_recorded_refusal_has_its_error_class(name: str, kind: type[KubeError]) -> None:
    assert type(recorded(name)) is kind
