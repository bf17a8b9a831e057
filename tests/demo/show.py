"""Printing of the demo: one line for each frame, in order of arrival."""

import sys
import time
from typing import Any

from tests.support.jobs import DUMMY
from tests.support.sse import Frame

_DETAIL = ("state", "trial", "attempts_left", "runtime", "enqueued", "last_error", "journal")


def text(line: str) -> None:
    """Print, and flush at once."""
    sys.stdout.write(f"{line.rstrip()}\n")
    sys.stdout.flush()


def title(line: str) -> None:
    """Print what is done next."""
    text(f"\n=== {line}")


def frame(shown: Frame) -> None:
    """Print an event of the stream."""
    clock = time.strftime("%H:%M:%S", time.localtime(shown.at))
    text(f"{clock}  {shown.event:5}  {_summary(shown.event, shown.data)}")


def _summary(event: str, data: Any) -> str:
    match event:
        case "state":
            done = f"{data['prog']['value'] or 0:.0%}"
            why = data.get("message") or data.get("reason") or ""
            return f"{data['state']:9} trial {data['trial']}  {done:>4}  {why}"
        case "log":
            return f"{data['mode']:8} {data['level']:8} {data['message']}"
        case _:
            return str(data)


def queue(envelope: dict[str, Any]) -> None:
    """Print a page of the queue."""
    text(f"{envelope['total_count']} jobs")
    for row in envelope["data"]:
        text(f"  {row['_id']}  {row['state']:9} {row['qual_name']}  {row['args']}")


def detail(document: dict[str, Any]) -> None:
    """Print the main fields of a job's document."""
    for name in _DETAIL:
        text(f"  {name:14} {document.get(name)}")


def next_steps(url: str, login: str, namespace: str) -> None:
    """Print commands to try next."""
    title("try next")
    text(f"""\
  the catalogue   curl -u {login} {url}/job/list
  run and follow  curl -N -u {login} {url}/job -H 'Content-Type: application/json' \\
                    -d '{{"qual_name": "{DUMMY}", "args": {{"sleep": 30}}}}'
  only enqueue    … with "follow": false in that body; answers the job's id
  kill, restart   curl -u {login} -X PUT {url}/job/kill/<id>   (restart, remove alike)
  the log         curl -u {login} {url}/job/log/<id>
  with kubectl    kubectl -n {namespace} get corejobs,corejobtemplates
                  export KUBECONFIG="$(.venv/bin/python -m tests.cluster kubeconfig)" before
  your own jobs   docs/writing-jobs.md
  stop it all     make down""")
