"""The CRDs: valid structural schemas, and the resources that they refuse.

The rules are tested on a real API server; these tests need none.
"""

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml
from tests.unit.domain.builders import ID, corejob_body

from corejob import args
from corejob.crds.job import job_crd
from corejob.crds.template import template_crd
from corejob.limits import MAX_ARGS, MAX_JOB_NAME
from corejob.model import Status, render_status
from corejob.names import Reason, template_name
from corejob.properties import TABLE
from corejob.state import FINAL, STOPPED, State

ROOT = Path(__file__).resolve().parents[3]
CRDS = {"job": job_crd(), "template": template_crd()}
PRESERVE = "x-kubernetes-preserve-unknown-fields"
# Keywords of a structural schema (Kubernetes: "Specifying a structural schema").
KEYWORDS = {
    "additionalProperties",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minLength",
    "minimum",
    "nullable",
    "pattern",
    "properties",
    "required",
    "type",
    PRESERVE,
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
}


def root(name: str) -> dict[str, Any]:
    crd: dict[str, Any] = CRDS[name]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return crd


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield all schemas within a schema, each with its path."""
    yield path, node
    for name, inner in node.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(node.get(keyword), dict):
            yield from nodes(node[keyword], f"{path}[]")


ALL = [(name, path, node) for name in CRDS for path, node in nodes(root(name))]


def plain(node: dict[str, Any]) -> dict[str, Any]:
    """Return the schema as a plain JSON schema, with `nullable` translated."""
    result = {key: value for key, value in node.items() if not key.startswith("x-kubernetes")}
    if result.pop("nullable", False):
        result["type"] = [node["type"], "null"]
    if "properties" in node:
        result["properties"] = {key: plain(value) for key, value in node["properties"].items()}
    for keyword in ("items", "additionalProperties"):
        if isinstance(node.get(keyword), dict):
            result[keyword] = plain(node[keyword])
    return result


def problems(name: str, body: dict[str, Any]) -> list[str]:
    """Return the paths of the fields that a resource's schema refuses."""
    found = jsonschema.Draft4Validator(plain(root(name))).iter_errors(body)
    return [".".join(str(part) for part in error.absolute_path) for error in found]


# --- shape ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "path", "node"), ALL, ids=[f"{n}{p}" for n, p, _ in ALL])
def test_each_node_is_structural_and_described(name: str, path: str, node: Any) -> None:
    assert set(node) <= KEYWORDS
    assert "type" in node or node.get(PRESERVE) is True
    if not path.endswith("[]"):
        assert re.fullmatch(r"[A-Z0-9].*\.", node["description"], re.DOTALL)
    if "pattern" in node:
        re.compile(node["pattern"])
    for required in node.get("required", ()):
        assert required in node["properties"]
    assert not ("properties" in node and "additionalProperties" in node)


@pytest.mark.parametrize(("name", "path", "node"), ALL, ids=[f"{n}{p}" for n, p, _ in ALL])
def test_each_rule_is_whole(name: str, path: str, node: Any) -> None:
    for rule in node.get("x-kubernetes-validations", ()):
        assert set(rule) <= {"rule", "message", "fieldPath", "optionalOldSelf"}
        if "optionalOldSelf" in rule:
            assert "oldSelf.hasValue()" in rule["rule"]
        assert "self" in rule["rule"]
        assert rule["rule"].count("(") == rule["rule"].count(")")
        assert "\n" not in rule["message"]
        inner = node
        for field in rule.get("fieldPath", "").split(".")[1:]:
            inner = inner["properties"][field]


@pytest.mark.parametrize("name", CRDS)
def test_the_definition(name: str) -> None:
    crd = CRDS[name]
    spec, version = crd["spec"], crd["spec"]["versions"][0]

    assert crd["metadata"]["name"] == f"{spec['names']['plural']}.{spec['group']}"
    assert spec["scope"] == "Namespaced"
    assert (version["served"], version["storage"]) == (True, True)
    paths = dict(nodes(root(name)))
    for column in version["additionalPrinterColumns"]:
        path = re.sub(r"\[\?\(@\.type=='[A-Z][a-z]+'\)\]", "[]", column["jsonPath"])
        assert path in paths or path.startswith(".metadata.")


def test_status_is_a_subresource_of_its_own() -> None:
    assert CRDS["job"]["spec"]["versions"][0]["subresources"] == {"status": {}}


def test_the_columns_that_people_look_at() -> None:
    columns = CRDS["job"]["spec"]["versions"][0]["additionalPrinterColumns"]
    shown = [column["name"] for column in columns if not column.get("priority")]

    assert shown == ["Job", "State", "Trial", "Progress", "Reason", "Age"]
    assert {"Node", "Runtime", "User"} <= {column["name"] for column in columns}


# --- the single source ----------------------------------------------------------------------


def test_the_files_are_fresh() -> None:
    generate = _generator()

    assert generate.main(["--check"]) == 0
    for folder in generate.FOLDERS:
        for crd in CRDS.values():
            path = folder / f"{crd['spec']['names']['plural']}.yaml"
            assert yaml.safe_load(path.read_text(encoding="utf-8")) == crd


def test_a_stale_file_is_reported_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generate = _generator()
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "FOLDERS", (tmp_path / "crds",))
    assert generate.main([]) == 0
    stale = tmp_path / "crds" / "corejobs.yaml"
    stale.write_text("old", encoding="utf-8")
    capsys.readouterr()

    assert generate.main(["--check"]) == 1
    assert stale.read_text(encoding="utf-8") == "old"
    assert capsys.readouterr().out == "stale: crds/corejobs.yaml\n"


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_crds", ROOT / "crds" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_property_is_settable_on_jobs_and_on_templates() -> None:
    names = {prop.field for prop in TABLE}

    assert names <= root("job")["properties"]["spec"]["properties"].keys()
    template = root("template")["properties"]["spec"]["properties"]["properties"]
    assert set(template["properties"]) == names


def test_all_that_the_operator_writes_is_in_the_schema() -> None:
    status = root("job")["properties"]["status"]["properties"]

    assert render_status(Status(id=ID)).keys() <= status.keys()
    assert len(render_status(Status(id=ID))) == len(fields(Status))
    assert status["state"]["enum"] == [str(state) for state in State]
    assert status["reason"]["enum"] == [str(reason) for reason in Reason]


def test_conditions_are_a_map_by_type() -> None:
    conditions = root("job")["properties"]["status"]["properties"]["conditions"]

    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


# --- rules in CEL ---------------------------------------------------------------------------


def rules(name: str, part: str, field: str) -> list[str]:
    """Return the rules of a field, and those of the object around it that are about the field."""
    node = root(name)["properties"][part]
    of_field = node["properties"][field].get("x-kubernetes-validations", [])
    of_object = [
        each for each in node["x-kubernetes-validations"] if each["fieldPath"] == f".{field}"
    ]
    return [each["rule"] for each in [*of_field, *of_object]]


@pytest.mark.parametrize(
    "field",
    [
        "qualName",
        "args",
        "argsJson",
        "parentId",
        "parentName",
        "carriedTrials",
        "username",
        "hostname",
    ],
)
def test_identity_is_immutable(field: str) -> None:
    is_required = field in root("job")["properties"]["spec"]["required"]
    kept = [] if is_required else [f"has(self.{field}) == has(oldSelf.{field})"]

    assert rules("job", "spec", field) == ["self == oldSelf", *kept]


@pytest.mark.parametrize("field", ["kill", "remove"])
def test_kill_and_remove_cannot_be_undone(field: str) -> None:
    assert rules("job", "spec", field) == [
        "self || !oldSelf",
        f"!has(oldSelf.{field}) || has(self.{field}) || !oldSelf.{field}",
    ]


def test_a_child_stays() -> None:
    kept = "!has(oldSelf.childId) || has(self.childId)"
    assert rules("job", "spec", "childId") == ["self == oldSelf", kept]


def test_a_finished_job_cannot_change_its_state() -> None:
    changed, removed = rules("job", "status", "state")

    for rule in (changed, removed):
        assert all(f"'{state}'" in rule for state in FINAL)
        assert not any(f"'{state}'" in rule for state in set(State) - FINAL)
    assert changed.endswith(" || self == oldSelf")
    assert removed.startswith("!has(oldSelf.state) || has(self.state) || ")


@pytest.mark.parametrize("name", CRDS)
def test_owners_of_fields_of_a_status_are_not_tracked(name: str) -> None:
    assert root(name)["properties"]["status"]["x-kubernetes-map-type"] == "atomic"


def root_rules(field: str) -> list[dict[str, Any]]:
    path = f".spec.{field}"
    return [r for r in root("job")["x-kubernetes-validations"] if r.get("fieldPath") == path]


@pytest.mark.parametrize("field", ["restartAt", "childId"])
def test_a_new_job_is_asked_nothing_that_only_an_old_one_can_do(field: str) -> None:
    rule = root_rules(field)[0]

    assert rule["rule"] == f"oldSelf.hasValue() || !has(self.spec.{field})"
    assert rule["optionalOldSelf"] is True


def test_only_a_stopped_job_has_a_child() -> None:
    rule = root_rules("childId")[1]["rule"]

    assert all(f"'{state}'" in rule for state in STOPPED)
    assert not any(f"'{state}'" in rule for state in set(State) - STOPPED - {State.COMPLETE})


def test_names_are_bound() -> None:
    def bound(name: str) -> str:
        rule: str = root(name)["x-kubernetes-validations"][0]["rule"]
        return rule

    assert f"self.metadata.name.size() <= {MAX_JOB_NAME}" in bound("job")
    assert "self.metadata.name == self.spec.qualName.lowerAscii()" in bound("template")


def test_a_container_needs_an_image() -> None:
    assert "has(self.template)" in rules("template", "spec", "template")[0]


# --- resources ------------------------------------------------------------------------------


def test_a_good_job() -> None:
    body = corejob_body(args={"deep": {"a": [None, 1.5]}}, wallTimeSeconds=None, worker=None)

    assert problems("job", body) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("qualName", "NoDot"),
        ("qualName", "a..b"),
        ("qualName", "a.b."),
        ("qualName", "ä.b"),
        ("args", [1]),
        ("args", {str(number): 1 for number in range(MAX_ARGS + 1)}),
        ("attempts", 0),
        ("attempts", "3"),
        ("attempts", None),
        ("errorTimeSeconds", 1.5),
        ("wallTimeSeconds", 0),
        ("maxParallel", -1),
        ("force", "yes"),
        ("worker", ""),
        ("worker", "a b"),
        ("worker", "ä"),
        ("worker", "a\0b"),
        ("worker", "-a"),
        ("worker", "a."),
        ("worker", "n" * 64),
        ("kill", "true"),
        ("childId", "x"),
        ("parentId", ID + "0"),
        ("carriedTrials", -1),
    ],
)
def test_a_bad_field_of_a_job_is_named(field: str, value: Any) -> None:
    assert problems("job", corejob_body(**{field: value})) == [f"spec.{field}"]


def test_a_job_needs_a_name() -> None:
    assert problems("job", {"metadata": {}, "spec": {}}) == ["spec"]
    assert problems("job", {"metadata": {}}) == [""]


def template(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a.job"}, "spec": {"qualName": "a.Job", "author": "x", **spec}}


@pytest.mark.parametrize(
    "schedule",
    ["0 6 * * *", "*/5 * * * 1-5", "0 6 * * * 30", "@daily", "@hourly", None],
)
def test_schedules(schedule: str | None) -> None:
    assert problems("template", template(schedule=schedule)) == []


@pytest.mark.parametrize("schedule", ["", "6", "0 6 * *", "@never", "0 6 * * * 1 2"])
def test_bad_schedules(schedule: str) -> None:
    assert problems("template", template(schedule=schedule)) == ["spec.schedule"]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Argentina/Salta", "Etc/GMT+5"])
def test_time_zones(zone: str) -> None:
    assert problems("template", template(timeZone=zone)) == []


@pytest.mark.parametrize(
    "zone", ["", "/etc/passwd", "../UTC", "Europe/", "+01:00", "a b", "x" * 65]
)
def test_other_texts_are_not_time_zones(zone: str) -> None:
    assert problems("template", template(timeZone=zone)) == ["spec.timeZone"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("author", ""),
        ("schedulePolicy", "Queue"),
        ("tag", "word"),
        ("runtime", "java"),
        ("properties", {"attempts": 0}),
        ("argsSchema", "x"),
    ],
)
def test_a_bad_field_of_a_template_is_named(field: str, value: Any) -> None:
    (found,) = problems("template", template(**{field: value}))

    assert found.startswith(f"spec.{field}")


def test_a_pod_template_may_say_anything() -> None:
    pod = {"spec": {"containers": [{"name": "job", "image": "x", "env": []}], "hostPID": False}}

    assert problems("template", template(template=pod, runtime="container")) == []


def strangers(node: dict[str, Any], value: Any, path: str = "") -> list[str]:
    """Return the paths of the fields that the API server would drop as unknown."""
    if not isinstance(value, dict) or node.get(PRESERVE):
        return []
    known = node.get("properties", {})
    found = [f"{path}.{name}" for name in value if name not in known]
    for name in set(value) & set(known):
        found += strangers(known[name], value[name], f"{path}.{name}")
    return found


def documented() -> list[dict[str, Any]]:
    """Yield the resources in the docs and the examples."""
    page = (ROOT / "docs" / "writing-jobs.md").read_text(encoding="utf-8")
    texts = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    texts += [path.read_text(encoding="utf-8") for path in ROOT.glob("examples/*/template.yaml")]
    return [yaml.safe_load(text) for text in texts]


def test_the_templates_of_the_docs_fit() -> None:
    found = [body for body in documented() if body["kind"] == "CoreJobTemplate"]
    assert {body["spec"]["qualName"] for body in found} == {"reports.Nightly", "example.Primes"}
    for body in found:
        assert body["apiVersion"] == "core4.io/v1"
        assert body["metadata"] == {"name": template_name(body["spec"]["qualName"])}
        assert problems("template", body) == []
        assert strangers(root("template")["properties"]["spec"], body["spec"]) == []
        jsonschema.Draft202012Validator.check_schema(body["spec"]["argsSchema"])


def test_the_jobs_of_the_docs_fit() -> None:
    found = [body for body in documented() if body["kind"] == "CoreJob"]
    assert [args.read(body["spec"]) for body in found] == [{"scale": 1.0, "days": [1, 2.0]}]
    for body in found:
        assert body["apiVersion"] == "core4.io/v1"
        assert problems("job", body) == []
        assert strangers(root("job")["properties"]["spec"], body["spec"]) == []
        assert args.problem(body["spec"], container=True) is None


def test_a_field_that_no_template_has_is_strange() -> None:
    body = template(properties={"errorTime": 3}, argsSchema={"x": 1}, image="y")
    found = strangers(root("template")["properties"]["spec"], body["spec"])
    assert sorted(found) == [".image", ".properties.errorTime"]
