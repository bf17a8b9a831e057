"""The operator's settings, read from the environment once, at start."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from corejob_process import own_pod
from corejob_process.sockets import EVERYWHERE


@dataclass(frozen=True, slots=True)
class Settings:
    """All times in seconds.

    Attributes:
        namespace: The namespace whose CoreJobs are reconciled.
        pod_name: Name of the operator's own pod.
        job_image: Image of core4 jobs whose template does not name one.
        max_parallel: Limit of jobs of one qualName at once, where the job sets no maxParallel.
        namespace_limit: Limit of all jobs at once; 0 = no limit.
        kill_grace: Default grace period of pods, between SIGTERM and SIGKILL.
        attach_wait: How long a kill waits for the recorder to read the job's log.
        start_deadline: How long a trial may take to start before it is an error; 0 = no limit.
        log_deadline: How long an ended trial's Job stays while its log is not in the journal.
        journal_deadline: How long the finalizer keeps a deleted CoreJob for the journal.
        ttl: How long a finished job's CoreJob stays after the journal has stored it.
        sweep: Interval of the resync.
        host: Address of the health and metrics endpoints.
        port: Port of the health and metrics endpoints.
    """

    namespace: str
    job_image: str
    pod_name: str = ""
    job_image_pull_policy: str = "IfNotPresent"
    max_parallel: int = 15
    namespace_limit: int = 0
    kill_grace: int = 10
    attach_wait: float = 5.0
    start_deadline: float = 0.0
    log_deadline: float = 600.0
    journal_deadline: float = 300.0
    ttl: float = 600.0
    sweep: float = 60.0
    host: str = EVERYWHERE
    port: int = 5003
    log_level: str = "INFO"


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Return the settings.

    Raises:
        ValueError: A variable is missing or has a bad value; the message names it.
    """

    def number(name: str, default: float) -> float:
        text = environ.get(name) or str(default)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a number from 0 up, got {text!r}")
        return value

    return Settings(
        namespace=own_pod.namespace(environ),
        pod_name=own_pod.name(environ),
        job_image=environ.get("CORE4_JOB_IMAGE", ""),
        job_image_pull_policy=environ.get("CORE4_JOB_IMAGE_PULL_POLICY") or "IfNotPresent",
        max_parallel=int(number("CORE4_MAX_PARALLEL", 15)),
        namespace_limit=int(number("CORE4_NAMESPACE_LIMIT", 0)),
        kill_grace=int(number("CORE4_KILL_GRACE_SECONDS", 10)),
        attach_wait=number("CORE4_ATTACH_WAIT_SECONDS", 5),
        start_deadline=number("CORE4_START_DEADLINE_SECONDS", 0),
        log_deadline=number("CORE4_LOG_DEADLINE_SECONDS", 600),
        journal_deadline=number("CORE4_JOURNAL_DEADLINE_SECONDS", 300),
        ttl=number("CORE4_TTL_SECONDS", 600),
        sweep=number("CORE4_SWEEP_SECONDS", 60),
        host=environ.get("CORE4_HOST") or EVERYWHERE,
        port=int(number("CORE4_PORT", 5003)),
        log_level=environ.get("CORE4_LOG_LEVEL") or "INFO",
    )
