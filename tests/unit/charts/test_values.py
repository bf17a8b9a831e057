"""The chart's values, rights and examples against their sources. No helm needed."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from charts import generate

from corejob_api.auth.permissions import Access, Permissions
from corejob_operator.settings import OperatorSettings
from corejob_process.settings import variables

CHART = generate.CHART
SCHEMA = generate.load(generate.SCHEMA)
VALUES = generate.load(CHART / "values.yaml")
RIGHTS = generate.load(generate.RIGHTS)
INSTALLING = (generate.DOCS / "installing.md").read_text(encoding="utf-8")
SETTINGS = (generate.DOCS / "values.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((generate.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CI_FILES = sorted((CHART / "ci").glob("*-values.yaml"))
TEMPLATES = "".join(
    path.read_text(encoding="utf-8") for path in sorted((CHART / "templates").rglob("*.*"))
)


def objects(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object schema with named properties, by its path."""
    if "properties" in schema:
        yield path, schema
    for name, sub in schema.get("properties", {}).items():
        yield from objects(sub, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from objects(schema["items"], f"{path}[]")
    for name, sub in schema.get("definitions", {}).items():
        yield from objects(sub, f"#{name}")


def merged(base: Any, over: Any) -> Any:
    """Merge values as Helm does: maps are merged, anything else is replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}
    return over


def problems(values: Any) -> list[str]:
    validator = jsonschema.Draft7Validator(SCHEMA)
    return [error.message for error in validator.iter_errors(values)]


@pytest.mark.parametrize("path", list(generate.rendered()), ids=lambda path: path.name)
def test_generated_file_is_fresh(path):
    assert path.read_text(encoding="utf-8") == generate.rendered()[path], (
        "stale: run `make generate`"
    )


def test_schema_is_a_schema():
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_defaults_fit():
    assert problems(VALUES) == []


@pytest.mark.parametrize("path", CI_FILES, ids=lambda path: path.stem)
def test_ci_values_fit(path):
    assert problems(merged(VALUES, generate.load(path))) == []


def test_maximal_values_set_everything():
    def paths(values: Any, prefix: str = "") -> Iterator[str]:
        for name, value in values.items():
            yield prefix + name
            if isinstance(value, dict):
                yield from paths(value, f"{prefix}{name}.")

    set_paths = set(paths(generate.load(CHART / "ci" / "maximal-values.yaml")))
    assert {path for path, _ in generate.leaves(SCHEMA)} <= set_paths


@pytest.mark.parametrize(
    ("path", "schema"), list(objects(SCHEMA)), ids=lambda value: str(value)[:40]
)
def test_unknown_values_are_refused_and_known_ones_described(path, schema):
    assert schema["additionalProperties"] is False, path
    for name, sub in schema["properties"].items():
        assert sub.get("description"), f"{path}.{name} has no description"
        first = sub["description"].split()[0]
        assert first not in {"Whether", "Who", "What", "Where"}, f"{path}.{name}: {first}"


@pytest.mark.parametrize(
    "values",
    [
        {"unknown": 1},
        {"image": {"tga": "1"}},
        {"jobs": {"maxParallel": 0}},
        {"jobs": {"maxParallel": "15"}},
        {"service": {"type": "ExternalName"}},
        {"auth": {"jwtSecret": "short"}},
        {"auth": {"users": [{"password": "nameless"}]}},
        {"auth": {"users": [{"name": "two", "password": "x", "passwordHash": "$argon2id$x"}]}},
        {"auth": {"users": [{"name": "md5", "passwordHash": "$1$x"}]}},
        {"persistence": {"size": "ten"}},
    ],
    ids=str,
)
def test_bad_values_are_refused(values):
    assert problems(merged(VALUES, values)) != []


@pytest.mark.parametrize(
    ("path", "pattern"),
    list(generate.VERSIONED.items()),
    ids=[path.relative_to(generate.ROOT).as_posix() for path in generate.VERSIONED],
)
def test_the_version_is_the_projects(path, pattern):
    text = path.read_text(encoding="utf-8")
    written = [match[2] for match in re.finditer(pattern, text, re.MULTILINE)]
    assert set(written) == {PROJECT["version"]}
    other = generate.with_version(text.replace(PROJECT["version"], "0.0.1"), pattern)
    assert other == text


def test_the_chart_has_the_projects_version():
    chart = generate.load(CHART / "Chart.yaml")
    assert chart["version"] == chart["appVersion"] == PROJECT["version"]


def test_processes_read_what_the_chart_sets():
    in_templates = set(
        re.findall(r"CORE4_[A-Z_]+[A-Z]", re.sub(r"CORE4_API_SERVICE\w*", "", TEMPLATES))
    )
    sources = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("api", "journal", "operator", "kube", "process")
        for path in sorted((generate.ROOT / folder).rglob("*.py"))
    )
    assert {name for name in in_templates if f'"{name}"' not in sources} == set()


def test_the_operators_settings_without_a_value_are_in_the_docs():
    settings = OperatorSettings(namespace="jobs")
    values = {name: getattr(settings, field) for name, field in variables(OperatorSettings).items()}
    numbers = {name: f"{value:g}" for name, value in values.items() if not isinstance(value, str)}
    documented = dict(re.findall(r"^\| `(CORE4_[A-Z_]+)` \| (\d+) \|", SETTINGS, re.MULTILINE))
    assert documented == {name: text for name, text in numbers.items() if name not in TEMPLATES}


def test_the_users_of_the_docs_fit():
    (block,) = re.findall(r"^```yaml\n(.*?)^```", INSTALLING, re.MULTILINE | re.DOTALL)
    values = yaml.safe_load(block)
    assert problems(merged(VALUES, values)) == []
    jane = Permissions(values["auth"]["users"][1]["perm"])
    assert all(jane.may_call(method) for method in ("GET", "POST", "PUT"))
    names = ("shop.orders.ImportOrders", "core4.x.Y", "shopping.X")
    assert [jane.access(name) for name in names] == [Access.EXECUTE, Access.READ, Access.NONE]


def test_commands_exist():
    commands = re.findall(r"command: \[([a-z0-9-]+)", TEMPLATES)
    assert len(commands) == 4
    assert set(commands) <= set(PROJECT["scripts"])


@pytest.mark.parametrize(
    ("who", "rule"),
    [(who, rule) for who, rules in RIGHTS.items() for rule in rules],
    ids=lambda value: value if isinstance(value, str) else "-".join(value["resources"]),
)
def test_rights_are_narrow(who, rule):
    assert set(rule) == {"apiGroups", "resources", "verbs", "why"}
    assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"]
    assert not {"secrets", "nodes", "namespaces", "pods/exec"}.intersection(rule["resources"])
    assert rule["why"]


def test_examples_are_named_after_their_jobs():
    documents = list(yaml.safe_load_all(generate.examples()))
    assert documents
    for document in documents:
        assert document["kind"] == "CoreJobTemplate"
        qual_name = document["spec"]["qualName"]
        assert document["metadata"]["name"] == qual_name.lower().replace("_", "-")
