"""Finds the CoreJob that another one duplicates: the same qual_name and args, in the queue."""

from collections.abc import Callable, Sequence

from corejob import model
from corejob.model import CoreJob
from corejob_kube.cache import Body
from corejob_operator.caches import Caches


class Duplicates:
    """Finds duplicates, and remembers the CoreJobs that are not duplicates."""

    def __init__(self, caches: Caches) -> None:
        self._caches = caches
        self._admitted: set[str] = set()

    def duplicate_of(self, body: Body) -> str | None:
        """Return the name of the CoreJob that this one duplicates; None admits this one."""
        if self._is_admitted(body):
            return None
        name = body["metadata"]["name"]
        equal = tuple(self._caches.duplicates_of(name))
        duplicate = duplicate_before(body, equal, self._is_admitted, parse=self._caches.parse)
        if duplicate is None:
            # Another worker may reconcile an equal CoreJob while the status of this one is being
            # written: it must find this one admitted.
            self._admitted.add(name)
        return duplicate

    def admit(self, name: str) -> None:
        """Note a CoreJob that was admitted by an earlier operator."""
        self._admitted.add(name)

    def forget(self, name: str) -> None:
        """Drop a CoreJob that is gone."""
        self._admitted.discard(name)

    def clear(self) -> None:
        """Drop all CoreJobs."""
        self._admitted.clear()

    def _is_admitted(self, body: Body) -> bool:
        return "state" in (body.get("status") or {}) or body["metadata"]["name"] in self._admitted


def duplicate_before(
    body: Body,
    equal: Sequence[Body],
    is_admitted: Callable[[Body], bool],
    *,
    parse: Callable[[Body], CoreJob] = model.parse,
) -> str | None:
    """Return the name of a CoreJob that makes this one a duplicate, or None.

    Args:
        body: A CoreJob that is not admitted to the queue yet.
        equal: The other CoreJobs of the same qual_name and args.
        is_admitted: Returns True if a CoreJob was admitted already. If neither was, the older one
            has precedence.
        parse: Parses a CoreJob.
    """
    for other in equal:
        first = is_admitted(other) or _age(other) < _age(body)
        if first and parse(other).in_queue:
            return str(other["metadata"]["name"])
    return None


def _age(body: Body) -> tuple[str, str]:
    """Sort key: older first, and by uid within one second, so that the order is stable."""
    return (body["metadata"]["creationTimestamp"], body["metadata"]["uid"])
