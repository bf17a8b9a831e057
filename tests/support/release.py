"""A release of the chart in a namespace of its own, installed and uninstalled by the real helm."""

import contextlib
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import requests
from tests.cluster import deploy, diagnostics
from tests.cluster.errors import ClusterError
from tests.cluster.provider import Provider
from tests.support.jobs import ACCEPTANCE
from tests.support.kubectl import Kubectl
from tests.support.reach import reached
from tests.support.rest import BASE, Rest
from tests.support.waiting import until

PORT = 5001
HEALTH_PORT = 5004

Later = Callable[[Callable[[], None]], object]
"""Runs a function, now or in the background."""


def at_once(work: Callable[[], None]) -> None:
    """Run a function and wait for its end."""
    work()


@dataclass(frozen=True, slots=True)
class Release:
    """An installed service.

    Attributes:
        provider: the cluster.
        image: the image of the service.
        namespace: the namespace of the release.
        root: the URL of the API without the base path.
        health: the URL of the API's health and metrics.
        kubectl: kubectl in the namespace.
    """

    provider: Provider
    image: str
    namespace: str
    root: str
    health: str
    kubectl: Kubectl

    @property
    def url(self) -> str:
        """The URL of the REST API with the base path."""
        return f"{self.root}{BASE}"

    def rest(self, user: str | None = "admin", password: str = "hans") -> Rest:
        """Return a client for a user; None is anonymous."""
        return Rest(self.url, user, password)

    def upgrade(self, values: Mapping[str, Any]) -> None:
        """Upgrade the release with these values in addition to those of the demo."""
        deploy.install(self.provider, self.image, namespace=self.namespace, extra=values)
        self.wait_answer()

    def uninstall(self) -> None:
        """Uninstall the release; the namespace and resources that helm keeps remain."""
        deploy.helm(
            self.provider, self.namespace, "uninstall", deploy.RELEASE, "--wait", "--timeout=240s"
        )

    def helm(self, *arguments: str) -> str:
        """Run helm in the namespace and return its output."""
        return deploy.helm(self.provider, self.namespace, *arguments)

    def pod(self, component: str) -> str:
        """Return the name of the only running pod of a component, `api` or `operator`."""
        pods = self.kubectl.items("pods", "-l", f"app.kubernetes.io/component={component}")
        names = [pod["metadata"]["name"] for pod in pods if _runs(pod)]
        assert len(names) == 1, f"not one pod of {component}: {names}"
        name: str = names[0]
        return name

    def wait_ready(self) -> None:
        """Wait until both deployments are rolled out, and the API answers."""
        for component in ("api", "operator"):
            name = f"deployment/{deploy.RELEASE}-{component}"
            self.kubectl("rollout", "status", name, "--timeout=180s", timeout=210)
        self.wait_answer()

    def wait_answer(self) -> None:
        """Wait until the API can be reached: routes to a new pod appear after it is ready."""
        _wait_200(self.health, "readyz?without=store")
        _wait_200(self.url, "openapi.json")

    def readiness(self) -> tuple[int, str]:
        """Return status code and text of the API's `/readyz`."""
        with Rest(self.health, None) as nobody:
            answer = nobody.call("GET", "readyz")
            return answer.status_code, answer.text


@contextlib.contextmanager
def released(
    provider: Provider,
    image: str,
    values: Mapping[str, Any],
    *,
    prepare: Callable[[Kubectl], None] | None = None,
    later: Later = at_once,
) -> Iterator[Release]:
    """Install a release with the acceptance jobs; delete it and its namespace afterwards.

    If the release does not become ready, its state is printed.

    Args:
        provider: the cluster.
        image: the image of the service.
        values: values of the chart in addition to those of the demo.
        prepare: creates what the release needs in its namespace, which exists already.
        later: runs the deletion; by default it waits for its end.
    """
    namespace = f"core4-e2e-{uuid.uuid4().hex[:6]}"
    kubectl = Kubectl(provider, namespace)
    try:
        if prepare is not None:
            kubectl("create", "namespace", namespace)
            prepare(kubectl)
        try:
            deploy.install(provider, image, namespace=namespace, extra=values)
            names = kubectl.apply_templates(ACCEPTANCE)
        except ClusterError:
            diagnostics.dump(provider, namespace)
            raise
        with (
            reached(kubectl, f"{deploy.RELEASE}-api", PORT) as address,
            reached(kubectl, f"{deploy.RELEASE}-api-health", HEALTH_PORT) as health,
        ):
            release = Release(
                provider, image, namespace, f"http://{address}", f"http://{health}", kubectl
            )
            release.wait_answer()
            # The API learns of them by a watch, which may be behind.
            with release.rest() as admin, admin.by_token() as client:
                for name in names:
                    client.wait_listed(name)
            yield release
    finally:
        later(partial(_take_away, provider, namespace))


def _take_away(provider: Provider, namespace: str) -> None:
    # Don't use `undeploy`, which also ends the port forwarding of `make up`.
    deploy.helm(provider, namespace, "uninstall", deploy.RELEASE, "--ignore-not-found", "--wait")
    kubectl = Kubectl(provider, namespace)
    # Other tests run meanwhile, and namespaces are emptied one object after the other.
    kubectl("delete", "namespace", namespace, "--ignore-not-found", timeout=600)
    kubectl("delete", "persistentvolume", f"{namespace}-journal", "--ignore-not-found")
    folder = provider.volume_host_path(namespace)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_200(root: str, path: str) -> None:
    with Rest(root, None) as nobody:
        until(
            lambda: nobody.call("GET", path).status_code,
            lambda code: code == 200,
            what=f"the API answers {path}",
            seconds=120,
            ignoring=(requests.ConnectionError, requests.Timeout),
        )


def _runs(pod: Mapping[str, Any]) -> bool:
    return pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
