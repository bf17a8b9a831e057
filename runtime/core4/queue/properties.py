"""The class properties of a job: their names in a template, and their valid values."""

from __future__ import annotations

import re

from core4.queue import crontab
from core4.queue.job import CoreJob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAX_INT = 2**31 - 1
MAX_TEXT = 253
MAX_WORKER = 63
POLICIES = ("Skip", "Replace")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")


def is_int(value: object) -> str | None:
    """Return an error text unless the value is a whole number."""
    fits = type(value) is int and abs(value) <= MAX_INT
    return None if fits else "expected a whole number"


def is_positive(value: object) -> str | None:
    """Return an error text unless the value is a whole number above 0."""
    fits = type(value) is int and 0 < value <= MAX_INT
    return None if fits else "expected a whole number above 0"


def is_positive_or_none(value: object) -> str | None:
    """Return an error text unless the value is a whole number above 0, or None."""
    return None if value is None or not is_positive(value) else f"{is_positive(value)} or None"


def is_bool(value: object) -> str | None:
    """Return an error text unless the value is a bool."""
    return None if isinstance(value, bool) else "expected True or False"


def is_worker(value: object) -> str | None:
    """Return an error text unless the value can be a node's name, or None."""
    if value is None:
        return None
    if isinstance(value, str) and len(value) <= MAX_WORKER and _LABEL.fullmatch(value) is not None:
        return None
    return (
        f"expected a node's name or None: at most {MAX_WORKER} letters, digits, - _ and ., with a "
        "letter or digit at both ends"
    )


# Class attribute, name in a CoreJobTemplate's `spec.properties`, and rule.
TABLE: tuple[tuple[str, str, Callable[[object], str | None]], ...] = (
    ("attempts", "attempts", is_positive),
    ("error_time", "errorTimeSeconds", is_positive),
    ("defer_time", "deferTimeSeconds", is_positive),
    ("defer_max", "deferMaxSeconds", is_positive),
    ("wall_time", "wallTimeSeconds", is_positive_or_none),
    ("zombie_time", "zombieTimeSeconds", is_positive),
    ("priority", "priority", is_int),
    ("force", "force", is_bool),
    ("max_parallel", "maxParallel", is_positive_or_none),
    ("progress_interval", "progressIntervalSeconds", is_positive),
    ("worker", "worker", is_worker),
)


def problems(job_class: type[CoreJob]) -> list[str]:
    """Return the errors in a class's properties, a sentence each; empty if there are none."""
    found = []
    author = job_class.__dict__.get("author")
    if not isinstance(author, str) or not 0 < len(author) <= MAX_TEXT:
        found.append(f"[author] is {author!r}: expected a text in the class itself")
    for name, _, rule in TABLE:
        value = getattr(job_class, name)
        if wrong := rule(value):
            found.append(f"[{name}] is {value!r}: {wrong}")
    for check, name in (
        (tags, "tag"),
        (schedule, "schedule"),
        (time_zone, "time_zone"),
        (schedule_policy, "schedule_policy"),
    ):
        try:
            check(job_class)
        except (TypeError, ValueError) as error:
            found.append(f"[{name}] is {getattr(job_class, name)!r}: {error}")
    return found


def tags(job_class: type[CoreJob]) -> list[str]:
    """Return the class's tags; a single text is one tag.

    Raises:
        ValueError: The tags are not texts, too long or too many.
    """
    tag: Any = job_class.tag
    if tag is None:
        return []
    found = [tag] if isinstance(tag, str) else list(tag) if _is_sequence(tag) else [None]
    if not all(isinstance(item, str) and len(item) <= MAX_TEXT for item in found):
        raise ValueError("expected a text, a list of texts or None")
    if len(found) > 64:
        raise ValueError("expected at most 64 tags")
    return [item for item in found if item is not None]


def schedule(job_class: type[CoreJob]) -> str | None:
    """Return the schedule of the class itself, or None; a subclass does not inherit it.

    Raises:
        TypeError: The schedule is not a text.
        ValueError: The schedule is not a valid crontab.
    """
    text = job_class.__dict__.get("schedule")
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError("expected a crontab text or None")
    crontab.check(text)
    return " ".join(text.split())


def time_zone(job_class: type[CoreJob]) -> str | None:
    """Return the time zone of the schedule, or None for UTC.

    Raises:
        ValueError: The text can't be the name of a time zone. Unknown names are left to the
            operator, since a job's image may lack the IANA database.
    """
    name: Any = job_class.time_zone
    if name is None:
        return None
    if not isinstance(name, str) or not _ZONE.fullmatch(name) or name.lower() == "local":
        raise ValueError("expected a name such as Europe/Berlin or None")
    return name


def schedule_policy(job_class: type[CoreJob]) -> str:
    """Return the policy for a scheduled time while an equal job is in the queue.

    Raises:
        ValueError: The policy is unknown.
    """
    policy: Any = job_class.schedule_policy
    if policy not in POLICIES:
        raise ValueError(f"expected {' or '.join(POLICIES)}")
    return str(policy)


def changed(job_class: type[CoreJob]) -> dict[str, Any]:
    """Return the properties that differ from the default, by their names in a template."""
    return {
        field: getattr(job_class, name)
        for name, field, _ in TABLE
        if getattr(job_class, name) != getattr(CoreJob, name)
    }


def _is_sequence(value: object) -> bool:
    return isinstance(value, list | tuple | set | frozenset)
