"""The objects that all followers of a recorder share."""

from collections.abc import Callable
from dataclasses import dataclass

from corejob import model
from corejob.model import CoreJob
from corejob_journal.recorder.group_commit import GroupCommit
from corejob_journal.recorder.ingest.failing import FailingPods
from corejob_journal.recorder.ingest.retries import Retries
from corejob_journal.recorder.metrics import RecorderMetrics
from corejob_journal.recorder.publish.cookies import CookieWriter
from corejob_journal.recorder.publish.status import StatusWriter
from corejob_kube.cache import Body
from corejob_kube.client import Kube
from corejob_kube.informer import Informer


@dataclass(frozen=True, slots=True)
class FollowerServices:
    """Access to the cluster and the store, and the writers of status, cookies and metrics.

    Attributes:
        parse: Parses a CoreJob of the cache.
    """

    kube: Kube
    namespace: str
    jobs: Informer
    commits: GroupCommit
    status: StatusWriter
    cookies: CookieWriter
    metrics: RecorderMetrics
    retries: Retries
    failing: FailingPods
    parse: Callable[[Body], CoreJob] = model.parse
