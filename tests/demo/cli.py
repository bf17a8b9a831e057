"""The command line: enqueue the example job, show its stream and traces, suggest commands."""

import argparse
import sys
from collections.abc import Sequence

import requests
from tests.cluster import deploy
from tests.cluster.errors import ClusterError
from tests.cluster.providers import choose
from tests.demo import show
from tests.support.jobs import DUMMY
from tests.support.kubectl import Kubectl
from tests.support.rest import BASE, Rest
from tests.support.sse import Stream, StreamError

_USER, _PASSWORD = "admin", "hans"


class DemoError(Exception):
    """The demo can't go on; the message says what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; an error is one message, not a traceback."""
    options = _parser().parse_args(argv)
    try:
        with Rest(f"{options.url}{BASE}", _USER, _PASSWORD) as rest:
            _demo(rest, options)
    except (ClusterError, DemoError, StreamError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except AssertionError as error:
        # Of the tests' client: an answer that is not the expected one.
        sys.stderr.write(f"error: {error}\n")
        return 1
    except requests.RequestException as error:
        sys.stderr.write(f"error: {options.url} does not answer: {error}\nTry `make up`.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the job runs on\n")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.demo", description="Enqueue the example job and follow it."
    )
    parser.add_argument("--url", default=deploy.URL, help=f"the service (default: {deploy.URL})")
    parser.add_argument("--namespace", default=deploy.NAMESPACE, help="its namespace")
    parser.add_argument("--sleep", type=float, default=5, help="how long the job sleeps, in s")
    return parser


def _demo(rest: Rest, options: argparse.Namespace) -> None:
    sleep = int(options.sleep) if options.sleep == int(options.sleep) else options.sleep
    args = {"sleep": sleep, "logging": True}
    show.title(f"POST {rest.url}/job  {DUMMY}  {args}")
    with _enqueue(rest, args) as stream:
        for frame in stream:
            show.frame(frame)
    if not stream.of("close"):
        raise DemoError("the stream ended without a close frame: the job runs on, see GET /job")
    last = stream.of("state")[-1]
    _afterwards(rest, last["_id"], Kubectl(choose(), options.namespace))
    if last["state"] != "complete":
        raise DemoError(f"the job has ended as {last['state']}; its last error is above")
    show.next_steps(rest.url, f"{_USER}:{_PASSWORD}", options.namespace)


def _enqueue(rest: Rest, args: dict[str, object]) -> Stream:
    body = {"qual_name": DUMMY, "args": args}
    response = rest.call("POST", "job", json=body, stream=True)
    if response.status_code == 200:
        return Stream(response)
    with response:
        text = _error_of(response)
    if "exists with args" in text:
        raise DemoError(
            f"{text}. The demo's job is still in the queue, from an earlier run: wait until it has"
            f" ended, or take it out: GET {rest.url}/job tells its id, PUT {rest.url}/job/kill/<id>"
            " and then /job/remove/<id>."
        )
    raise DemoError(f"POST {rest.url}/job answers {response.status_code}: {text}")


def _error_of(response: requests.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return response.text[:500]


def _afterwards(rest: Rest, job_id: str, kubectl: Kubectl) -> None:
    show.title(f"GET {rest.url}/job  (the queue: complete jobs have left it)")
    show.queue(rest.answer("GET", "job"))
    show.title(f"GET {rest.url}/job/{job_id}")
    show.detail(rest.detail(job_id))
    show.title(f"kubectl -n {kubectl.namespace} get corejobs")
    show.text(kubectl("get", "corejobs"))
