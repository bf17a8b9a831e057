"""Run the workflow controller of Argo on this machine, for one namespace."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.bench.usage import LocalProcess
from tests.cluster import binaries
from tests.cluster.commands import environment
from tests.cluster.deploy import ROOT
from tests.support.kubectl import Kubectl
from tests.support.waiting import until

_MODULE: Final = Path(__file__).parent
_PACKAGE: Final = "github.com/argoproj/argo-workflows/v3/cmd/workflow-controller"
_GROUP: Final = "argoproj.io"
_LOG: Final = ROOT / "build" / "workflow-controller.log"
_KINDS: Final = (
    "ClusterWorkflowTemplate",
    "CronWorkflow",
    "Workflow",
    "WorkflowArtifactGCTask",
    "WorkflowEventBinding",
    "WorkflowTaskResult",
    "WorkflowTaskSet",
    "WorkflowTemplate",
)
# As for the cluster's own controllers: else a benchmark would only measure this limit.
_LIMITS: Final = ("--qps=1000", "--burst=2000")
_CONFIG: Final = "workflow-controller-configmap"


def program() -> Path:
    """Build the controller, unless it is in the cache; return its path."""
    return binaries.of_module(_MODULE, _PACKAGE)


@contextlib.contextmanager
def running(kubectl: Kubectl) -> Iterator[LocalProcess]:
    """Run the controller for the namespace of kubectl."""
    kubectl.apply(*(_definition(kind) for kind in _KINDS))
    kubectl("wait", "--for=condition=Established", "--timeout=60s", *_names())
    kubectl.apply(_config())
    namespace = kubectl.namespace
    argv = [str(program()), "--kubeconfig", str(kubectl.provider.kubeconfig), "-n", namespace]
    argv += ["--namespaced", f"--managed-namespace={namespace}", "--loglevel=warn", *_LIMITS]
    _LOG.parent.mkdir(exist_ok=True)
    with _LOG.open("wb") as log:
        process = subprocess.Popen(
            [*argv, "--executor-image=argoexec"],
            env=environment({"LEADER_ELECTION_DISABLE": "true"}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _probe(kubectl)
        assert process.poll() is None, f"the controller of Argo has ended; see {_LOG}"
        yield LocalProcess(process.pid)
    finally:
        process.terminate()
        process.wait(30)
        kubectl("delete", "--ignore-not-found", *_names())


def _probe(kubectl: Kubectl) -> None:
    """Wait until the controller has taken up a workflow, which suspends itself."""
    kubectl.apply(
        {
            "apiVersion": f"{_GROUP}/v1alpha1",
            "kind": "Workflow",
            "metadata": {"name": "probe"},
            "spec": {"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}]},
        }
    )
    until(
        lambda: kubectl("get", "workflow", "probe", "-o", "jsonpath={.status.phase}"),
        what=f"the controller of Argo works; its log is {_LOG}",
    )
    kubectl("delete", "workflow", "probe")


def _config() -> dict[str, Any]:
    metrics = "enabled: false\n"  # Argo takes a value without a line break for a scalar
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": _CONFIG},
        "data": {"metricsConfig": metrics, "telemetryConfig": metrics},
    }


def _names() -> list[str]:
    return [f"customresourcedefinition/{_plural(kind)}.{_GROUP}" for kind in _KINDS]


def _plural(kind: str) -> str:
    return f"{kind.lower()}s"


def _definition(kind: str) -> dict[str, Any]:
    """Return a CRD that stores any object, as Argo's minimal ones do."""
    plural = _plural(kind)
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{_GROUP}"},
        "spec": {
            "group": _GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
            },
            "scope": "Cluster" if kind.startswith("Cluster") else "Namespaced",
            "versions": [version],
        },
    }
