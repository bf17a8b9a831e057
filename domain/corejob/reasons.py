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
        "its turn; or an admission policy, a webhook or a quota refuses its Job at the moment, and "
        "`status.message` is the API server's",
        "change the policy or the quota; the operator retries at least once a minute",
    ),
    Meaning(
        Reason.MAX_PARALLEL,
        "the end of another job of the same qualName; the message says how many jobs are ahead",
        "`maxParallel` of the job or the template, `jobs.maxParallel`",
    ),
    Meaning(
        Reason.NAMESPACE_LIMIT,
        "the end of any job; the message says how many jobs are ahead",
        "`jobs.namespaceLimit`; higher `priority`, or `force`",
    ),
    Meaning(
        Reason.PARENT_TERMINATING,
        "the end of the pod of the job that it restarts",
        "wait for `jobs.killGraceSeconds`; if the message names a node that does not respond, "
        "do what it says",
    ),
    Meaning(
        Reason.TEMPLATE_NOT_FOUND,
        "a CoreJobTemplate of its qualName",
        "`kubectl -n jobs get corejobtemplates`; apply the template",
    ),
    Meaning(
        Reason.RETRY_LATER,
        "the time in `status.queryTime`: the last trial failed",
        "restart it to try at once",
    ),
    Meaning(
        Reason.DEFERRED,
        "the time in `status.queryTime`: the job deferred itself",
        "restart it to try at once",
    ),
    Meaning(
        Reason.COOKIE_PENDING,
        "the log of an earlier job of its class, whose last lines may change the cookie that this "
        "one gets: milliseconds, unless the recorder is down",
        "the recorder's log and `/readyz`; the wait ends after `jobs.logDeadlineSeconds`",
    ),
    Meaning(
        Reason.STARTING,
        "the pod and its container; no problem is reported",
        "`kubectl -n jobs describe pod -l core4.io/corejob=<name>`",
    ),
    Meaning(
        Reason.SUSPENDED,
        "its Job, which is suspended (by kubectl or Kueue), or was resumed just now. No attempt is "
        "used",
        "resume the Job, or the queue that suspended it",
    ),
    Meaning(
        Reason.FAILED_CREATE,
        "the creation of the pod by the Job controller; the message is the API server's: a quota "
        "or a limit of the namespace, Pod Security, a missing ServiceAccount, a webhook",
        "the quota, the policy or the template",
    ),
    Meaning(
        Reason.UNSCHEDULABLE,
        "a node with room, or a volume; the message is the scheduler's",
        "fewer requests, more nodes, node selector and tolerations of the template; `worker` "
        "must name an existing node",
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
        "name, tag, `imagePullSecrets` in the template; with pull policy Never, load the image",
    ),
    Meaning(
        Reason.CONTAINER_ERROR,
        "a container that can't be created or started; the message is the kubelet's and names it: "
        "a missing Secret or ConfigMap in `env`, an impossible security context, a sidecar that "
        "keeps failing",
        "create what is missing, or change the template",
    ),
    Meaning(
        Reason.POD_REJECTED,
        "a node that accepts the pod: the kubelet of the last node refused it; the message is the "
        "kubelet's. It is retried after growing pauses (up to five minutes), and uses no attempt",
        "requests, `nodeName`, sysctls and devices of the template",
    ),
    Meaning(
        Reason.TERMINATING,
        "the end of its pod",
        "if the message names a node that does not respond, do what it says",
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
        "an init container failed; the message has its name, exit code and last output",
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
        "check that the template's image has the package (run `core4 templates <module>` in it); "
        "else fix the template, whose condition `Valid` has the same problem",
    ),
    Meaning(Reason.BAD_IMAGE, "the image's name is malformed", "the template"),
    Meaning(
        Reason.OUT_OF_MEMORY,
        "the container used more memory than its limit",
        "the memory limit in the template",
    ),
    Meaning(
        Reason.DISK_LIMIT,
        "the pod used more disk than its own limit: `sizeLimit` of an emptyDir, or "
        "`ephemeral-storage`; the message is the kubelet's",
        "the limit in the template",
    ),
    Meaning(
        Reason.DEADLINE_EXCEEDED,
        "it ran longer than `activeDeadlineSeconds` of the pod template",
        "the template",
    ),
    Meaning(
        Reason.EVICTED,
        "the cluster evicted the pod: node pressure, drain, preemption; or it ended the pod in a "
        "way that nobody saw, and the message is the Job's. This uses no attempt; the trial runs "
        "again, after growing pauses (up to five minutes) if that repeats",
        "set requests for memory and disk, so that it is not evicted first; a priority class",
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
        "the job got SIGTERM, though its pod was not deleted: from a failing liveness or startup "
        "probe, or from a process in the pod or on the node",
        "`kubectl describe pod`: probes of the template",
    ),
    Meaning(Reason.KILLED, "a user killed it"),
    Meaning(Reason.REMOVED, "a user removed it while it waited"),
    Meaning(
        Reason.DEFER_MAX,
        "it deferred longer than `deferMaxSeconds` after its first start",
        "restart it, or set a larger `deferMaxSeconds`",
    ),
    Meaning(
        Reason.DUPLICATE,
        "an equal CoreJob (same qualName and args) was already in the queue, or its name is the id "
        "of another job: the younger one is refused, and leaves the queue at once",
        "remove or restart the job that the message names; or use another name",
    ),
)
"""Reasons of jobs that have ended, or whose last trial has."""


def plain() -> str:
    """Return all reasons as one text without markup, for `kubectl explain`."""

    def listed(meanings: tuple[Meaning, ...]) -> str:
        return "; ".join(
            f"{meaning.reason}: {meaning.cause.replace('`', '')}" for meaning in meanings
        )

    return f"A waiting job waits for: {listed(WAITING)}. Causes of its end: {listed(ENDED)}."
