"""Leases (coordination.k8s.io/v1): create, parse, and observe their renewals.

The clocks of two machines are never compared: a change of a Lease's version is a renewal, and a
Lease has expired when an observer has seen no change for its duration, by the observer's own clock.
A Lease whose holder's pod is gone counts as free at once.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from corejob import timestamps
from corejob_kube.client import Kube
from corejob_kube.errors import NotFoundError
from corejob_kube.resources import LEASES, PODS


def spec(holder: str, seconds: float, now: datetime) -> dict[str, Any]:
    """Return the spec of a Lease that `holder` acquires or renews now, for `seconds` seconds."""
    return {
        "holderIdentity": holder,
        "leaseDurationSeconds": int(seconds),
        "renewTime": timestamps.render(now),
    }


def manifest(
    namespace: str,
    name: str,
    spec: Mapping[str, Any],
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the manifest of a Lease."""
    meta: dict[str, Any] = {"name": name, "namespace": namespace}
    if labels:
        meta["labels"] = labels
    if annotations:
        meta["annotations"] = annotations
    kind = {"apiVersion": LEASES.group_version, "kind": "Lease"}
    return {**kind, "metadata": meta, "spec": spec}


def holder(lease: Mapping[str, Any]) -> str:
    """Return the holder of a Lease; empty if there is none."""
    found = _spec(lease).get("holderIdentity")
    return found if isinstance(found, str) else ""


def duration(lease: Mapping[str, Any]) -> float:
    """Return the duration of a Lease in seconds; 0 if it has none."""
    found = _spec(lease).get("leaseDurationSeconds")
    return float(found) if isinstance(found, int | float) else 0.0


def renewed_at(lease: Mapping[str, Any]) -> datetime | None:
    """Return when a Lease was renewed, by its holder's clock; None if it has no valid time."""
    found = _spec(lease).get("renewTime")
    try:
        return timestamps.parse(found) if isinstance(found, str) else None
    except ValueError:
        return None


def _spec(lease: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the spec of a Lease, which is optional; empty if there is none."""
    found = lease.get("spec")
    return found if isinstance(found, Mapping) else {}


async def has_pod(kube: Kube, namespace: str, holder: str) -> bool:
    """True if the holder's pod still exists; a holder's name is that of its pod."""
    try:
        await kube.get(PODS, namespace, holder)
    except NotFoundError:
        return False
    return True


class Renewals:
    """Observer of renewals: remembers when each Lease last changed.

    Args:
        duration: Seconds from a change until the Lease expires.
    """

    def __init__(self, duration: float) -> None:
        self._duration = duration
        self._seen: dict[str, tuple[str, float]] = {}

    def is_recent(self, lease: Mapping[str, Any], now: float) -> bool:
        """True if a Lease has not expired; the first observation counts as a renewal.

        Args:
            lease: The Lease as it is now.
            now: The observer's own clock, in seconds.
        """
        name, version = lease["metadata"]["name"], lease["metadata"]["resourceVersion"]
        known, since = self._seen.get(name, ("", now))
        if known != version:
            self._seen[name] = (version, now)
            return True
        return now - since <= self._duration

    def keep(self, names: Collection[str]) -> None:
        """Drop all Leases except these."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}

    def forget(self) -> None:
        """Drop all Leases, after a time without observations: they may have been renewed in it."""
        self._seen.clear()
