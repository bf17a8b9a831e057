"""A read-only API server with some objects, for what the chart looks up in the cluster."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import yaml

_KINDS: Final = {
    "v1": ("PersistentVolumeClaim", "Pod", "Secret", "Service", "ServiceAccount"),
    "apps/v1": ("Deployment",),
    "batch/v1": ("Job",),
    "core4.io/v1": ("CoreJobTemplate",),
    "networking.k8s.io/v1": ("NetworkPolicy",),
    "rbac.authorization.k8s.io/v1": ("ClusterRole", "Role", "RoleBinding"),
}


def _plural(kind: str) -> str:
    return kind.lower().removesuffix("y") + ("ies" if kind.endswith("y") else "s")


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _discovery() -> dict[str, Any]:
    groups = [version.split("/") for version in _KINDS if "/" in version]
    documents: dict[str, Any] = {
        "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [
                {
                    "name": name,
                    "versions": [{"groupVersion": f"{name}/{version}", "version": version}],
                }
                for name, version in groups
            ],
        },
    }
    for version, kinds in _KINDS.items():
        resources = [
            {
                "name": _plural(kind),
                "kind": kind,
                "namespaced": kind != "ClusterRole",
                "verbs": ["get", "list"],
            }
            for kind in kinds
        ]
        listed = {"kind": "APIResourceList", "groupVersion": version, "resources": resources}
        documents[_root(version)] = listed
    return documents


def _documents(namespace: str, objects: Sequence[dict[str, Any]]) -> dict[str, Any]:
    documents = _discovery()
    for version, kinds in _KINDS.items():
        for kind in kinds:
            path = f"{_root(version)}/namespaces/{namespace}/{_plural(kind)}"
            items = [item for item in objects if item["kind"] == kind]
            documents[path] = {"kind": f"{kind}List", "apiVersion": version, "items": items}
            for item in items:
                documents[f"{path}/{item['metadata']['name']}"] = {"apiVersion": version, **item}
    return documents


@contextmanager
def answering(answer: Callable[[str], tuple[int, bytes]]) -> Iterator[int]:
    """Answer GET requests by their path with a status and a body; yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serving(folder: Path, namespace: str, objects: Sequence[dict[str, Any]]) -> Iterator[Path]:
    """Serve objects of a namespace as an API server; yield the kubeconfig."""
    documents = _documents(namespace, objects)
    missing = {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}

    def answer(path: str) -> tuple[int, bytes]:
        status = 200 if path in documents else 404
        return status, json.dumps(documents.get(path, missing)).encode()

    with answering(answer) as port:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "stub", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "contexts": [{"name": "stub", "context": {"cluster": "stub"}}],
            "current-context": "stub",
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        yield path
