"""Leases (coordination.k8s.io/v1): write them, parse them, and observe their renewals.

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
from corejob_process.clock import Clock


class LeaseClient:
    """Reads and writes Leases of one namespace.

    Args:
        kube: The client.
        namespace: The namespace of the Leases.
        manager: Field manager of the writes.
        now: The clock of the renewal times.
    """

    def __init__(self, kube: Kube, namespace: str, *, manager: str, now: Clock) -> None:
        self._kube = kube
        self._namespace = namespace
        self._manager = manager
        self._now = now

    async def get(self, name: str) -> dict[str, Any]:
        """Return a Lease.

        Raises:
            NotFoundError: There is no Lease of this name.
        """
        return await self._kube.get(LEASES, self._namespace, name)

    async def list(self, selector: str) -> list[dict[str, Any]]:
        """Return the Leases that match a label selector."""
        items, _ = await self._kube.list(LEASES, self._namespace, selector=selector)
        return items

    async def create(
        self,
        name: str,
        holder: str,
        seconds: float,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Create a Lease that `holder` acquires now, for `seconds` seconds.

        Raises:
            AlreadyExistsError: There is a Lease of this name.
        """
        body = self._manifest(name, self._spec(holder, seconds), labels, annotations)
        return await self._kube.create(LEASES, self._namespace, body, manager=self._manager)

    async def renew(
        self,
        name: str,
        holder: str,
        seconds: float,
        *,
        version: str | None = None,
        annotations: Mapping[str, str | None] | None = None,
    ) -> dict[str, Any]:
        """Renew or acquire a Lease for `seconds` seconds from now; an empty holder releases it.

        Args:
            name: Its name.
            holder: Its holder from now on.
            seconds: Its duration.
            version: Resource version that it must still have; None: any.
            annotations: Annotations to set, and with None to remove.

        Raises:
            ConflictError: It has another version.
            NotFoundError: There is no Lease of this name.
        """
        meta: dict[str, Any] = {}
        if version is not None:
            meta["resourceVersion"] = version
        if annotations is not None:
            meta["annotations"] = annotations
        return await self._patch(name, {"metadata": meta, "spec": self._spec(holder, seconds)})

    async def prolong(self, name: str, version: str) -> dict[str, Any]:
        """Renew a Lease that still has this resource version, for its present holder.

        Raises:
            ConflictError: It has another version.
            NotFoundError: There is no Lease of this name.
        """
        spec = {"renewTime": timestamps.render(self._now())}
        return await self._patch(name, {"metadata": {"resourceVersion": version}, "spec": spec})

    async def replace(
        self,
        name: str,
        holder: str,
        seconds: float,
        *,
        version: str,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Replace a Lease that still has this resource version; its owners are removed too.

        Raises:
            ConflictError: It has another version.
            NotFoundError: There is no Lease of this name.
        """
        body = self._manifest(name, self._spec(holder, seconds), labels, annotations)
        body["metadata"]["resourceVersion"] = version
        path = LEASES.path(self._namespace, name)
        params = {"fieldManager": self._manager}
        lease: dict[str, Any] = await self._kube.request("PUT", path, params=params, body=body)
        return lease

    async def set_owner(self, name: str, owner: Mapping[str, str], *, version: str) -> None:
        """Give a Lease that still has this version an owner: both are deleted together.

        Raises:
            ConflictError: It has another version.
            NotFoundError: There is no Lease of this name.
        """
        await self._patch(
            name, {"metadata": {"resourceVersion": version, "ownerReferences": [owner]}}
        )

    async def delete(
        self, name: str, *, uid: str | None = None, version: str | None = None
    ) -> None:
        """Delete a Lease; do nothing if it is gone, or has another uid or version than these."""
        await self._kube.delete(LEASES, self._namespace, name, uid=uid, version=version)

    async def has_pod(self, holder: str) -> bool:
        """True if the holder's pod still exists; a holder's name is that of its pod."""
        try:
            await self._kube.get(PODS, self._namespace, holder)
        except NotFoundError:
            return False
        return True

    async def _patch(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._kube.patch(LEASES, self._namespace, name, body, manager=self._manager)

    def _manifest(
        self,
        name: str,
        spec: Mapping[str, Any],
        labels: Mapping[str, str] | None,
        annotations: Mapping[str, str] | None,
    ) -> dict[str, Any]:
        meta: dict[str, Any] = {"name": name, "namespace": self._namespace}
        if labels:
            meta["labels"] = labels
        if annotations:
            meta["annotations"] = annotations
        kind = {"apiVersion": LEASES.group_version, "kind": "Lease"}
        return {**kind, "metadata": meta, "spec": spec}

    def _spec(self, holder: str, seconds: float) -> dict[str, Any]:
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": int(seconds),
            "renewTime": timestamps.render(self._now()),
        }


def holder(lease: Mapping[str, Any]) -> str:
    """Return the holder of a Lease; empty if there is none."""
    name = _spec(lease).get("holderIdentity")
    return name if isinstance(name, str) else ""


def duration(lease: Mapping[str, Any]) -> float:
    """Return the duration of a Lease in seconds; 0 if it has none."""
    seconds = _spec(lease).get("leaseDurationSeconds")
    return float(seconds) if isinstance(seconds, int | float) else 0.0


def renewed_at(lease: Mapping[str, Any]) -> datetime | None:
    """Return when a Lease was renewed, by its holder's clock; None if it has no valid time."""
    text = _spec(lease).get("renewTime")
    try:
        return timestamps.parse(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _spec(lease: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the spec of a Lease, which is optional; empty if there is none."""
    spec = lease.get("spec")
    return spec if isinstance(spec, Mapping) else {}


class Renewals:
    """Observer of renewals: remembers when each Lease last changed.

    Args:
        duration: Seconds from a change until the Lease expires.
    """

    def __init__(self, duration: float) -> None:
        self._duration = duration
        self._last_changes: dict[str, tuple[str, float]] = {}

    def is_recent(self, lease: Mapping[str, Any], now: float) -> bool:
        """True if a Lease has not expired; the first observation counts as a renewal.

        Args:
            lease: The Lease as it is now.
            now: The observer's own clock, in seconds.
        """
        name, version = lease["metadata"]["name"], lease["metadata"]["resourceVersion"]
        last_version, since = self._last_changes.get(name, ("", now))
        if last_version != version:
            self._last_changes[name] = (version, now)
            return True
        return now - since <= self._duration

    def keep(self, names: Collection[str]) -> None:
        """Drop all Leases except these."""
        self._last_changes = {
            name: change for name, change in self._last_changes.items() if name in names
        }

    def forget(self) -> None:
        """Drop all Leases, after a time without observations: they may have been renewed in it."""
        self._last_changes.clear()
