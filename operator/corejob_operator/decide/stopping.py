"""Stopping a trial: by its pods alone, or for good with its Job."""

from corejob_operator.decide.types import Action, DeleteJob, DeletePod, Situation


def stop_trial(seen: Situation, number: int) -> tuple[Action, ...]:
    """Stop a trial for good: its Job first, so that no new pod comes, and its pods at once."""
    jobs = tuple(
        DeleteJob(job.name, job.uid)
        for job in seen.jobs
        if job.trial == number and not job.deleting
    )
    pods = tuple(DeletePod(pod.name, pod.uid) for pod in seen.pods_of(number) if not pod.deleting)
    return jobs + pods


def stop_pods(seen: Situation, number: int) -> tuple[Action, ...]:
    """Stop what runs; its Job stays until the log is settled."""
    return tuple(
        DeletePod(pod.name, pod.uid)
        for pod in seen.pods_of(number)
        if not pod.deleting and not pod.over
    )
