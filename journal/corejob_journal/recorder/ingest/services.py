"""The objects that all followers of a recorder share."""

from dataclasses import dataclass

from corejob_journal.recorder.group_commit import GroupCommit
from corejob_journal.recorder.ingest.retries import Retries
from corejob_journal.recorder.metrics import RecorderMetrics
from corejob_journal.recorder.publish.cookies import CookieWriter
from corejob_journal.recorder.publish.status import StatusWriter
from corejob_kube.client import Kube
from corejob_kube.informer import Informer


@dataclass(frozen=True, slots=True)
class FollowerServices:
    """Access to the cluster and the store, and the writers of status, cookies and metrics."""

    kube: Kube
    namespace: str
    jobs: Informer
    commits: GroupCommit
    status: StatusWriter
    cookies: CookieWriter
    metrics: RecorderMetrics
    retries: Retries
