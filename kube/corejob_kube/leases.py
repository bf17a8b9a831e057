"""Leases (coordination.k8s.io/v1): what they are made of, and whether their holders live.

Nobody compares the clocks of two machines: a Lease is renewed when its version changes, and it has
run out when a watcher has seen no change for its duration, by the watcher's own clock. A holder
whose pod is no more renews nothing, so nobody need wait for that.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from corejob import clock
from corejob_kube.client import Kube
from corejob_kube.errors import NotFoundError
from corejob_kube.resources import LEASES, PODS


def spec(holder: str, seconds: float, now: datetime) -> dict[str, Any]:
    """The spec of a Lease that somebody holds, or renews, at this moment for so many seconds."""
    return {
        "holderIdentity": holder,
        "leaseDurationSeconds": int(seconds),
        "renewTime": clock.render(now),
    }


def manifest(
    namespace: str,
    name: str,
    spec: Mapping[str, Any],
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A whole Lease, to create it."""
    meta: dict[str, Any] = {"name": name, "namespace": namespace}
    if labels:
        meta["labels"] = labels
    if annotations:
        meta["annotations"] = annotations
    kind = {"apiVersion": LEASES.group_version, "kind": "Lease"}
    return {**kind, "metadata": meta, "spec": spec}


def holder(lease: Mapping[str, Any]) -> str:
    """Who holds a Lease; nobody has the empty name."""
    found = _spec(lease).get("holderIdentity")
    return found if isinstance(found, str) else ""


def duration(lease: Mapping[str, Any]) -> float:
    """How long a Lease lasts after a renewal, in seconds; 0 if it doesn't say."""
    found = _spec(lease).get("leaseDurationSeconds")
    return float(found) if isinstance(found, int | float) else 0.0


def renewed_at(lease: Mapping[str, Any]) -> datetime | None:
    """When it was renewed by its holder's clock; None if it doesn't say."""
    found = _spec(lease).get("renewTime")
    try:
        return clock.parse(found) if isinstance(found, str) else None
    except ValueError:
        return None


def _spec(lease: Mapping[str, Any]) -> Mapping[str, Any]:
    """Nobody has to give a Lease a spec, nor to fill it in."""
    found = lease.get("spec")
    return found if isinstance(found, Mapping) else {}


async def has_pod(kube: Kube, namespace: str, holder: str) -> bool:
    """Whether there is the pod that a holder's name is that of."""
    try:
        await kube.get(PODS, namespace, holder)
    except NotFoundError:
        return False
    return True


class Renewals:
    """When each Lease was seen to change last.

    Args:
        duration: So many seconds a Lease lasts after a change.
    """

    def __init__(self, duration: float) -> None:
        self._duration = duration
        self._seen: dict[str, tuple[str, float]] = {}

    def is_recent(self, lease: Mapping[str, Any], now: float) -> bool:
        """Whether a Lease has not run out, as far as was looked; one seen first is as if renewed.

        Args:
            lease: The Lease as it is now.
            now: The watcher's own clock, in seconds.
        """
        name, version = lease["metadata"]["name"], lease["metadata"]["resourceVersion"]
        known, since = self._seen.get(name, ("", now))
        if known != version:
            self._seen[name] = (version, now)
            return True
        return now - since <= self._duration

    def keep(self, names: Collection[str]) -> None:
        """Forget all Leases but these."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}

    def forget(self) -> None:
        """Forget all: who could not look can't say that others did not renew."""
        self._seen.clear()
