"""A fake API server with shorthands for CoreJobs, their pods and their logs."""

from typing import Any

from tests.support.fake_apiserver.logs import PodLog
from tests.support.fake_apiserver.server import FakeApiServer


class FakeCluster(FakeApiServer):
    """The API server of the recorders, with the changes that other components make."""

    def __init__(self) -> None:
        super().__init__("recorder")

    @property
    def patches(self) -> list[tuple[str, dict[str, Any]]]:
        """Return names and fields of all status patches."""
        return [
            (one.name, one.body["status"])
            for one in self.served
            if (one.method, one.plural, one.sub) == ("PATCH", "corejobs", "status")
        ]

    def remove(self, plural: str, name: str, *, orphan: bool = True) -> None:
        """Remove an object, and with a pod its log; owned objects stay if `orphan`."""
        if plural == "pods":
            self.logs.pop(name, None)
        super().remove(plural, name, orphan=orphan)

    async def add_job(self, job_id: str, **status: Any) -> None:
        """Create a CoreJob."""
        spec = {"qualName": "a.Job", "username": "hans", "args": {}}
        body = {
            "apiVersion": "core4.io/v1",
            "kind": "CoreJob",
            "metadata": {
                "name": job_id,
                "uid": f"uid-{job_id}",
                "creationTimestamp": "2026-11-24T00:00:00Z",
            },
            "spec": {**spec, **status.pop("spec", {})},
            "status": {"id": job_id, "state": "running", "trial": 1, **status},
        }
        self.put("corejobs", body)

    async def add_recorder(self, identity: str) -> None:
        """Create the pod in which a recorder of that name runs."""
        meta = {"name": identity, "uid": identity, "creationTimestamp": "2026-11-24T00:00:00Z"}
        self.put("pods", {"metadata": meta, "spec": {}, "status": {}})

    async def set_job(self, job_id: str, **status: Any) -> None:
        """Change a CoreJob's status."""
        self.change("corejobs", job_id, {"status": status})

    async def add_pod(
        self,
        job_id: str,
        *,
        trial: int = 1,
        runtime: str = "core4",
        attempts_left: int = 1,
        name: str = "",
        state: dict[str, Any] | None = None,
        node: str = "node-1",
    ) -> PodLog:
        """Create a running pod, and return its log."""
        name = name or f"{job_id}-{trial}"
        labels = {"core4.io/corejob": job_id, "core4.io/trial": str(trial)}
        owner = await self.add_batch_job(job_id, trial)
        body = {
            "metadata": {
                "name": name,
                "uid": f"uid-{name}",
                "creationTimestamp": "2026-11-24T00:00:00Z",
                "labels": labels,
                "ownerReferences": [owner],
                "annotations": {
                    "core4.io/id": job_id,
                    "core4.io/qual-name": "a.Job",
                    "core4.io/runtime": runtime,
                    "core4.io/attempts-left": str(attempts_left),
                    "core4.io/username": "hans",
                },
            },
            "spec": {"nodeName": node, "containers": [{"name": "job"}]},
            "status": _pod_status(state or {"running": {"startedAt": "2026-11-24T01:00:00Z"}}),
        }
        log = self.logs[name] = PodLog()
        self.put("pods", body)
        return log

    async def add_batch_job(self, job_id: str, trial: int) -> dict[str, Any]:
        """Create the Job of a trial, and return a reference to it."""
        name, owner = f"{job_id}-{trial}", self.objects["corejobs"].get(job_id)
        meta: dict[str, Any] = {"name": name, "uid": f"uid-of-job-{name}"}
        if owner is not None:
            uid = owner["metadata"]["uid"]
            meta["ownerReferences"] = [{"kind": "CoreJob", "uid": uid, "controller": True}]
        if name not in self.objects["jobs"]:
            self.put("jobs", {"metadata": meta})
        return {"kind": "Job", "name": name, "uid": meta["uid"], "controller": True}

    async def end_pod(self, name: str, code: int, *, reason: str = "Error", **more: Any) -> None:
        """End the container and its log."""
        ended = {
            "exitCode": code,
            "reason": reason,
            "startedAt": "2026-11-24T01:00:00Z",
            "finishedAt": "2026-11-24T01:00:07Z",
            **more,
        }
        body = self.objects["pods"][name]
        phase = "Succeeded" if code == 0 else "Failed"
        status = {**_pod_status({"terminated": ended}), "phase": phase}
        self.put("pods", {**body, "status": status})
        await self.logs[name].end()

    def log_status(self, job_id: str) -> dict[str, Any]:
        """Return `status.log` of a CoreJob."""
        body = self.objects["corejobs"][job_id]
        return dict(body["status"].get("log") or {})

    async def finalised(self, job_id: str, trial: int = 1) -> dict[str, Any]:
        """Wait until the recorder reports a trial's log as complete, and return `status.log`."""

        def complete() -> bool:
            log = self.log_status(job_id)
            return bool(log.get("complete")) and log.get("trial") == trial

        await self.until(complete)
        return self.log_status(job_id)


def _pod_status(state: dict[str, Any]) -> dict[str, Any]:
    return {"phase": "Running", "containerStatuses": [{"name": "job", "state": state}]}
