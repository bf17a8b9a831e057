"""Objects that the chart looks up: kept passwords, and those that it must not lose."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.charts import kube_stub
from tests.unit.charts.helm import Helm, Manifests

pytestmark = pytest.mark.cluster

Upgrade = Callable[..., Manifests]
OWN = {"meta.helm.sh/release-name": "core4", "meta.helm.sh/release-namespace": "jobs"}
HELM = {"app.kubernetes.io/managed-by": "Helm"}


def existing(kind: str, name: str, **metadata: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": "jobs", **metadata}}


def secret(**texts: str) -> dict[str, Any]:
    data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    return existing("Secret", "core4-users", annotations=OWN, labels=HELM) | {"data": data}


def deployment(release: str, part_of: str = "core4") -> dict[str, Any]:
    labels = {
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/part-of": part_of,
        "app.kubernetes.io/component": "operator",
    }
    annotations = OWN | {"meta.helm.sh/release-name": release}
    name = f"{release}-operator"
    return existing("Deployment", name, annotations=annotations, labels=labels | HELM)


@pytest.fixture
def upgrade(helm: Helm, tmp_path) -> Upgrade:
    def render(*objects: dict[str, Any], **values: Any) -> Manifests:
        with kube_stub.serving(tmp_path, "jobs", objects) as kubeconfig:
            options = ("--dry-run=server", "--disable-openapi-validation")
            return helm.render(values, *options, f"--kubeconfig={kubeconfig}")

    return render


def test_generated_values_are_kept(upgrade: Upgrade):
    users = [{"name": "admin", "password": "kept"}, {"name": "gone", "password": "x"}]
    old = secret(**{"users.json": json.dumps(users), "jwt-secret": "k" * 64})
    given = [{"name": "admin"}, {"name": "new"}]
    manifests = upgrade(old, auth={"users": given})
    admin, new = manifests.users()
    assert admin["password"] == manifests.secret()["admin-password"] == "kept"
    assert len(new["password"]) == 24
    assert manifests.secret()["jwt-secret"] == "k" * 64
    same = {"auth": {"users": given[:1]}}
    assert upgrade(old, **same).checksum() == upgrade(old, **same).checksum()


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        '{"admin": 1}',
        '["admin", null, {"password": "x"}]',
        '[{"name": 3, "password": "x"}]',
        '[{"name": "admin", "password": 5}]',
        "",
    ],
)
def test_a_damaged_list_of_users_is_repaired_by_an_upgrade(upgrade: Upgrade, text):
    old = secret(**{"users.json": text, "admin-password": "kept", "jwt-secret": "k" * 64})
    manifests = upgrade(old)
    (admin,) = manifests.users()
    assert admin["password"] == manifests.secret()["admin-password"] == "kept"
    assert manifests.secret()["jwt-secret"] == "k" * 64


def test_the_charts_own_secret_is_refused_as_an_existing_one(upgrade: Upgrade):
    auth = {"existingSecret": "core4-users"}
    with pytest.raises(RuntimeError, match=r"auth\.existingSecret: the Secret core4-users belongs"):
        upgrade(secret(), auth=auth)
    by_hand = existing("Secret", "core4-users")
    assert upgrade(by_hand, auth=auth).kind("Secret") == []
    assert upgrade(auth=auth).kind("Secret") == []


def test_the_charts_own_claim_is_refused_as_an_existing_one_unless_it_is_kept(upgrade: Upgrade):
    persistence = {"existingClaim": "core4-journal"}
    name = ("PersistentVolumeClaim", "core4-journal")
    with pytest.raises(RuntimeError, match=r"persistence\.existingClaim: .* core4-journal belongs"):
        upgrade(existing(*name, annotations=OWN), persistence=persistence)
    kept = OWN | {"helm.sh/resource-policy": "keep"}
    variants: list[dict[str, Any]] = [{"annotations": kept}, {}]
    for metadata in variants:
        manifests = upgrade(existing(*name, **metadata), persistence=persistence)
        assert manifests.kind("PersistentVolumeClaim") == []


def test_a_second_release_in_a_namespace_is_refused(upgrade: Upgrade):
    with pytest.raises(RuntimeError, match="namespace jobs has the release other already"):
        upgrade(deployment("other"))
    unlabelled = existing("Deployment", "plain")
    others = (deployment("core4"), deployment("other", part_of="shop"), unlabelled)
    assert upgrade(*others).kind("Deployment")
