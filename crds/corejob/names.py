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
"""On the Leases of the recorders: by it they are found among those of the claims."""

ANNOTATION_TROUBLE: Final = "core4.io/store-trouble"
"""On the Lease of a recorder that can't write to the store: why, and what to do about it."""
UNREADABLE: Final = "core4.io/unreadable"
"""In place of a field of an object as we hold it, never in the cluster: why it is not whole."""
ANNOTATION_ID: Final = "core4.io/id"
"""On Jobs and pods: the job's id, 24 hex digits."""
ANNOTATION_QUAL_NAME: Final = "core4.io/qual-name"
"""On Jobs and pods: the whole qual_name."""
ANNOTATION_RUNTIME: Final = "core4.io/runtime"
"""On Jobs and pods: `core4` or `container` (see `Runtime`)."""
ANNOTATION_ATTEMPTS_LEFT: Final = "core4.io/attempts-left"
"""On Jobs and pods: attempts left *before* this trial."""
ANNOTATION_USER: Final = "core4.io/username"
"""On Jobs and pods: who enqueued the job."""
ANNOTATION_CONTAINER: Final = "core4.io/container"
"""On pods: the name of the container that is the job, decided when the Job is made: webhooks may
put containers of theirs before it, and the kubelet sorts the states of containers by name."""
ANNOTATION_JOB: Final = "core4.io/job"
"""On pods: the job as JSON for `CORE4_JOB_FILE` (docs/job-protocol.md)."""

FINALIZER: Final = "core4.io/journal"
"""Holds a CoreJob until the journal has it, or a deadline is past."""

JOB_CONTAINER: Final = "job"
"""The container that is the job; a pod template without it: the first one of the template."""

MANAGER_API: Final = "core4-api"
MANAGER_OPERATOR: Final = "core4-operator"
MANAGER_RECORDER: Final = "core4-recorder"

EXIT_RUNC_INIT: Final = 2
"""What a Go program that is process 1 ends with at a SIGTERM that it doesn't handle."""
EXIT_DEFERRED: Final = 75
EXIT_BAD_DEFINITION: Final = 78
EXIT_SIGKILL: Final = 137
EXIT_SIGTERM: Final = 143


class Runtime(StrEnum):
    """What speaks in the job's container (`spec.runtime` of a template)."""

    CORE4 = "core4"
    CONTAINER = "container"


class SchedulePolicy(StrEnum):
    """What to do at a time of the schedule while the same job is in the queue still."""

    SKIP = "Skip"
    REPLACE = "Replace"


class TemplateCondition(StrEnum):
    """Condition types of a CoreJobTemplate."""

    VALID = "Valid"
    SCHEDULED = "Scheduled"


class TemplateReason(StrEnum):
    """The closed list of reasons of a CoreJobTemplate's conditions."""

    # Of Valid.
    VALID = "Valid"
    BAD_DEFINITION = "BadDefinition"
    REFUSED = "Refused"
    UNAVAILABLE = "Unavailable"
    # Of Scheduled.
    SCHEDULED = "Scheduled"
    SKIPPED = "Skipped"
    BAD_SCHEDULE = "BadSchedule"
    ENQUEUE_FAILED = "EnqueueFailed"
    # Of both.
    INTERNAL_ERROR = "InternalError"


class Condition(StrEnum):
    """Condition types of a CoreJob (`kubectl wait --for=condition=…`)."""

    COMPLETE = "Complete"
    FAILED = "Failed"
    FINISHED = "Finished"


class Reason(StrEnum):
    """The closed list of `status.reason`; `corejob.reasons` says what each means."""

    # Why it is not running: the queue.
    QUEUED = "Queued"
    MAX_PARALLEL = "MaxParallel"
    NAMESPACE_LIMIT = "NamespaceLimit"
    PARENT_TERMINATING = "ParentTerminating"
    TEMPLATE_NOT_FOUND = "TemplateNotFound"
    RETRY_LATER = "RetryLater"
    DEFERRED = "Deferred"
    COOKIE_PENDING = "CookiePending"
    # Why it is not running: its pod.
    STARTING = "Starting"
    SUSPENDED = "Suspended"
    FAILED_CREATE = "FailedCreate"
    UNSCHEDULABLE = "Unschedulable"
    FAILED_MOUNT = "FailedMount"
    IMAGE_PULL = "ImagePull"
    CONTAINER_ERROR = "ContainerError"
    POD_REJECTED = "PodRejected"
    TERMINATING = "Terminating"
    # It runs.
    RUNNING = "Running"
    # Why it ended.
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
    """`text` if it can be a label's value (at most 63 of `[A-Za-z0-9._-]`), else None."""
    plain = text.replace(".", "").replace("_", "").replace("-", "")
    fits = 0 < len(text) <= 63 and plain.isascii() and plain.isalnum()
    return text if fits and text[0].isalnum() and text[-1].isalnum() else None


def trial_name(corejob: str, trial: int) -> str:
    """Name of the Job of one trial: deterministic, so that creating it twice is a 409, no twin."""
    return f"{corejob}-{trial}"
