"""Stopping a trial: delete its pods only, or its Job as well."""

from typing import Final

from corejob_operator.decide.types import Action, DeleteJob, DeletePod, Situation

ORPHANED: Final = "its Job was deleted by somebody else, but not its pod: stopping the pod"


def stop_trial(situation: Situation, number: int) -> tuple[Action, ...]:
    """Delete the trial's Job, then its pods: the Job first, so that no new pod is created."""
    jobs = tuple(
        DeleteJob(job.name, job.uid)
        for job in situation.jobs
        if job.trial == number and not job.deleting
    )
    pods = tuple(
        DeletePod(pod.name, pod.uid) for pod in situation.pods_of(number) if not pod.deleting
    )
    return jobs + pods


def stop_pods(situation: Situation, number: int) -> tuple[Action, ...]:
    """Delete the trial's pods that have not ended; the Job stays until the log is stored."""
    return tuple(
        DeletePod(pod.name, pod.uid)
        for pod in situation.pods_of(number)
        if not pod.deleting and not pod.over
    )


def stop_orphans(situation: Situation, number: int) -> tuple[Action, ...]:
    """Delete the trial's pods that were left when its Job was deleted (`--cascade=orphan`).

    Nothing else deletes them, and a restart would run the trial beside them. Only the missing owner
    tells of that: a Job that is not in the cache may exist, and other pods are garbage-collected.
    """
    if situation.job_of(number) is not None:
        return ()
    return tuple(
        DeletePod(pod.name, pod.uid)
        for pod in situation.pods_of(number)
        if pod.orphaned and not pod.deleting and not pod.over
    )
