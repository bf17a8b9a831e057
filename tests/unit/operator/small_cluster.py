"""A cluster in memory with one CoreJob, and the changes of it that other components make.

Its state is everything that survives a crash of the operator. Each change is one request, as on a
real API server. `FakeApiServer` is not used, because the model `TestLife` takes thousands of steps,
which over HTTP would last minutes, and because each step checks invariants, such as that no trial
runs twice.
"""

from datetime import datetime, timedelta
from typing import Any

from tests.unit.domain.builders import ID, NOW

from corejob import children, model, names, timestamps
from corejob.model import CoreJob, Status, render_status
from corejob.state import TRANSITIONS, State
from corejob_operator.decide import (
    Action,
    AddFinalizer,
    CreateChild,
    CreateTrial,
    DeleteCoreJob,
    DeleteJob,
    DeletePod,
    RemoveFinalizer,
)

Body = dict[str, Any]


class SmallCluster:
    """One CoreJob, its Jobs and pods by name; `began` has the trials whose container started."""

    def __init__(self, **spec: Any) -> None:
        self.now = NOW
        self.uid = 0
        self.corejob: Body | None = {
            "metadata": {
                "name": ID,
                "namespace": "jobs",
                "uid": "uid-corejob",
                "resourceVersion": "1",
                "creationTimestamp": timestamps.render(NOW),
                "finalizers": [],
            },
            "spec": {"qualName": "a.Job", **spec},
        }
        self.jobs: dict[str, Body] = {}
        self.pods: dict[str, Body] = {}
        self.children: list[str] = []
        self.began: list[int] = []
        self.exits: dict[int, int] = {}
        self.ends: dict[int, datetime] = {}
        self.disrupted = 0
        self.states: list[State] = [State.PENDING]
        self.lost = False
        self.kept: tuple[Any, ...] = ()
        self.stopping: set[str] = set()
        self.awaited: set[str] = set()

    def text(self) -> str:
        return str(timestamps.render(self.now))

    def job(self) -> CoreJob | None:
        return None if self.corejob is None else model.parse(self.corejob)

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # --- the operator's requests ------------------------------------------------------------

    def write(self, status: Status) -> None:
        """Apply the status as a merge patch of the fields that differ."""
        assert self.corejob is not None
        raw = self.corejob.setdefault("status", {})
        old = State(raw.get("state", State.PENDING))
        if status.state is not old:
            spec = self.corejob["spec"]
            removed = bool(spec.get("remove")) and not spec.get("kill")
            assert status.state in TRANSITIONS[old], f"{old} -> {status.state}"
            if removed and status.state is State.RUNNING:
                return  # the API server refuses it
            self.states.append(status.state)
        for name, value in render_status(status).items():
            raw.pop(name, None)
            if value is not None:
                raw[name] = value

    def perform(self, action: Action) -> None:
        match action:
            case CreateTrial(number):
                self._create(number)
            case DeleteJob(name, uid):
                self._delete_job(name, uid)
            case DeletePod(name, uid):
                self._delete_pod(name, uid)
            case CreateChild(child_id):
                self.children += [child_id] if child_id not in self.children else []
            case DeleteCoreJob():
                self.delete_corejob()
            case AddFinalizer():
                self._meta()["finalizers"] = [names.FINALIZER]
            case RemoveFinalizer(lost):
                self.lost = lost
                self._meta()["finalizers"] = []
                assert "deletionTimestamp" in self._meta()
                self.corejob = None

    def _delete_job(self, name: str, uid: str) -> None:
        if name in self.jobs and self.jobs[name]["metadata"]["uid"] == uid:
            self._check_log(self.jobs[name])
            self.delete_job(name)

    def _delete_pod(self, name: str, uid: str) -> None:
        if name in self.pods and self.pods[name]["metadata"]["uid"] == uid:
            self._terminate(self.pods[name])

    def _check_log(self, job: Body) -> None:
        """Check that a Job with a pod is only deleted once its log is stored, or after 600 s."""
        number = int(job["metadata"]["labels"][names.LABEL_TRIAL])
        pod = any(pod["job"] == job["metadata"]["name"] for pod in self.pods.values())
        if number not in self.began or not pod or self.corejob is None:
            return
        log = self.corejob["status"].get("log") or {"trial": 0}
        kept = log["trial"] > number or (log["trial"] == number and log["complete"])
        assert kept or self.now >= self.ends[number] + timedelta(seconds=600)

    def _meta(self) -> Body:
        assert self.corejob is not None
        meta: Body = self.corejob["metadata"]
        return meta

    def _child(self, name: str, number: int, owner: str) -> Body:
        self.uid += 1
        labels = {names.LABEL_COREJOB: ID, names.LABEL_TRIAL: str(number)}
        return {
            "name": name,
            "annotations": {names.ANNOTATION_ID: ID},
            "ownerReferences": [{"uid": owner, "controller": True}],
            "uid": f"uid-{self.uid}",
            "creationTimestamp": self.text(),
            "labels": labels,
        }

    def _create(self, number: int) -> None:
        name = names.trial_name(ID, number)
        if name in self.jobs:
            return  # 409, and the existing one is ours
        assert number not in self.began, f"trial {number} a second time"
        meta = self._child(name, number, "uid-corejob")
        self.jobs[name] = {"metadata": meta, "spec": {}, "status": {}}
        self._create_pod(name, number)

    def _create_pod(self, name: str, number: int) -> None:
        """Create the pod, as the Job controller does."""
        pod = f"{name}-{self.uid}"
        self.passes(1)  # creation times, exact to a second, tell the newest pod
        self.pods[pod] = {
            "metadata": self._child(pod, number, self.jobs[name]["metadata"]["uid"]),
            "spec": {"nodeName": "node-1"},
            "status": {"phase": "Pending"},
            "job": name,
        }

    # --- changes by others ------------------------------------------------------------------

    def delete_corejob(self) -> None:
        meta = self._meta()
        if not meta["finalizers"]:
            self.corejob = None
        else:
            meta.setdefault("deletionTimestamp", self.text())

    def delete_job(self, name: str) -> None:
        """Delete a Job; the garbage collector deletes its pods."""
        del self.jobs[name]
        for pod in list(self.pods.values()):
            if pod["job"] == name:
                self._terminate(pod)

    def _terminate(self, pod: Body) -> None:
        pod["metadata"].setdefault("deletionTimestamp", self.text())

    def running(self, pod: Body) -> bool:
        return bool(pod["status"]["phase"] == "Running")

    def start(self, pod: Body) -> None:
        """Start the container, as the kubelet does."""
        number = int(pod["metadata"]["labels"][names.LABEL_TRIAL])
        assert number not in self.began, f"trial {number} ran twice"
        others = [other for other in self.pods.values() if self.running(other)]
        assert not others, "two trials at a time"
        self.began.append(number)
        state = {"running": {"startedAt": self.text()}}
        pod["status"] = {"phase": "Running", "containerStatuses": [{"name": "job", "state": state}]}

    def end(self, pod: Body, code: int, *, conditions: Any = ()) -> None:
        """End the container; the Job controller updates the Job."""
        number = int(pod["metadata"]["labels"][names.LABEL_TRIAL])
        self.exits[number] = code
        self.ends[number] = self.now
        was = pod["status"]["containerStatuses"][0]["state"]["running"]
        ended = {"exitCode": code, "reason": "Error", **was, "finishedAt": self.text()}
        pod["status"] = {
            "phase": "Failed" if code else "Succeeded",
            "conditions": list(conditions),
            "containerStatuses": [{"name": "job", "state": {"terminated": ended}}],
        }
        self._conclude(pod, failed=bool(code), disrupted=bool(conditions))

    def evict(self, pod: Body) -> None:
        """Drain the node."""
        self.disrupted += 1
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
        }
        self._terminate(pod)
        if self.running(pod):
            self.end(pod, 137, conditions=[condition])
        else:
            pod["status"] = {"phase": "Failed", "conditions": [condition]}
            self._conclude(pod, failed=True, disrupted=True)

    def reject(self, pod: Body) -> None:
        """Refuse the pod, as the kubelet may."""
        self.disrupted += 1
        pod["status"] = {"phase": "Failed", "reason": "OutOfcpu", "message": "no room"}
        self._conclude(pod, failed=True, disrupted=False)

    def fail_init(self, pod: Body) -> None:
        """Fail in an init container; the job's own container never starts."""
        number = int(pod["metadata"]["labels"][names.LABEL_TRIAL])
        self.began.append(number)
        self.exits[number] = 1
        self.ends[number] = self.now
        ended = {"exitCode": 3, "reason": "Error", "finishedAt": self.text()}
        waits = {"waiting": {"reason": "PodInitializing"}}
        pod["status"] = {
            "phase": "Failed",
            "initContainerStatuses": [{"name": "first", "state": {"terminated": ended}}],
            "containerStatuses": [{"name": "job", "state": waits}],
        }
        self._conclude(pod, failed=True, disrupted=False)

    def give_up(self, pod: Body) -> None:
        """End a pod that was deleted before its container started: the kubelet says it failed."""
        assert "deletionTimestamp" in pod["metadata"]
        ended = {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None}
        pod["status"] = {
            "phase": "Failed",
            "containerStatuses": [{"name": "job", "state": {"terminated": ended}}],
        }
        pod["unstarted"] = True
        self._conclude(pod, failed=True, disrupted=False)

    def ended(self, job: Body) -> bool:
        """True if a Job has a final condition."""
        return any(one["type"] != "Suspended" for one in job["status"].get("conditions", ()))

    def _set_suspended(self, job: Body, status: str) -> None:
        self.passes(1)  # times are exact to a second
        condition = {"type": "Suspended", "status": status, "lastTransitionTime": self.text()}
        job["status"] = {"conditions": [condition]}

    def suspend(self, job: Body) -> None:
        """Suspend a Job; the Job controller deletes its pod."""
        job["spec"]["suspend"] = True
        self._set_suspended(job, "True")
        for pod in self.pods.values():
            if pod["job"] == job["metadata"]["name"] and "deletionTimestamp" not in pod["metadata"]:
                self._terminate(pod)
                self.stopping.add(pod["metadata"]["name"])

    def resume(self, job: Body) -> None:
        """Resume it; the Job controller creates a new pod later (`create_awaited_pods`)."""
        number = int(job["metadata"]["labels"][names.LABEL_TRIAL])
        job["spec"]["suspend"] = False
        self._set_suspended(job, "False")
        if number in self.began:
            self.began.remove(number)
            self.exits.pop(number, None)
        self.awaited.add(job["metadata"]["uid"])

    def create_awaited_pods(self) -> None:
        """Create the pods of resumed Jobs that were neither deleted nor suspended meanwhile."""
        for name, job in self.jobs.items():
            if job["metadata"]["uid"] in self.awaited and not job["spec"]["suspend"]:
                self.awaited.remove(job["metadata"]["uid"])
                self._create_pod(name, int(job["metadata"]["labels"][names.LABEL_TRIAL]))

    def vanish(self, pod: Body) -> None:
        """Remove a pod that is being deleted; one that still runs is stopped first."""
        if self.running(pod):
            self.end(pod, 143)
        if pod["status"]["phase"] == "Pending":
            self._conclude(pod, failed=True, disrupted=False)
        del self.pods[pod["metadata"]["name"]]
        self._forget_unseen(pod)

    def _forget_unseen(self, pod: Body) -> None:
        """Forget a container's run that the operator never saw, since nothing shows it any more.

        A pod that never started did not run it: after a resume there may be another pod.
        """
        if pod["status"]["phase"] == "Pending" or "unstarted" in pod:
            return
        number = int(pod["metadata"]["labels"][names.LABEL_TRIAL])
        job = self.job()
        if job is not None and job.status.trial < number and number in self.began:
            self.began.remove(number)
            self.exits.pop(number)

    def _conclude(self, pod: Body, *, failed: bool, disrupted: bool) -> None:
        job = self.jobs.get(pod["job"])
        if job is None or self.ended(job) or pod["metadata"]["name"] in self.stopping:
            return
        reason = "PodFailurePolicy" if disrupted else "BackoffLimitExceeded"
        condition = {"type": "Failed" if failed else "Complete", "status": "True", "reason": reason}
        job["status"] = {"conditions": [condition]}

    def follow(self) -> None:
        """Write `status.log` as the recorder does: the log is being read, complete, or given up."""
        assert self.corejob is not None
        raw = self.corejob.setdefault("status", {})
        told = (raw.get("log") or {}).get("trial", 0)
        # The recorder gives up a trial that only the operator saw.
        last = max([*self.began, told, raw.get("trial", 0)])
        if last:
            job = names.trial_name(ID, last)
            open_phases = {"Pending", "Running"}
            over = not any(
                pod["job"] == job and pod["status"]["phase"] in open_phases
                for pod in self.pods.values()
            )
            raw["log"] = {
                "trial": last,
                "complete": last in self.exits or over,
                "startedTrial": max(self.began, default=0),
            }

    def journal(self) -> None:
        """Archive a past job, as the recorder does."""
        job = self.job()
        if job is not None and job.archivable and job.log_finalised and self.corejob is not None:
            self.corejob["status"].setdefault("journaledTime", self.text())
            self.kept = self.kept or self.told(job)

    @staticmethod
    def told(job: CoreJob) -> tuple[Any, ...]:
        """Return the main fields of the archived document."""
        status = job.status
        return status.state, status.trial, job.child_id, status.last_error, status.trials

    def seen_jobs(self) -> list[children.JobChild]:
        return [children.parse_job(body) for body in self.jobs.values()]

    def seen_pods(self) -> list[children.PodChild]:
        return [children.parse_pod(body) for body in self.pods.values()]
