"""The program helm, and what it renders."""

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml
from charts import generate

CHART = generate.CHART


class _EachKeyOnce(yaml.SafeLoader):
    """Refuses a key that a map has twice, as kustomize does."""


def _unique(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    assert not twice, f"twice, at line {node.start_mark.line}: {twice}"
    return loader.construct_mapping(node, deep=True)


_EachKeyOnce.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique)


class Helm:
    """The program, with a home of its own and no cluster."""

    def __init__(self, program: Path, home: Path) -> None:
        self._program = program
        self._home = home
        # Without HOME, helm writes what it discovers of a cluster into the working folder.
        names = ("HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
        self._env = {"PATH": os.environ["PATH"], "KUBECONFIG": str(home / "no-cluster")}
        self._env |= dict.fromkeys(names, str(home))

    def run(self, *arguments: str) -> str:
        result = subprocess.run(  # noqa: PLW1510  # the caller sees the code in the error
            [self._program, *arguments], env=self._env, capture_output=True, text=True, timeout=60
        )
        if result.returncode:
            raise RuntimeError(result.stderr + result.stdout)
        return result.stdout

    def render(
        self, values: dict[str, Any] | None = None, *options: str, release: str = "core4"
    ) -> "Manifests":
        path = self._home / "values.yaml"
        path.write_text(yaml.safe_dump(values or {}), encoding="utf-8")
        arguments = ("template", release, str(CHART), "--namespace=jobs", f"--values={path}")
        return Manifests(self.run(*arguments, *options))


class Manifests:
    """Rendered resources."""

    def __init__(self, text: str) -> None:
        self.all = [document for document in yaml.load_all(text, _EachKeyOnce) if document]

    def kind(self, kind: str) -> list[dict[str, Any]]:
        return [document for document in self.all if document["kind"] == kind]

    def one(self, kind: str, name: str) -> dict[str, Any]:
        named = [manifest for manifest in self.kind(kind) if manifest["metadata"]["name"] == name]
        assert len(named) == 1, f"{kind} {name}: {[other['metadata'] for other in self.kind(kind)]}"
        return named[0]

    def pods(self) -> list[dict[str, Any]]:
        """The spec of each pod and pod template."""
        pods = [document["spec"] for document in self.kind("Pod")]
        workloads = self.kind("Deployment") + self.kind("Job")
        return pods + [document["spec"]["template"]["spec"] for document in workloads]

    def environment(self, deployment: str, container: str) -> dict[str, Any]:
        spec = self.one("Deployment", deployment)["spec"]["template"]["spec"]
        (env,) = [other["env"] for other in spec["containers"] if other["name"] == container]
        return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in env}

    def secret(self) -> dict[str, str]:
        data = self.one("Secret", "core4-users")["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def users(self) -> list[dict[str, Any]]:
        return json.loads(self.secret()["users.json"])

    def checksum(self) -> str:
        template = self.one("Deployment", "core4-api")["spec"]["template"]
        return template["metadata"]["annotations"]["checksum/users"]
