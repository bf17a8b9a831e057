"""The conditions of a CoreJobTemplate, by pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from corejob import timestamps
from corejob.names import TemplateCondition, TemplateReason

_MOST_MESSAGE: Final = 2000


@dataclass(frozen=True, slots=True)
class Verdict:
    """Status, reason and message of a condition.

    Attributes:
        status: `True`, `False` or `Unknown`.
        message: For people.
    """

    status: str
    reason: TemplateReason
    message: str


def conditions(
    current: Sequence[Mapping[str, Any]],
    verdicts: Mapping[TemplateCondition, Verdict | None],
    generation: int,
    now: datetime,
) -> list[dict[str, Any]]:
    """Return all conditions, updated by the verdicts.

    Args:
        current: The current conditions.
        verdicts: By type; None removes the condition. A condition of any other type is kept.
        generation: Generation of the spec that the verdicts are about.
        now: `lastTransitionTime` of the conditions whose status changes.
    """
    result = {str(condition["type"]): dict(condition) for condition in current}
    for kind, verdict in verdicts.items():
        old = result.pop(str(kind), None)
        if verdict is None:
            continue
        same = old is not None and old["status"] == verdict.status
        since = old["lastTransitionTime"] if old is not None and same else timestamps.render(now)
        result[str(kind)] = {
            "type": str(kind),
            "status": verdict.status,
            "observedGeneration": generation,
            "lastTransitionTime": since,
            "reason": str(verdict.reason),
            "message": verdict.message[:_MOST_MESSAGE],
        }
    return [result[kind] for kind in sorted(result)]
