"""Cause and remedy of each `status.reason`.

The one source of the field's description in the CRD and of the tables in docs/reasons.md.
"""

from dataclasses import dataclass
from typing import Final

from corejob.names import Reason


@dataclass(frozen=True, slots=True)
class Meaning:
    """Explanation of one reason, for people.

    Attributes:
        reason: The value of `status.reason`.
        cause: What the job waits for, or what ended it.
        remedy: What to do about it; empty if nothing.
    """

    reason: Reason
    cause: str
    remedy: str = ""


WAITING: Final = (
    Meaning(
        Reason.QUEUED,
        "its turn; or an admission policy, a webhook or a quota refuses its Job for now, and "
        "`status.message` has the API server's words",
        "change the policy or the quota; the operator tries again by itself, at least once a "
        "minute",
    ),
    Meaning(
        Reason.MAX_PARALLEL,
        "another job of the same qualName to end; the message says how many are before it",
        "`maxParallel` of the job or the template, `jobs.maxParallel`",
    ),
    Meaning(
        Reason.NAMESPACE_LIMIT,
        "any job to end; the message says how many are before it",
        "`jobs.namespaceLimit`; higher `priority`, or `force`",
    ),
    Meaning(
        Reason.PARENT_TERMINATING,
        "the pod of the job that it restarts to be gone",
        "wait for `jobs.killGraceSeconds`; if the message names a node that does not answer, do "
        "what it says",
    ),
    Meaning(
        Reason.TEMPLATE_NOT_FOUND,
        "a CoreJobTemplate of its qualName",
        "`kubectl -n jobs get corejobtemplates`; apply it",
    ),
    Meaning(
        Reason.RETRY_LATER,
        "the time in `status.queryTime`: the last trial failed",
        "restart it to try at once",
    ),
    Meaning(
        Reason.DEFERRED,
        "the time in `status.queryTime`: the job asked for it",
        "restart it to try at once",
    ),
    Meaning(
        Reason.COOKIE_PENDING,
        "the log of a job of its class that ended before it, whose last lines may change the "
        "cookie that this one is given: milliseconds, unless the recorder is away",
        "the recorder's log and `/readyz`; the wait ends after `jobs.logDeadlineSeconds`",
    ),
    Meaning(
        Reason.STARTING,
        "the pod and its container; nobody has reported a problem",
        "`kubectl -n jobs describe pod -l core4.io/corejob=<name>`",
    ),
    Meaning(
        Reason.SUSPENDED,
        "its Job to be resumed: somebody set `suspend` on it (kubectl, Kueue). No attempt is used",
        "resume the Job, or the queue that suspended it",
    ),
    Meaning(
        Reason.FAILED_CREATE,
        "the Job controller to make the pod; the message is the API server's: a quota or a limit "
        "of the namespace, Pod Security, a missing ServiceAccount, a webhook",
        "the quota, the policy or the template",
    ),
    Meaning(
        Reason.UNSCHEDULABLE,
        "a node with room, or a volume; the message is the scheduler's",
        "fewer requests, more nodes, node selector and tolerations of the template; `worker` "
        "names a node that must be there",
    ),
    Meaning(
        Reason.FAILED_MOUNT,
        "a volume; the message is the kubelet's: a Secret, ConfigMap or claim that is missing, a "
        "disk that can't be attached",
        "create what is missing, or change the template's volumes",
    ),
    Meaning(
        Reason.IMAGE_PULL,
        "an image; the message is the kubelet's and names the container",
        "name, tag, `imagePullSecrets` in the template; Never and not loaded?",
    ),
    Meaning(
        Reason.CONTAINER_ERROR,
        "a container that can't be created or started; the message is the kubelet's and names it: "
        "a missing Secret or ConfigMap in `env`, an impossible security context, a sidecar that "
        "fails again and again",
        "create what is missing, or change the template",
    ),
    Meaning(
        Reason.POD_REJECTED,
        "a node that takes it: the kubelet of the last one refused the pod, in its own words. It "
        "is tried again, ever later (up to five minutes), and uses no attempt",
        "requests, `nodeName`, sysctls and devices of the template",
    ),
    Meaning(
        Reason.TERMINATING,
        "its running pod to end",
        "if the message names a node that does not answer, do what it says",
    ),
)
"""Reasons of jobs that do not run yet."""

ENDED: Final = (
    Meaning(Reason.COMPLETED, "its container ended with exit code 0"),
    Meaning(
        Reason.CODE_ERROR,
        "an exception, or an exit code that isn't 0",
        "its log and `lastError`",
    ),
    Meaning(
        Reason.INIT_FAILED,
        "an init container failed; the message names it, its exit code and its last words",
        "its output is in the job's log",
    ),
    Meaning(
        Reason.START_ERROR,
        "the container's program could not be started: no such file, no permission; the message "
        "is the container runtime's",
        "command and image in the template",
    ),
    Meaning(
        Reason.BAD_DEFINITION,
        "the class can't be imported in the pod; or the pod template, or the CoreJob itself, is "
        "malformed: the message names the field",
        "is the package in the template's image? Run `core4 templates <module>` in it. Else the "
        "template: its condition `Valid` says the same",
    ),
    Meaning(Reason.BAD_IMAGE, "the image's name is malformed", "the template"),
    Meaning(
        Reason.OUT_OF_MEMORY,
        "more memory than its limit",
        "the memory limit in the template",
    ),
    Meaning(
        Reason.DISK_LIMIT,
        "more disk than its own limit: `sizeLimit` of an emptyDir, or `ephemeral-storage`; the "
        "message is the kubelet's",
        "the limit in the template",
    ),
    Meaning(
        Reason.DEADLINE_EXCEEDED,
        "it ran longer than `activeDeadlineSeconds` of the pod template",
        "the template",
    ),
    Meaning(
        Reason.EVICTED,
        "the cluster took the pod away: node pressure, drain, preemption. This uses no attempt; "
        "the trial runs again, ever later (up to five minutes) if that goes on",
        "requests for memory and disk, so that it is not evicted first; a priority class",
    ),
    Meaning(
        Reason.NODE_LOST,
        "its node was lost or restarted. This uses no attempt, as with `Evicted`",
        "`kubectl get nodes`",
    ),
    Meaning(
        Reason.POD_DELETED,
        "somebody deleted the pod",
        "the cluster's audit log says who",
    ),
    Meaning(
        Reason.JOB_DELETED,
        "somebody deleted the Job",
        "the cluster's audit log says who",
    ),
    Meaning(
        Reason.STOPPED,
        "the job was told to stop (SIGTERM), though nobody deleted its pod: a liveness or startup "
        "probe that fails does that, or a process in the pod or on the node",
        "`kubectl describe pod`: probes of the template",
    ),
    Meaning(Reason.KILLED, "a user killed it"),
    Meaning(Reason.REMOVED, "a user removed it while it waited"),
    Meaning(
        Reason.DEFER_MAX,
        "it deferred longer than `deferMaxSeconds` after its first start",
        "restart it, or a larger `deferMaxSeconds`",
    ),
    Meaning(
        Reason.DUPLICATE,
        "an equal CoreJob (same qualName and args) was in the queue already, or its name is the id "
        "of another job: the younger one is refused, and leaves the queue at once",
        "remove or restart the one that the message names; give it another name",
    ),
)
"""Reasons of jobs that have ended, or whose last trial has."""


def plain() -> str:
    """Return all reasons as one text without markup, for `kubectl explain`."""

    def told(meanings: tuple[Meaning, ...]) -> str:
        return "; ".join(f"{one.reason}: {one.cause.replace('`', '')}" for one in meanings)

    return f"While it waits, what for: {told(WAITING)}. When it ended, why: {told(ENDED)}."
