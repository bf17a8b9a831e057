"""A job's states and log, and the streams that core4 makes of them (docs/rest.md)."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from core4.client import Close, Gap, Log, State

JOB = "6743a0b1c2d3e4f506172839"


def document(state: str, **more: Any) -> dict[str, Any]:
    """Return a job's document."""
    found = {"_id": JOB, "qual_name": "a.Job", "state": state, "age": 1.5, "runtime": None}
    return {**found, "flag": {"removed": False, "killed": state == "killed"}, **more}


def record(number: int, message: str) -> dict[str, Any]:
    return {
        "_id": f"{number:012d}",
        "identifier": JOB,
        "level": "INFO",
        "message": message,
    }


def frame(event: str, data: Any, event_id: int | None) -> bytes:
    line = "" if event_id is None else f"id: {event_id:012d}\n"
    # Short, since some tests cut it at every byte.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event}\n{line}data: {text}\n\n".encode()


def gap(after: int, first: int | None) -> dict[str, Any]:
    return {"after": f"{after:012d}", "from": first, "to": first, "reason": "node lost"}


@dataclass
class Story:
    """The story of a job: steps in order, each a state, a record's message, or a gap."""

    steps: list[tuple[str, Any]] = field(
        default_factory=lambda: [
            ("state", document("running")),
            ("log", "Grüße ✅"),
            ("log", "a\u2028b"),
            ("gap", 4),
            ("gap", 5),
            ("gap", None),
            ("gap", None),
            ("log", ""),
            ("state", document("complete")),
        ]
    )

    def frames(self, after: int | None) -> list[bytes]:
        """Return the frames that core4 sends to a client that has the record `after`."""
        number, counts = 0, Counter[str]()
        frames = []
        resumed = after is not None
        states = [data for kind, data in self.steps if kind == "state"]
        if resumed:
            frames.append(frame("state", states[-1], after))
            counts["state"] += 1
        for kind, data in self.steps:
            number += kind == "log"
            passed = after is not None and (number <= after if kind == "log" else number < after)
            if passed or (kind == "state" and resumed):
                continue
            body = {
                "log": lambda n=number, d=data: record(n, d),
                "gap": lambda n=number, d=data: gap(n, d),
            }
            frames.append(frame(kind, body.get(kind, lambda d=data: d)(), number))
            counts[kind] += 1
        frames.append(frame("close", {"state": 0, "log": 0, **counts}, number))
        return frames

    def body(self, after: int | None = None) -> bytes:
        return b"".join(self.frames(after))

    def check(self, events: list[Any]) -> None:
        """Check that a client got the whole story: records and gaps once and in order."""
        told = [step for step in self.steps if step[0] != "state"]
        got = [
            ("log", event.message) if isinstance(event, Log) else ("gap", event.first)
            for event in events
            if isinstance(event, Log | Gap)
        ]
        assert got == told
        numbers = [event.number for event in events if isinstance(event, Log)]
        assert numbers == list(range(1, len(numbers) + 1))
        states = [event.state for event in events if isinstance(event, State)]
        every = [data["state"] for kind, data in self.steps if kind == "state"]
        # A cut may hide states between two connections, but none comes twice, and the last comes.
        left = iter(every)
        assert all(state in left for state in states)
        assert states[-1:] == every[-1:]
        assert isinstance(events[-1], Close)
        assert not any(isinstance(event, Close) for event in events[:-1])
        assert events[-1].counts.get("log", 0) == len(numbers)
