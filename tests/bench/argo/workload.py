"""Workflows of one pod on simulated nodes, with what Argo's executor would write in the pod."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from tests.bench.client import Send, creator
from tests.bench.life import Workload
from tests.bench.simulated import TTL_SECONDS, Stage
from tests.bench.usage import LocalProcess
from tests.bench.watching import WATCH

from corejob_kube.client import Kube
from corejob_kube.resources import PODS, Resource

WORKFLOWS: Final = Resource("argoproj.io/v1alpha1", "workflows")
_RESULTS: Final = Resource("argoproj.io/v1alpha1", "workflowtaskresults")
_WORKFLOW: Final = "workflows.argoproj.io/workflow"
_NODE: Final = "workflows.argoproj.io/node-id"
_COMPLETED: Final = "workflows.argoproj.io/report-outputs-completed"
_MANAGER: Final = "argoexec"


def workload(stage: Stage, job: dict[str, Any], controller: LocalProcess) -> Workload:
    """Return workflows whose pod is that of a raw Job."""
    document = _workflow(stage, job)

    @asynccontextmanager
    async def sender(kube: Kube) -> AsyncIterator[Send]:
        async with _executors(kube, stage.raw.namespace):
            yield creator(kube, WORKFLOWS.path(stage.raw.namespace), lambda _: document)

    return Workload(stage.raw, WORKFLOWS, sender, {"argo": controller})


def _workflow(stage: Stage, job: dict[str, Any]) -> dict[str, Any]:
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    kept = ("image", "imagePullPolicy", "command", "env", "securityContext")
    main = {
        "name": "main",
        "nodeSelector": pod["nodeSelector"],
        "tolerations": pod["tolerations"],
        "container": {name: container[name] for name in kept if name in container},
    }
    return {
        "apiVersion": WORKFLOWS.group_version,
        "kind": "Workflow",
        "metadata": {"generateName": "argo-", "namespace": stage.raw.namespace},
        "spec": {
            "entrypoint": "main",
            "ttlStrategy": {"secondsAfterCompletion": TTL_SECONDS},
            "templates": [main],
        },
    }


@asynccontextmanager
async def _executors(kube: Kube, namespace: str) -> AsyncIterator[None]:
    """Report the results of all pods: create at the start, patch at the end, as `argoexec wait`."""
    tasks: set[asyncio.Task[None]] = set()

    async def watch() -> None:
        begun: set[str] = set()
        async with kube.stream(PODS.path(namespace), params=WATCH, idle=None) as content:
            async for line in content:
                pod = json.loads(line)["object"]
                name, phase = pod["metadata"]["name"], pod["status"].get("phase")
                if phase == "Succeeded" and name not in begun:
                    begun.add(name)
                    tasks.add(asyncio.create_task(_report(kube, namespace, pod)))

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(*tasks)


async def _report(kube: Kube, namespace: str, pod: dict[str, Any]) -> None:
    name, workflow = pod["metadata"]["annotations"][_NODE], pod["metadata"]["labels"][_WORKFLOW]
    owner = next(each for each in pod["metadata"]["ownerReferences"] if each["kind"] == "Workflow")
    result = {
        "apiVersion": _RESULTS.group_version,
        "kind": "WorkflowTaskResult",
        "metadata": {
            "name": name,
            "labels": {_WORKFLOW: workflow, _COMPLETED: "false"},
            "ownerReferences": [owner],
        },
    }
    await kube.request("POST", _RESULTS.path(namespace), body=result)
    patch = {"metadata": {"labels": {_COMPLETED: "true"}}}
    await kube.patch(_RESULTS, namespace, name, patch, manager=_MANAGER)
