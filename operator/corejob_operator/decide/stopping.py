"""Stopping a trial: delete its pods only, or its Job as well."""

from corejob_operator.decide.types import Action, DeleteJob, DeletePod, Situation


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
