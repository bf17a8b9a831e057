"""Names, values and sections that an administrator may set, at their extremes."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from charts import generate
from tests.unit.charts.helm import CHART, Helm

pytestmark = pytest.mark.cluster

SCHEMA = generate.strict(generate.load(generate.SCHEMA))
SECTIONS = [name for name, sub in SCHEMA["properties"].items() if "default" not in sub]
NAMES = {"name", "namespace", "secretName", "claimName", "volumeName", "key", "ingressClassName"}


def texts(document: Any, path: str = "") -> dict[str, Any]:
    """Return the labels, and the values of fields with names of objects, by path."""
    found: dict[str, Any] = {}
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        where = f"{path}.{key}"
        if isinstance(value, dict | list):
            found |= texts(value, where)
        elif key in NAMES or "abels." in where:
            found[where] = value
    return found


@pytest.mark.parametrize("release", ["2024", "1e3", "true", "0x1f"])
def test_names_that_look_like_other_types_stay_texts(helm: Helm, release):
    values = {
        "nameOverride": "123",
        "commonLabels": {"year": "2024"},
        "auth": {"existingSecret": "123"},
        "persistence": {"existingClaim": "123"},
        "ingress": {"enabled": True, "className": "123", "path": "/123"},
        "metrics": {"serviceMonitor": {"enabled": True}},
    }
    variants: list[dict[str, Any]] = [
        values,
        values | {"persistence": {"volumeName": "123", "storageClass": "123"}},
        values | {"store": {"existingSecret": "123", "key": "123"}},
    ]
    for variant in variants:
        manifests = helm.render(variant, "--namespace=123", release=release)
        wrong = {
            (document["kind"], path): value
            for document in manifests.all
            for path, value in texts(document).items()
            if not isinstance(value, str)
        }
        assert wrong == {}
        labels = manifests.kind("Deployment")[0]["spec"]["selector"]["matchLabels"]
        assert labels["app.kubernetes.io/instance"] == release
        prefix = f"{release}-123"
        env = manifests.environment(f"{prefix}-api", "api")
        pairs = ",".join(f"{name}={value}" for name, value in labels.items())
        assert env["CORE4_REPLICA_SELECTOR"].split(",")[:2] == pairs.split(",")[:2]
        assert '"' not in env["CORE4_REPLICA_SELECTOR"]


@pytest.mark.parametrize("release", ["a" * 53, "a.b-core4.c", f"{'a' * 39}.{'b' * 13}"])
def test_names_are_those_of_services_and_short_enough(helm: Helm, release):
    for document in helm.render(release=release).all:
        name = document["metadata"]["name"]
        if document["kind"] not in {"ClusterRole", "CoreJobTemplate"}:
            assert len(name) <= 52, name  # a Deployment's pods have 11 characters more
            assert "." not in name


def test_releases_of_all_namespaces_have_roles_of_their_own(helm: Helm):
    names = [
        {role["metadata"]["name"] for role in helm.render(*arguments).kind("ClusterRole")}
        for arguments in (
            ({"fullnameOverride": "my-x"}, "--namespace=a"),
            ({"fullnameOverride": "x"}, "--namespace=a-my"),
        )
    ]
    assert names[0].isdisjoint(names[1])


def test_labels_and_annotations_that_the_chart_sets_too(helm: Helm):
    """The manifests' loader refuses a key that is there twice."""
    labels = {"app.kubernetes.io/part-of": "platform", "team": "a"}
    annotations = {"kubectl.kubernetes.io/default-container": "recorder", "checksum/users": "x"}
    component = {"podLabels": {"team": "b"}, "podAnnotations": annotations}
    values = {
        "commonLabels": labels,
        **dict.fromkeys(("api", "operator", "recorder"), component),
        "persistence": {"annotations": {"helm.sh/resource-policy": "keep"}},
        "metrics": {"serviceMonitor": {"enabled": True, "labels": {"team": "c"}}},
    }
    for store in ({}, {"store": {"existingSecret": "pg"}}):
        manifests = helm.render(values | store)
        for document in manifests.all:
            assert document["metadata"]["labels"]["app.kubernetes.io/part-of"] == "platform"
        for document in manifests.kind("Deployment"):
            assert document["metadata"]["labels"]["team"] == "a"
            template = document["spec"]["template"]["metadata"]["labels"]
            assert template["team"] == "b"
            assert document["spec"]["selector"]["matchLabels"].items() <= template.items()
        api = manifests.one("Deployment", "core4-api")["spec"]["template"]["metadata"]
        assert api["annotations"]["kubectl.kubernetes.io/default-container"] == "recorder"
        assert len(api["annotations"]["checksum/users"]) == 64
        monitor = manifests.one("ServiceMonitor", "core4-metrics")
        assert monitor["metadata"]["labels"]["team"] == "c"


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_that_is_null_is_refused_by_name(helm: Helm, section):
    with pytest.raises(RuntimeError, match=f"missing property '{section}'"):
        helm.render({section: None})


def nulls(schema: Mapping[str, Any], *, required: bool) -> dict[str, Any]:
    """Return null for each value that is required, or that is not."""
    result: dict[str, Any] = {}
    for name, sub in schema["properties"].items():
        if "default" not in sub:
            result[name] = nulls(sub, required=required)
        elif (name in schema["required"]) is required:
            result[name] = None
    return result


def test_null_unsets_a_value_or_is_refused_by_name(helm: Helm):
    def names(values: dict[str, Any]) -> list[str]:
        return [document["metadata"]["name"] for document in helm.render(values).all]

    assert names({}) == names(nulls(SCHEMA, required=False))
    required = nulls(SCHEMA, required=True)
    with pytest.raises(RuntimeError) as refused:
        helm.render(required)
    missing = re.findall("at '/?([^']*)': missing propert(?:y|ies) (.*)", str(refused.value))
    expected = {section: set(values) for section, values in required.items() if values}
    expected[""] = {name for name, values in required.items() if values is None}
    expected["metrics/serviceMonitor"] = set(required["metrics"]["serviceMonitor"])
    del expected["metrics"]
    assert {path: set(re.findall("'([^']+)'", listed)) for path, listed in missing} == expected


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"nameOverride": "Foo_Bar"}, "/nameOverride"),
        ({"fullnameOverride": "a: b"}, "/fullnameOverride"),
        (
            {"commonLabels": {"app.kubernetes.io/name": "x"}},
            "/commonLabels/app.kubernetes.io~1name",
        ),
        ({"commonLabels": {"a": "b c"}}, "/commonLabels/a"),
        ({"api": {"podLabels": {"app.kubernetes.io/component": "x"}}}, "/api/podLabels"),
        ({"image": {"repository": "registry/core4:2.0.0"}}, "/image/repository"),
        ({"image": {"repository": "core4@sha256:0"}}, "/image/repository"),
        ({"image": {"tag": "a b"}}, "/image/tag"),
        ({"imagePullSecrets": [{"name": ""}]}, "/imagePullSecrets/0/name"),
        ({"auth": {"existingSecret": "a: b"}}, "/auth/existingSecret"),
        ({"store": {"existingSecret": "A_B"}}, "/store/existingSecret"),
        ({"store": {"existingSecret": "a", "key": "a b"}}, "/store/key"),
        ({"persistence": {"existingClaim": "A"}}, "/persistence/existingClaim"),
        ({"ingress": {"path": "/a #b"}}, "/ingress/path"),
        ({"ingress": {"hosts": ["A b"]}}, "/ingress/hosts/0"),
        ({"api": {"resources": {"limits": {"cpu": "many"}}}}, "/api/resources/limits/cpu"),
        ({"api": {"resources": {"limits": {"cpu": -1}}}}, "/api/resources/limits/cpu"),
        ({"api": {"extraEnv": [{"name": "A=B"}]}}, "/api/extraEnv/0/name"),
        ({"api": {"extraEnv": [{"name": "A", "value": "", "valueFrom": {}}]}}, "/api/extraEnv/0"),
        ({"api": {"replicas": 10**10}}, "/api/replicas"),
        ({"api": {"queueLimit": 1e300}}, "/api/queueLimit"),
        ({"jobs": {"ttlSeconds": 1e300}}, "/jobs/ttlSeconds"),
        ({"jobs": {"maxParallel": 2.5}}, "/jobs/maxParallel"),
        ({"podSecurity": {"runAsUser": 2**31}}, "/podSecurity/runAsUser"),
        ({"podSecurity": {"runAsUser": 0}}, "/podSecurity/runAsUser"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_by_its_path(helm: Helm, values, where):
    with pytest.raises(RuntimeError, match=f"at '{where}"):
        helm.render(values)


@pytest.mark.parametrize("repository", ["core4", "localhost:5000/x/core4", "[::1]:5000/core4"])
def test_names_of_images(helm: Helm, repository):
    manifests = helm.render({"image": {"repository": repository, "tag": "1"}})
    images = {container["image"] for pod in manifests.pods() for container in pod["containers"]}
    assert images == {f"{repository}:1"}


def test_large_numbers_are_written_as_such(helm: Helm):
    grace = {"terminationGracePeriodSeconds": 10_000_000}
    values = {"api": grace, "operator": grace, "hooks": {"timeoutSeconds": 10_000_000}}
    manifests = helm.render(values)
    (job,) = manifests.kind("Job")
    assert job["spec"]["activeDeadlineSeconds"] == 10_000_000
    for deployment in manifests.kind("Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] == 10_000_000


def test_generated_passwords_have_keys_of_their_own(helm: Helm):
    with pytest.raises(RuntimeError, match="password of a_b has the same key a_b-password"):
        helm.render({"auth": {"users": [{"name": "a@b"}, {"name": "a_b"}]}})
    helm.render({"auth": {"users": [{"name": "a@b"}, {"name": "a_b", "password": "x"}]}})


@pytest.mark.parametrize(
    "auth",
    [
        {"existingSecret": "mine"},
        {"jwtSecret": "k" * 32, "users": [{"name": "a", "password": "b"}]},
    ],
    ids=str,
)
def test_nothing_changes_between_two_renderings_if_no_value_is_generated(helm: Helm, auth):
    assert helm.render({"auth": auth}).all == helm.render({"auth": auth}).all


def test_the_chart_as_a_dependency_of_another(helm: Helm, tmp_path):
    parent = tmp_path / "parent"
    (parent / "charts").mkdir(parents=True)
    (parent / "charts" / "core4").symlink_to(CHART)
    dependency = {"name": "core4", "version": generate.version(), "repository": ""}
    chart = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(chart), encoding="utf-8")
    assert "kind: Deployment" in helm.run("template", "x", str(parent), "--set=global.team=a")
