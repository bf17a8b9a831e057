"""Run kubectl in one namespace."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from subprocess import CompletedProcess
from typing import Any

import yaml
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.provider import Provider
from tests.support.waiting import T, until


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs kubectl as the cluster's administrator; call it with kubectl's arguments."""

    provider: Provider
    namespace: str

    def argv(self, *arguments: str) -> list[str]:
        """Return the command line."""
        where = [f"--kubeconfig={self.provider.kubeconfig}", f"--namespace={self.namespace}"]
        return [str(self.provider.binary("kubectl")), *where, *arguments]

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run kubectl and return its output.

        Raises:
            ClusterError: It failed or took too long; the message has its output.
        """
        return run(self.argv(*arguments), stdin=stdin, timeout=timeout).stdout

    def attempt(self, *arguments: str, stdin: str | None = None) -> CompletedProcess[str]:
        """Run kubectl and return its result, even if it failed."""
        return run(self.argv(*arguments), stdin=stdin, check=False)

    def refused(self, *arguments: str, stdin: str | None = None) -> str:
        """Return the output of a command that must be refused."""
        result = self.attempt(*arguments, stdin=stdin)
        assert result.returncode != 0, f"not refused: {arguments} {stdin}\n{result.stdout}"
        return result.stdout + result.stderr

    def json(self, *arguments: str) -> Any:
        """Return the decoded output with `-o json`."""
        return json.loads(self(*arguments, "-o", "json"))

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the items of `kubectl get`."""
        found: list[dict[str, Any]] = self.json("get", *arguments)["items"]
        return found

    def apply(self, *documents: dict[str, Any]) -> None:
        """Apply documents."""
        whole = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        self("apply", "-f", "-", stdin=json.dumps(whole))

    def apply_templates(self, package: str) -> list[str]:
        """Add all jobs of a package to the catalogue, as the manual describes.

        Returns:
            Their names in the catalogue.
        """
        manifests = run([sys.executable, "-m", "core4", "templates", package]).stdout
        self("apply", "-f", "-", stdin=manifests)
        return [document["spec"]["qualName"] for document in yaml.safe_load_all(manifests)]


def polled(
    probe: Callable[[], T],
    accept: Callable[[T], bool] = bool,
    *,
    what: str,
    ignoring: tuple[type[Exception], ...] = (),
    **times: float,
) -> T:
    """Wait as `until` does, with a probe that runs kubectl; `times` are `seconds` and `every`.

    A call that fails is repeated: a busy API server may not answer in time.
    """
    return until(probe, accept, what=what, ignoring=(ClusterError, *ignoring), **times)
