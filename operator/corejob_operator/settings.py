"""The operator's settings, read from the environment once, at start."""

from dataclasses import dataclass

from corejob_process import own_pod
from corejob_process.settings import log_level, number, setting, truncated_number
from corejob_process.sockets import EVERYWHERE


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """Settings of the operator; all times are in seconds.

    Attributes:
        namespace: The namespace whose CoreJobs are reconciled.
        job_image: Image of core4 jobs whose template does not name one.
        pod_name: Name of the operator's own pod.
        job_image_pull_policy: Pull policy of that image.
        max_parallel: Limit of jobs of one qualName at once, where the job sets no maxParallel.
        namespace_limit: Limit of all jobs at once; 0 = no limit.
        kill_grace: Default grace period of pods, between SIGTERM and SIGKILL.
        attach_wait: How long a kill waits for the recorder to read the job's log.
        start_deadline: How long a trial may take to start before it is an error; 0 = no limit.
        log_deadline: How long an ended trial's Job stays while its log is not in the journal.
        journal_deadline: How long the finalizer keeps a deleted CoreJob for the journal.
        ttl: How long a finished job's CoreJob stays after the journal has stored it.
        resync_interval: Interval of the resync.
        host: Address of the health and metrics endpoints.
        port: Port of the health and metrics endpoints.
        log_level: Level of the process's own log.
    """

    namespace: str = setting("CORE4_NAMESPACE", default_factory=own_pod.namespace)
    job_image: str = setting("CORE4_JOB_IMAGE", default="")
    pod_name: str = setting("CORE4_POD_NAME", default_factory=own_pod.hostname)
    job_image_pull_policy: str = setting("CORE4_JOB_IMAGE_PULL_POLICY", default="IfNotPresent")
    max_parallel: int = setting("CORE4_MAX_PARALLEL", truncated_number, default=15)
    namespace_limit: int = setting("CORE4_NAMESPACE_LIMIT", truncated_number, default=0)
    kill_grace: int = setting("CORE4_KILL_GRACE_SECONDS", truncated_number, default=10)
    attach_wait: float = setting("CORE4_ATTACH_WAIT_SECONDS", number, default=5.0)
    start_deadline: float = setting("CORE4_START_DEADLINE_SECONDS", number, default=0.0)
    log_deadline: float = setting("CORE4_LOG_DEADLINE_SECONDS", number, default=600.0)
    journal_deadline: float = setting("CORE4_JOURNAL_DEADLINE_SECONDS", number, default=300.0)
    ttl: float = setting("CORE4_TTL_SECONDS", number, default=600.0)
    resync_interval: float = setting("CORE4_SWEEP_SECONDS", number, default=60.0)
    host: str = setting("CORE4_HOST", default=EVERYWHERE)
    port: int = setting("CORE4_PORT", truncated_number, default=5003)
    log_level: str = setting("CORE4_LOG_LEVEL", log_level, default="INFO")
