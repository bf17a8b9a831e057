"""What Kubernetes says of a CoreJob: its status, its pods, its Events, and whether REST agrees."""

from typing import Any

from tests.support.kubectl import Kubectl
from tests.support.waiting import until

# Field of `status`, field of the job document.
_SAME = (
    ("id", "_id"),
    ("state", "state"),
    ("reason", "reason"),
    ("message", "message"),
    ("trial", "trial"),
    ("attemptsLeft", "attempts_left"),
    ("lastError", "last_error"),
    ("runtimeSeconds", "runtime"),
)
# The same for times: RFC 3339 in the one, UTC without an offset in the other.
_SAME_TIMES = (
    ("startTime", "started_at"),
    ("finishTime", "finished_at"),
    ("queryTime", "query_at"),
    ("killedTime", "killed_at"),
    ("inactiveTime", "inactive_at"),
)
_SECONDS = len("2026-01-01T00:00:00")


def status(kubectl: Kubectl, name: str) -> dict[str, Any]:
    """The status of a CoreJob; empty while the operator has not written any."""
    found: dict[str, Any] = kubectl.json("get", "corejob", name).get("status", {})
    return found


def wait_state(kubectl: Kubectl, name: str, state: str, seconds: float = 120) -> dict[str, Any]:
    """Wait until a CoreJob is in a state; returns its status."""
    return until(
        lambda: status(kubectl, name),
        lambda seen: seen.get("state") == state,
        what=f"corejob {name} is {state}",
        seconds=seconds,
    )


def pods(kubectl: Kubectl, name: str) -> list[dict[str, Any]]:
    """The pods of a CoreJob's trials."""
    return kubectl.items("pods", "-l", f"core4.io/corejob={name}")


def pod_name(kubectl: Kubectl, name: str) -> str:
    """The name of its only pod."""
    found = pods(kubectl, name)
    assert len(found) == 1, found
    only: str = found[0]["metadata"]["name"]
    return only


def wait_no_pod(kubectl: Kubectl, name: str) -> None:
    """Wait until nothing runs for a CoreJob any more."""
    until(lambda: pods(kubectl, name), lambda left: not left, what=f"the pods of {name} are gone")


def events(kubectl: Kubectl, name: str) -> list[dict[str, Any]]:
    """Our Events on a CoreJob, the oldest first."""
    found = kubectl.items("events", "--field-selector", f"involvedObject.name={name}")
    return sorted(found, key=lambda event: str(event["eventTime"]))


def wait_event(kubectl: Kubectl, name: str, reason: str, state: str) -> dict[str, Any]:
    """Wait for the Event of a state with that reason; it comes after the status."""

    def fits(event: dict[str, Any]) -> bool:
        told: str = event["message"]
        return event["reason"] == reason and told.startswith(f"{state}, trial ")

    found = until(
        lambda: events(kubectl, name),
        lambda seen: any(fits(event) for event in seen),
        what=f"an Event {reason} of state {state} on {name}",
    )
    return next(event for event in found if fits(event))


def differences(resource_status: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Where a CoreJob's status and its job document say different things."""
    resource_status = resource_status | {"lastError": _whole(resource_status.get("lastError"))}
    document = document | {"last_error": _whole(document["last_error"])}
    pairs = {
        name: (resource_status.get(field), document[name])
        for field, name in _SAME
        if resource_status.get(field) != document[name]
    }
    for field, name in _SAME_TIMES:
        one, other = resource_status.get(field), document[name]
        if (one and one[:_SECONDS]) != (other and other[:_SECONDS]):
            pairs[name] = (one, other)
    return pairs


def _whole(error: dict[str, Any] | None) -> dict[str, Any] | None:
    """A merge patch can't write a null, so the resource has no traceback where there is none."""
    return error and {"traceback": None, **error}
