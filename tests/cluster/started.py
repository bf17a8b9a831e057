"""The record, in the cache, of clusters that `up` has started and `down` has not deleted yet.

Without this record, `status` and `down` would select another cluster while a Docker engine is
stopped.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster import cache

_NAME = "started"


@dataclass(frozen=True, slots=True)
class ClusterRecord:
    """A cluster that was started.

    Attributes:
        provider: the provider's name.
        kubeconfig: the path of its kubeconfig.
    """

    provider: str
    kubeconfig: str


def read() -> Sequence[ClusterRecord]:
    """Return the recorded clusters, latest last; empty if there is no readable record."""
    try:
        return [ClusterRecord(**row) for row in json.loads(_path().read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def add(cluster: ClusterRecord) -> None:
    """Record a cluster as the latest."""
    with cache.locked(_NAME):
        _write([*(item for item in read() if item.provider != cluster.provider), cluster])


def remove(provider: str) -> None:
    """Remove the cluster of a provider from the record."""
    with cache.locked(_NAME):
        _write([item for item in read() if item.provider != provider])


def _write(clusters: Sequence[ClusterRecord]) -> None:
    cache.write(_path(), json.dumps([asdict(item) for item in clusters], indent=1))


def _path() -> Path:
    return cache.cache_dir() / "started.json"
