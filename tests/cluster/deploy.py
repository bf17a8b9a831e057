"""Deploy the service to a cluster: build the image, install the chart, wait for an answer."""

import json
import os
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.cluster import cache, diagnostics, kubeconfig, network, portforward, processes
from tests.cluster.commands import run
from tests.cluster.diagnostics import kubectl
from tests.cluster.errors import ClusterError
from tests.cluster.existing import ExistingCluster
from tests.cluster.image import project_image
from tests.cluster.layout import SERVICE_PORT
from tests.cluster.output import say, tell
from tests.cluster.provider import Provider

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "core4"
DEMO_VALUES = CHART / "ci" / "demo-values.yaml"
RELEASE = "core4"
NAMESPACE = "core4"
URL = f"http://localhost:{SERVICE_PORT}"
_PUBLIC = f"{URL}/core4/api/v1/openapi.json"
# Name of an image in a registry, to use instead of one that is built here.
IMAGE_VARIABLE = "CORE4_IMAGE"

_STORAGE_CLASS = "core4-local"
# helm's states of a release that it is changing.
_PENDING = ("pending-install", "pending-upgrade", "pending-rollback")
# Seconds; a busy machine may start several releases at once.
_TIMEOUT = 300
# User id of the image, since a pod's fsGroup does not apply to a hostPath volume.
_OWNER = 10001


def deploy(provider: Provider) -> None:
    """Build, load and install this checkout, and wait until it answers.

    Raises:
        ClusterError: the service does not start; the cluster's state was printed.
    """
    # Another checkout may deploy at the same time, and Helm refuses the second.
    with cache.locked("deploy"):
        _require_port(provider)
        reference = provide_image(provider)
        try:
            install(provider, reference, node_port=provider.node_port)
            if provider.node_port is None:
                target, ports = f"service/{RELEASE}-api", f"{SERVICE_PORT}:{SERVICE_PORT}"
                kubectl_path = provider.binary("kubectl")
                portforward.start(kubectl_path, provider.kubeconfig, NAMESPACE, target, ports)
            _await_answer()
        except ClusterError:
            diagnostics.dump(provider, NAMESPACE)
            raise
    tell(f"{URL}/core4/api/v1")


def _require_port(provider: Provider) -> None:
    """Check first that the service's port is free, since the rest may take minutes."""
    if provider.node_port is None:
        portforward.require_free(SERVICE_PORT)
    elif provider.node_port == SERVICE_PORT:
        # On other clusters the cluster itself listens on the port.
        network.require_free((SERVICE_PORT,), "the service", forwarded=True)


def provide_image(provider: Provider) -> str:
    """Build this checkout's image and load it into the cluster. Return its name.

    If CORE4_IMAGE names an image, return that name.
    """
    if named := os.environ.get(IMAGE_VARIABLE):
        return named
    image = project_image(ROOT)
    provider.load(image.archive, image.reference)
    return image.reference


def install(
    provider: Provider,
    image: str,
    *,
    namespace: str = NAMESPACE,
    release: str = RELEASE,
    node_port: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Install or upgrade the chart, with the demo's values.

    Args:
        provider: the cluster.
        image: name and tag.
        namespace: the namespace, which is created if needed.
        release: name of the Helm release.
        node_port: node port of the service; None for a service without one.
        extra: more values, which take precedence.
    """
    _define(provider)
    volume = _volume(provider, namespace)
    values = chart_values(provider, image, node_port=node_port, volume=volume)
    _forget_cut_off(provider, namespace, release)
    say(f"installing {release} into namespace {namespace}")
    argv = ["upgrade", "--install", release, str(CHART), "--create-namespace"]
    argv += ["--values", str(DEMO_VALUES), "--values", _written(f"{namespace}-{release}", values)]
    if extra:
        argv += ["--values", _written(f"{namespace}-{release}-extra", extra)]
    helm(provider, namespace, *argv, "--wait", f"--timeout={_TIMEOUT}s")


def undeploy(provider: Provider, namespace: str = NAMESPACE, release: str = RELEASE) -> None:
    """Uninstall the release; its volume with the journal remains."""
    portforward.stop()
    options = ("--ignore-not-found", "--wait", f"--timeout={_TIMEOUT}s")
    helm(provider, namespace, "uninstall", release, *options)
    say(f"{release} is uninstalled")


def chart_values(
    provider: Provider, image: str, *, node_port: int | None, volume: str | None
) -> dict[str, Any]:
    """Return the chart's values for this cluster."""
    repository, _, tag = image.rpartition(":")
    values: dict[str, Any] = {
        "image": {
            "repository": repository,
            "tag": tag,
            "pullPolicy": provider.image_pull_policy,
        },
        "service": {"type": "ClusterIP"},
    }
    if node_port is not None:
        values["service"] = {"type": "NodePort", "nodePort": node_port}
    if volume is not None:
        values["persistence"] = {"storageClass": _STORAGE_CLASS, "volumeName": volume}
    return values


def helm(provider: Provider, namespace: str, *arguments: str) -> str:
    """Run helm against the provider's cluster, with its files in the cache; return its output."""
    home = cache.folder("helm")
    names = ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
    where = [f"--kubeconfig={provider.kubeconfig}", f"--namespace={namespace}"]
    argv = [str(provider.binary("helm")), *where, *arguments]
    env = dict.fromkeys(names, str(home))
    return run(argv, env=env, timeout=_TIMEOUT + 60).stdout


def _define(provider: Provider) -> None:
    """Apply the CRDs, which Helm installs once and never upgrades, and wait until they are served.

    The lock serialises the workers of a test run. The API server refuses objects of a new kind
    until it serves the kind.
    """
    folder = ("-f", str(CHART / "crds"))
    with cache.locked("definitions"):
        kubectl(provider, "apply", "--server-side", "--force-conflicts", *folder)
        kubectl(provider, "wait", "--for=condition=Established", "--timeout=60s", *folder)


def _forget_cut_off(provider: Provider, namespace: str, release: str) -> None:
    """Forget a change of the release during which helm was killed; else it refuses all later ones.

    This leaves what that change has created, which the next one takes over. A cluster that is not
    ours is left alone, since somebody else may be changing the release there.
    """
    if provider.name == ExistingCluster.name:
        return
    which = f"owner=helm,name={release},status in ({','.join(_PENDING)})"
    inside = (f"--namespace={namespace}", f"--selector={which}", "--output=name")
    # Without a match, kubectl prints "No resources found" to standard output.
    if kubectl(provider, "delete", "secrets", *inside).startswith("secret/"):
        say(f"an earlier change of {release} in namespace {namespace} was cut off: repeating it")


def _volume(provider: Provider, namespace: str) -> str | None:
    """Create the volume if the cluster has no storage class. Return its name, or None."""
    folder = provider.volume_host_path(namespace)
    if folder is None:
        return None
    if not folder.exists():
        folder.mkdir(parents=True)
        os.chown(folder, _OWNER, _OWNER)
    name = f"{namespace}-journal"
    shown = kubectl(provider, "get", "pv", name, "-o", "json", "--ignore-not-found")
    if shown and json.loads(shown)["status"].get("phase") in ("Released", "Failed"):
        # The claim was deleted; without this patch the volume would stay bound to it.
        removal = '[{"op": "remove", "path": "/spec/claimRef"}]'
        kubectl(provider, "patch", "pv", name, "--type=json", f"--patch={removal}")
    if not shown:
        kubectl(provider, "create", "-f", "-", stdin=json.dumps(_volume_document(name, folder)))
    return name


def _volume_document(name: str, folder: Path) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "10Gi"},
            "hostPath": {"path": str(folder), "type": "Directory"},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": _STORAGE_CLASS,
        },
    }


def _written(name: str, values: Mapping[str, Any]) -> str:
    path = cache.folder("values") / f"{name}.json"
    path.write_text(json.dumps(values, indent=1), encoding="utf-8")
    return str(path)


def _await_answer() -> None:
    say(f"waiting for {_PUBLIC}")
    if not processes.wait(_answers, 120):
        raise ClusterError(f"{_PUBLIC} does not answer")


def _answers() -> bool:
    try:
        with kubeconfig.opened(_PUBLIC, timeout=3) as response:
            return bool(response.status == 200)
    except (OSError, HTTPException):
        return False
