"""The Kubernetes Job of a trial: the template, our additions, and the description of the job."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.builders import ID, UID, at_text, corejob
from tests.unit.operator.builders import SETTINGS

from corejob import names
from corejob_operator import manifest

BIG = "x" * manifest.ENV_LIMIT


def build(template: dict[str, Any] | None = None, *, trial: int = 1, **more: Any) -> dict[str, Any]:
    return manifest.build(corejob(**more), template or {}, trial, SETTINGS)


def pod_of(body: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = body["spec"]["template"]
    return pod


def container_of(body: dict[str, Any]) -> dict[str, Any]:
    containers = pod_of(body)["spec"]["containers"]
    found: dict[str, Any] = next((c for c in containers if c["name"] == "job"), containers[0])
    return found


def env_of(body: dict[str, Any]) -> dict[str, str]:
    """Return the environment as the kubelet makes it: `$(NAME)` expanded, `$$` a dollar sign."""
    return {
        one["name"]: one["value"].replace("$$", "$")
        for one in container_of(body)["env"]
        if "value" in one
    }


def container(**more: Any) -> dict[str, Any]:
    """Return a template of the container runtime."""
    fields = {"name": "job", "image": "any:1", **more}
    return {"runtime": "container", "template": {"spec": {"containers": [fields]}}}


# --- the Job --------------------------------------------------------------------------------


def test_its_name_and_owner() -> None:
    meta = build(trial=3)["metadata"]

    assert (meta["name"], meta["namespace"]) == (f"{ID}-3", "jobs")
    (owner,) = meta["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("CoreJob", ID, UID)
    assert owner["controller"]


def test_it_never_retries_by_itself_and_tells_disruptions_apart() -> None:
    spec = build()["spec"]

    assert (spec["backoffLimit"], spec["completions"], spec["parallelism"]) == (0, 1, 1)
    assert pod_of({"spec": spec})["spec"]["restartPolicy"] == "Never"
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


def test_labels_and_annotations_are_on_both() -> None:
    status = {"state": "failed", "attemptsLeft": 2}
    body = build({"runtime": "container"}, trial=2, username="hans", attempts=3, status=status)

    for meta in (body["metadata"], pod_of(body)["metadata"]):
        assert meta["labels"] == {
            names.LABEL_COREJOB: ID,
            names.LABEL_TRIAL: "2",
            names.LABEL_QUAL_NAME: "a.Job",
        }
        assert (
            meta["annotations"].items()
            >= {
                names.ANNOTATION_ID: ID,
                names.ANNOTATION_QUAL_NAME: "a.Job",
                names.ANNOTATION_RUNTIME: "container",
                names.ANNOTATION_ATTEMPTS_LEFT: "2",
                names.ANNOTATION_USER: "hans",
            }.items()
        )


def test_a_name_too_long_for_a_label_is_in_the_annotation_only() -> None:
    name = "a." + "J" * 80
    meta = build(qualName=name)["metadata"]

    assert names.LABEL_QUAL_NAME not in meta["labels"]
    assert meta["annotations"][names.ANNOTATION_QUAL_NAME] == name


def test_a_job_without_a_user() -> None:
    assert build()["metadata"]["annotations"][names.ANNOTATION_USER] == ""


def test_all_annotations_are_text() -> None:
    meta = pod_of(build({"runtime": "container"}, args={"n": 1}))["metadata"]

    assert all(type(value) is str for value in meta["annotations"].values())
    assert all(type(value) is str for value in meta["labels"].values())


# --- the pod template -----------------------------------------------------------------------


def test_a_core4_class_needs_no_template() -> None:
    one = container_of(build())

    assert (one["name"], one["image"], one["command"]) == ("job", "core4:test", ["core4", "run"])
    assert one["imagePullPolicy"] == "IfNotPresent"


def test_values_of_the_template_stay() -> None:
    template: dict[str, Any] = {
        "template": {
            "metadata": {"labels": {"team": "x"}, "annotations": {"note": "y"}},
            "spec": {
                "nodeSelector": {"gpu": "yes"},
                "volumes": [{"name": "v", "emptyDir": {}}],
                "automountServiceAccountToken": True,
                "enableServiceLinks": True,
                "terminationGracePeriodSeconds": 90,
                "tolerations": [{"key": "k"}],
                "containers": [
                    {"name": "side", "image": "side:1"},
                    {
                        "name": "job",
                        "image": "mine:1",
                        "command": ["mine"],
                        "env": [{"name": "A", "value": "1"}],
                        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                        "resources": {"limits": {"cpu": "1"}},
                    },
                ],
            },
        }
    }
    pod = pod_of(build(template))
    side, one = pod["spec"]["containers"]

    assert pod["metadata"]["labels"]["team"] == "x"
    assert pod["metadata"]["annotations"]["note"] == "y"
    kept = {**template["template"]["spec"], "containers": None}
    assert {**pod["spec"], "containers": None}.items() >= kept.items()
    assert side == {"name": "side", "image": "side:1"}
    assert (one["image"], one["command"]) == ("mine:1", ["mine"])
    assert one["env"][0] == {"name": "A", "value": "1"}
    assert one["volumeMounts"] == [{"name": "v", "mountPath": "/v"}]
    assert one["resources"] == {"limits": {"cpu": "1"}}
    assert "imagePullPolicy" not in one


def test_the_template_itself_is_not_changed() -> None:
    template = container(env=[{"name": "A", "value": "1"}])
    before = json.dumps(template)
    build(template, args={"x": 1})

    assert json.dumps(template) == before


def test_our_labels_beat_the_template_s() -> None:
    template = {"template": {"metadata": {"labels": {names.LABEL_COREJOB: "other"}}}}

    assert pod_of(build(template))["metadata"]["labels"][names.LABEL_COREJOB] == ID


def test_without_a_container_named_job_the_first_is_the_job() -> None:
    template = {"template": {"spec": {"containers": [{"name": "main"}, {"name": "side"}]}}}
    main, side = pod_of(build(template))["spec"]["containers"]

    assert main["command"] == ["core4", "run"]
    assert side == {"name": "side"}


def test_a_container_keeps_its_own_command() -> None:
    one = container_of(build(container()))

    assert one["image"] == "any:1"
    assert "command" not in one


def test_a_requested_node() -> None:
    template = {"template": {"spec": {"nodeSelector": {"gpu": "yes"}}}}
    spec = pod_of(build(template, worker="node-7"))["spec"]

    assert spec["nodeSelector"] == {"gpu": "yes", "kubernetes.io/hostname": "node-7"}
    assert "nodeSelector" not in pod_of(build())["spec"]


@pytest.mark.parametrize("template", [{}, container()])
def test_it_is_hardened(template: dict[str, Any]) -> None:
    body = build(template)
    context = container_of(body)["securityContext"]
    spec = pod_of(body)["spec"]

    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["terminationGracePeriodSeconds"] == SETTINGS.kill_grace


def test_the_template_may_soften_it() -> None:
    context = container_of(build(container(securityContext={"allowPrivilegeEscalation": True})))

    assert context["securityContext"]["allowPrivilegeEscalation"] is True
    assert context["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize(
    "pod",
    [
        {"metadata": None, "spec": None},
        {"spec": {"containers": None}},
        {"spec": {"containers": [{"image": "x"}]}},
        {"metadata": {"labels": None, "annotations": None}, "spec": {"volumes": None}},
        {"spec": {"containers": [{"name": "job", "env": None, "volumeMounts": None}]}},
    ],
)
def test_gaps_in_the_template_are_filled_or_left_to_kubernetes(pod: dict[str, Any]) -> None:
    body = build({"runtime": "container", "template": pod})

    assert "CORE4_JOB" in {one["name"] for one in container_of_any(body)["env"]}


def container_of_any(body: dict[str, Any]) -> dict[str, Any]:
    one: dict[str, Any] = pod_of(body)["spec"]["containers"][0]
    return one


# --- the description of the job -------------------------------------------------------------


def test_a_core4_class_reads_one_variable() -> None:
    status = {"state": "failed", "trial": 1, "attemptsLeft": 2, "inactiveTime": at_text(60)}
    body = build(trial=2, attempts=3, args={"x": [1, "ü"]}, username="hans", status=status)
    env = env_of(body)
    description = json.loads(env["CORE4_JOB"])

    assert (description["id"], description["qualName"], description["args"]) == (
        ID,
        "a.Job",
        {"x": [1, "ü"]},
    )
    assert (description["trial"], description["attempts"], description["attemptsLeft"]) == (2, 3, 2)
    assert (description["deferUntil"], description["deferMaxSeconds"]) == (
        "2026-11-24T12:01:00",
        3600,
    )
    assert description["username"] == description["enqueued"]["username"] == "hans"
    assert "CORE4_JOB_FILE" not in env
    assert "CORE4_ARGS" not in env
    assert "volumes" not in pod_of(body)["spec"]


def test_the_pod_knows_where_it_is() -> None:
    fields = {
        one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"]
        for one in container_of(build())["env"]
        if "valueFrom" in one
    }

    assert fields == {"CORE4_NODE": "spec.nodeName", "CORE4_POD": "metadata.name"}


def test_a_container_gets_its_args_one_by_one_and_as_a_file() -> None:
    args = {"sleep": 3, "name": "a b", "list": [1], "none": None, "no-name": 1, "1st": 1}
    body = build(container(), args=args)
    env = env_of(body)

    assert json.loads(env["CORE4_ARGS"]) == args
    assert (env["CORE4_ARG_SLEEP"], env["CORE4_ARG_NAME"]) == ("3", "a b")
    assert (env["CORE4_ARG_LIST"], env["CORE4_ARG_NONE"]) == ("[1]", "null")
    assert not any("NO-NAME" in name or "1ST" in name for name in env)
    assert env["CORE4_JOB_FILE"] == "/etc/core4/job.json"
    pod = pod_of(body)
    assert json.loads(pod["metadata"]["annotations"][names.ANNOTATION_JOB])["args"] == args
    (volume,) = pod["spec"]["volumes"]
    (item,) = volume["downwardAPI"]["items"]
    assert item["fieldRef"]["fieldPath"] == f"metadata.annotations['{names.ANNOTATION_JOB}']"
    (mount,) = container_of(body)["volumeMounts"]
    assert (mount["name"], mount["mountPath"]) == (volume["name"], "/etc/core4")


def test_args_too_big_for_a_variable_come_as_a_file() -> None:
    body = build(args={"big": BIG, "small": 1})
    env = env_of(body)

    assert "CORE4_JOB" not in env
    assert env["CORE4_JOB_FILE"] == "/etc/core4/job.json"
    text = pod_of(body)["metadata"]["annotations"][names.ANNOTATION_JOB]
    assert json.loads(text)["args"] == {"big": BIG, "small": 1}
    assert names.ANNOTATION_JOB not in body["metadata"]["annotations"]


def test_small_args_of_a_container_stay_variables() -> None:
    env = env_of(build(container(), args={"big": BIG + "x", "small": 1}))

    assert env["CORE4_ARG_SMALL"] == "1"
    assert "CORE4_ARG_BIG" not in env
    assert "CORE4_ARGS" not in env


def test_bytes_count_not_characters() -> None:
    body = build(args={"text": "ü" * (manifest.ENV_LIMIT // 2)})

    assert "CORE4_JOB" not in env_of(body)
    for one in container_of(body)["env"]:
        assert len(one.get("value", "").encode()) <= 131_072


def expanded(value: str, env_vars: dict[str, str]) -> str:
    """Expand as Kubernetes does (third_party/forked/golang/expansion): `$$` and `$(NAME)`."""
    out, index = "", 0
    while index < len(value):
        if value[index] != "$" or index + 1 == len(value):
            out, index = out + value[index], index + 1
        elif value[index + 1] == "$":
            out, index = out + "$", index + 2
        elif value[index + 1] == "(" and (end := value.find(")", index)) > 0:
            name = value[index + 2 : end]
            out, index = out + env_vars.get(name, f"$({name})"), end + 1
        else:
            out, index = out + value[index : index + 2], index + 2
    return out


@given(st.text(alphabet="$()abHOME", max_size=12))
def test_dollar_signs_reach_the_job_as_they_are(text: str) -> None:
    values = {
        one["name"]: one["value"]
        for one in container_of(build(container(), args={"x": text}))["env"]
        if "value" in one
    }
    env_vars = {"HOME": "/root", "CORE4_JOB": "oops"}

    assert expanded(values["CORE4_ARG_X"], env_vars) == text
    assert json.loads(expanded(values["CORE4_JOB"], env_vars))["args"] == {"x": text}
    assert json.loads(expanded(values["CORE4_ARGS"], env_vars)) == {"x": text}


# --- the cookie and the grace time ----------------------------------------------------------


def test_a_job_is_given_the_cookie_of_its_name() -> None:
    body = manifest.build(corejob(), {}, 1, SETTINGS, {"last": [1, None]})

    assert json.loads(env_of(body)["CORE4_JOB"])["cookie"] == {"last": [1, None]}
    assert json.loads(env_of(build())["CORE4_JOB"])["cookie"] == {}


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 40_000).map(lambda n: "x" * n)))
def test_the_smaller_values_of_a_cookie_too_large_stay(cookie: dict[str, str]) -> None:
    kept = manifest.fitting(cookie)
    left_out = [len(value) for key, value in cookie.items() if key not in kept]

    assert kept.items() <= cookie.items()
    assert sum(len(value) for value in kept.values()) <= manifest.COOKIE_LIMIT
    if left_out:
        assert sum(len(value) for value in cookie.values()) > manifest.COOKIE_LIMIT - 1000
        # A few bytes less, since the key and its quotes count too.
        assert max(map(len, kept.values()), default=0) <= min(left_out) + 50


@pytest.mark.parametrize(("grace", "seconds"), [(90, "87"), (2, "1")])
def test_a_core4_class_knows_its_grace_time(grace: int, seconds: str) -> None:
    template = {"template": {"spec": {"terminationGracePeriodSeconds": grace}}}

    assert env_of(build(template))["CORE4_GRACE_SECONDS"] == seconds
    assert "CORE4_GRACE_SECONDS" not in env_of(build(container()))


def test_a_grace_time_that_the_template_sets_stays() -> None:
    fields = {"name": "job", "env": [{"name": "CORE4_GRACE_SECONDS", "value": "1"}]}
    env = container_of(build({"template": {"spec": {"containers": [fields]}}}))["env"]

    assert [one["value"] for one in env if one["name"] == "CORE4_GRACE_SECONDS"] == ["1"]


# --- args that can't be given ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "template", "words"),
    [
        ({"args": {"n": [2**63]}}, {}, "[args.n[0]] is 9223372036854775808"),
        ({"argsJson": '{"n": 1e400}'}, {}, "[args.n] is not a finite number"),
        ({"argsJson": "{"}, {}, "argsJson is not a JSON object"),
        ({"args": {"a": {"b": "\0"}}}, container(), "[args.a.b] has a NUL character"),
        ({"args": {"a\0": 1}}, container(), "[args] has a NUL character"),
    ],
)
def test_they_are_named(spec: Any, template: Any, words: str) -> None:
    with pytest.raises(manifest.ArgsError) as caught:
        build(template, **spec)
    assert str(caught.value).startswith(words)


def test_a_core4_class_is_given_json_and_floats_are_floats() -> None:
    text = '{"t": "\\u0000", "x": 1.0}'
    env = env_of(build(args={"t": "\0", "x": 1}, argsJson=text))
    assert '"args":{"t":"\\u0000","x":1.0}' in env["CORE4_JOB"]
    env = env_of(build(container(), argsJson='{"x": 1.0, "y": 1}'))
    assert (env["CORE4_ARG_X"], env["CORE4_ARG_Y"]) == ("1.0", "1")
    assert env["CORE4_ARGS"] == '{"x":1.0,"y":1}'
