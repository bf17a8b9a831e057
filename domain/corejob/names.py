"""Names that two components must agree on: API group, labels, finalizer, conditions, reasons."""

from enum import StrEnum
from typing import Final

GROUP: Final = "core4.io"
VERSION: Final = "v1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

KIND_JOB: Final = "CoreJob"
KIND_TEMPLATE: Final = "CoreJobTemplate"
PLURAL_JOB: Final = "corejobs"
PLURAL_TEMPLATE: Final = "corejobtemplates"

LABEL_COREJOB: Final = "core4.io/corejob"
"""On Jobs and pods: the name of the CoreJob that they run."""
LABEL_TRIAL: Final = "core4.io/trial"
"""On Jobs and pods: the trial's number, from 1."""
LABEL_QUAL_NAME: Final = "core4.io/qual-name"
"""On CoreJobs made by the API, Jobs and pods: the qual_name, if it fits a label (63 characters)."""

LABEL_RECORDER: Final = "core4.io/recorder"
"""On the Leases of the recorders: distinguishes them from the Leases of claims."""

ANNOTATION_STORE_PROBLEM: Final = "core4.io/store-trouble"
"""On the Lease of a recorder that can't write to the store: the cause, and the remedy."""
UNREADABLE: Final = "core4.io/unreadable"
"""Key in a decoded object, never in the cluster: why the object was cut when it was read."""
ANNOTATION_ID: Final = "core4.io/id"
"""On Jobs and pods: the job's id, 24 hex digits."""
ANNOTATION_QUAL_NAME: Final = "core4.io/qual-name"
"""On Jobs and pods: the whole qual_name."""
ANNOTATION_RUNTIME: Final = "core4.io/runtime"
"""On Jobs and pods: `core4` or `container` (see `Runtime`)."""
ANNOTATION_ATTEMPTS_LEFT: Final = "core4.io/attempts-left"
"""On Jobs and pods: attempts left *before* this trial."""
ANNOTATION_USER: Final = "core4.io/username"
"""On Jobs and pods: the user who enqueued the job."""
ANNOTATION_CONTAINER: Final = "core4.io/container"
"""On pods: the name of the container that is the job.

It is decided when the Job is created, since webhooks may insert containers before it, and the
kubelet sorts the states of containers by name.
"""
ANNOTATION_JOB: Final = "core4.io/job"
"""On pods: the job as JSON for `CORE4_JOB_FILE` (docs/job-protocol.md)."""

FINALIZER: Final = "core4.io/journal"
"""Our finalizer: keeps a CoreJob until the journal has stored it, or a deadline has passed."""

JOB_CONTAINER: Final = "job"
"""Name of the container that is the job; in a template without it, the first container is."""

MANAGER_API: Final = "core4-api"
MANAGER_OPERATOR: Final = "core4-operator"
MANAGER_RECORDER: Final = "core4-recorder"

EXIT_RUNC_INIT: Final = 2
"""Exit code of a Go program as process 1 after a SIGTERM that it doesn't handle."""
EXIT_DEFERRED: Final = 75
EXIT_BAD_DEFINITION: Final = 78
EXIT_SIGKILL: Final = 137
EXIT_SIGTERM: Final = 143

KILLED_EXCEPTION: Final = "JobKilledByWorker"
"""`last_error.exception` of a killed job, as core4 names it; the runtime writes the same text."""


class Runtime(StrEnum):
    """The program in the job's container (`spec.runtime` of a template)."""

    CORE4 = "core4"
    CONTAINER = "container"


class SchedulePolicy(StrEnum):
    """Policy for a time of the schedule at which an equal job is still in the queue."""

    SKIP = "Skip"
    REPLACE = "Replace"


class TemplateCondition(StrEnum):
    """Condition types of a CoreJobTemplate."""

    VALID = "Valid"
    SCHEDULED = "Scheduled"


class TemplateReason(StrEnum):
    """The closed list of reasons of a CoreJobTemplate's conditions."""

    VALID = "Valid"
    BAD_DEFINITION = "BadDefinition"
    REFUSED = "Refused"
    UNAVAILABLE = "Unavailable"
    SCHEDULED = "Scheduled"
    SKIPPED = "Skipped"
    BAD_SCHEDULE = "BadSchedule"
    ENQUEUE_FAILED = "EnqueueFailed"
    INTERNAL_ERROR = "InternalError"


TEMPLATE_REASONS: Final = {
    TemplateCondition.VALID: (
        TemplateReason.VALID,
        TemplateReason.BAD_DEFINITION,
        TemplateReason.REFUSED,
        TemplateReason.UNAVAILABLE,
        TemplateReason.INTERNAL_ERROR,
    ),
    TemplateCondition.SCHEDULED: (
        TemplateReason.SCHEDULED,
        TemplateReason.SKIPPED,
        TemplateReason.BAD_SCHEDULE,
        TemplateReason.ENQUEUE_FAILED,
        TemplateReason.INTERNAL_ERROR,
    ),
}
"""The reasons of each condition of a CoreJobTemplate."""


class Condition(StrEnum):
    """Condition types of a CoreJob (`kubectl wait --for=condition=…`)."""

    COMPLETE = "Complete"
    FAILED = "Failed"
    FINISHED = "Finished"


class Reason(StrEnum):
    """The closed list of `status.reason`; `corejob.reasons` explains each but `Running`."""

    # Not running, because of the queue.
    QUEUED = "Queued"
    MAX_PARALLEL = "MaxParallel"
    NAMESPACE_LIMIT = "NamespaceLimit"
    PARENT_TERMINATING = "ParentTerminating"
    TEMPLATE_NOT_FOUND = "TemplateNotFound"
    RETRY_LATER = "RetryLater"
    DEFERRED = "Deferred"
    COOKIE_PENDING = "CookiePending"
    # Not running, because of its pod.
    STARTING = "Starting"
    SUSPENDED = "Suspended"
    FAILED_CREATE = "FailedCreate"
    UNSCHEDULABLE = "Unschedulable"
    FAILED_MOUNT = "FailedMount"
    IMAGE_PULL = "ImagePull"
    CONTAINER_ERROR = "ContainerError"
    POD_REJECTED = "PodRejected"
    TERMINATING = "Terminating"
    # Running.
    RUNNING = "Running"
    # Ended.
    COMPLETED = "Completed"
    KILLED = "Killed"
    REMOVED = "Removed"
    POD_DELETED = "PodDeleted"
    JOB_DELETED = "JobDeleted"
    STOPPED = "Stopped"
    EVICTED = "Evicted"
    NODE_LOST = "NodeLost"
    OUT_OF_MEMORY = "OOMKilled"
    DISK_LIMIT = "DiskLimit"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    INIT_FAILED = "InitContainerFailed"
    START_ERROR = "StartError"
    BAD_IMAGE = "BadImage"
    CODE_ERROR = "CodeError"
    BAD_DEFINITION = "BadDefinition"
    DEFER_MAX = "DeferMaxExceeded"
    DUPLICATE = "Duplicate"


def label_value(text: str) -> str | None:
    """Return `text` if it is a valid label value (at most 63 of `[A-Za-z0-9._-]`), else None."""
    plain = text.replace(".", "").replace("_", "").replace("-", "")
    fits = 0 < len(text) <= 63 and plain.isascii() and plain.isalnum()
    return text if fits and text[0].isalnum() and text[-1].isalnum() else None


def trial_name(corejob: str, trial: int) -> str:
    """Return the name of a trial's Job, which is deterministic: a second create is a 409."""
    return f"{corejob}-{trial}"


def template_name(qual_name: str) -> str:
    """Return the resource name of a qual_name's CoreJobTemplate."""
    return qual_name.lower().replace("_", "-")
