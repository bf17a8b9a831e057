"""kubectl in one namespace."""

import json
import sys
from dataclasses import dataclass
from subprocess import CompletedProcess
from typing import Any

from tests.cluster.commands import run
from tests.cluster.provider import Provider


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs kubectl as the cluster's administrator. Called with kubectl's arguments."""

    provider: Provider
    namespace: str

    def argv(self, *arguments: str) -> list[str]:
        """The command line."""
        where = [f"--kubeconfig={self.provider.kubeconfig}", f"--namespace={self.namespace}"]
        return [str(self.provider.binary("kubectl")), *where, *arguments]

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Its output; an error carries what it said."""
        return run(self.argv(*arguments), stdin=stdin, timeout=timeout).stdout

    def attempt(self, *arguments: str, stdin: str | None = None) -> CompletedProcess[str]:
        """Run it whether it succeeds or not."""
        return run(self.argv(*arguments), stdin=stdin, check=False)

    def refused(self, *arguments: str, stdin: str | None = None) -> str:
        """What it says to something that has to be refused."""
        result = self.attempt(*arguments, stdin=stdin)
        assert result.returncode != 0, f"not refused: {arguments} {stdin}\n{result.stdout}"
        return result.stdout + result.stderr

    def json(self, *arguments: str) -> Any:
        """Its output with `-o json`, decoded."""
        return json.loads(self(*arguments, "-o", "json"))

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """The items of a list."""
        found: list[dict[str, Any]] = self.json("get", *arguments)["items"]
        return found

    def apply(self, *documents: dict[str, Any]) -> None:
        """Apply documents."""
        whole = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        self("apply", "-f", "-", stdin=json.dumps(whole))

    def apply_templates(self, package: str) -> None:
        """Put all jobs of a package into the catalogue, as the manual says."""
        manifests = run([sys.executable, "-m", "core4", "templates", package]).stdout
        self("apply", "-f", "-", stdin=manifests)
