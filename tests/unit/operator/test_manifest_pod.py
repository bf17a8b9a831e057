"""The containers in the Job of a trial, and the bounds of a pod's data."""

import json
from typing import Any

import pytest
from tests.unit.domain.builders import corejob
from tests.unit.operator.builders import SETTINGS
from tests.unit.operator.test_manifest import build, container, container_of, pod_of

from corejob import names
from corejob_operator import manifest
from corejob_operator.manifest import ANNOTATIONS_LIMIT, COOKIE_LIMIT

OWN_NAMES = {"runtime": "container", "template": {"spec": {"containers": [{"name": "main"}]}}}


def chosen(template: dict[str, Any]) -> str:
    annotations: dict[str, str] = pod_of(build(template))["metadata"]["annotations"]
    return annotations[names.ANNOTATION_CONTAINER]


@pytest.mark.parametrize(
    ("containers", "name"),
    [
        ([], "job"),
        ([{"name": "main"}], "main"),
        ([{"name": "main"}, {"name": "agent"}], "main"),
        ([{"name": "agent"}, {"name": "job"}], "job"),
    ],
)
def test_which_container_is_the_job_is_written_on_the_pod(
    containers: list[dict[str, Any]], name: str
) -> None:
    assert chosen({"template": {"spec": {"containers": containers}}}) == name


def test_a_template_can_not_name_another_one() -> None:
    meta = {"annotations": {names.ANNOTATION_CONTAINER: "agent"}}
    spec = {"containers": [{"name": "main"}, {"name": "agent"}]}

    assert chosen({"template": {"metadata": meta, "spec": spec}}) == "main"


def test_the_last_lines_of_a_container_are_its_words_unless_the_template_says_else() -> None:
    assert container_of(build(container()))["terminationMessagePolicy"] == "FallbackToLogsOnError"
    own = container_of(build(container(terminationMessagePolicy="File")))
    assert own["terminationMessagePolicy"] == "File"
    # The core4 runtime writes its termination message itself.
    assert "terminationMessagePolicy" not in container_of(build())


def test_so_are_those_of_an_init_container() -> None:
    template = {"template": {"spec": {"initContainers": [{"name": "prepare", "image": "any:1"}]}}}
    (init,) = pod_of(build(template))["spec"]["initContainers"]

    assert init["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_the_service_s_own_image_runs_where_pod_security_is_restricted() -> None:
    security = container_of(build())["securityContext"]

    assert security == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    # The user that a foreign image runs as is unknown.
    assert "runAsNonRoot" not in container_of(build(container()))["securityContext"]


# --- bounds ---------------------------------------------------------------------------------


def given(args: dict[str, Any], cookie: dict[str, Any], template: Any) -> dict[str, Any]:
    """Return the job's description in its pod, after checking that all annotations fit."""
    body = manifest.build(corejob(args=args), template, 1, SETTINGS, cookie)
    annotations = pod_of(body)["metadata"]["annotations"]
    size = sum(len(key.encode()) + len(text.encode()) for key, text in annotations.items())
    assert size <= ANNOTATIONS_LIMIT
    description: dict[str, Any] = json.loads(annotations[names.ANNOTATION_JOB])
    return description


@pytest.mark.parametrize("template", [{}, container()], ids=["core4", "container"])
def test_200_kib_of_args_with_a_full_cookie(template: dict[str, Any]) -> None:
    args = {str(number): "ä" * 512 for number in range(200)}
    cookie = {"small": 1, "large": "x" * (COOKIE_LIMIT - 100)}
    description = given(args, cookie, template)

    assert description["args"] == args
    # Values that don't fit are left out, the largest first.
    assert description["cookie"].keys() <= cookie.keys()
    assert description["cookie"]["small"] == 1


def test_the_cookie_makes_room_for_annotations_of_the_template_too() -> None:
    template = container()
    template["template"]["metadata"] = {"annotations": {"mine": "y" * 40_000}}
    description = given({"a": "x" * 190_000}, {"a": 1, "b": "x" * 60_000}, template)

    assert description["cookie"] == {"a": 1}


def test_args_that_no_pod_can_be_given_are_named() -> None:
    with pytest.raises(manifest.ArgsError, match=r"^args: .*there is room for \d+; put large data"):
        given({"a": "x" * ANNOTATIONS_LIMIT}, {}, {})
