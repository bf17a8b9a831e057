"""Read a CoreJob's status, pods and Events from Kubernetes, evict pods, and compare with REST."""

import json
from typing import Any

from tests.support.kubectl import Kubectl, polled
from tests.support.sse import WAIT_SECONDS

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
# Likewise for times: RFC 3339 in `status`, UTC without an offset in the document.
_SAME_TIMES = (
    ("startTime", "started_at"),
    ("finishTime", "finished_at"),
    ("queryTime", "query_at"),
    ("killedTime", "killed_at"),
    ("inactiveTime", "inactive_at"),
)
_SECONDS = len("2026-01-01T00:00:00")


def status(kubectl: Kubectl, name: str) -> dict[str, Any]:
    """Return the status of a CoreJob; empty before the operator has written it."""
    found: dict[str, Any] = kubectl.json("get", "corejob", name).get("status", {})
    return found


def wait_state(
    kubectl: Kubectl, name: str, state: str, seconds: float = WAIT_SECONDS
) -> dict[str, Any]:
    """Wait until a CoreJob is in a state, and return its status."""
    return polled(
        lambda: status(kubectl, name),
        lambda seen: seen.get("state") == state,
        what=f"corejob {name} is {state}",
        seconds=seconds,
    )


def pods(kubectl: Kubectl, name: str) -> list[dict[str, Any]]:
    """Return the pods of a CoreJob's trials."""
    return kubectl.items("pods", "-l", f"core4.io/corejob={name}")


def pod_name(kubectl: Kubectl, name: str) -> str:
    """Return the name of a CoreJob's only pod; fail if there are several."""
    found = pods(kubectl, name)
    assert len(found) == 1, found
    only: str = found[0]["metadata"]["name"]
    return only


def evict(kubectl: Kubectl, pod: str) -> None:
    """Request an eviction, as `kubectl drain` does."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": kubectl.namespace},
    }
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{pod}/eviction"
    kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))


def wait_no_pod(kubectl: Kubectl, *names: str) -> None:
    """Wait until these CoreJobs have no pods any more."""
    selector = f"core4.io/corejob in ({','.join(names)})"
    polled(
        lambda: kubectl("get", "pods", "-l", selector, "-o", "name"),
        lambda left: not left,
        what=f"the pods of {', '.join(names)} are gone",
        seconds=WAIT_SECONDS,
    )


def events(kubectl: Kubectl, name: str) -> list[dict[str, Any]]:
    """Return the Events on a CoreJob, oldest first."""
    found = kubectl.items("events", "--field-selector", f"involvedObject.name={name}")
    return sorted(found, key=lambda event: str(event["eventTime"]))


def wait_event(kubectl: Kubectl, name: str, reason: str, state: str) -> dict[str, Any]:
    """Wait for the Event of a state with that reason, and return it; it follows the status."""

    def fits(event: dict[str, Any]) -> bool:
        told: str = event["message"]
        return event["reason"] == reason and told.startswith(f"{state}, trial ")

    found = polled(
        lambda: events(kubectl, name),
        lambda seen: any(fits(event) for event in seen),
        what=f"an Event {reason} of state {state} on {name}",
    )
    return next(event for event in found if fits(event))


def differences(resource_status: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Return the fields in which a CoreJob's status and job document differ, with both values."""
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
    """Add a null traceback if it is missing, since a merge patch can't write a null."""
    return error and {"traceback": None, **error}
