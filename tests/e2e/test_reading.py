"""Logs that are hard to read: lines in parts, runs of a container, a node that does not answer."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.cluster.layout import Layout
from tests.e2e.manifests import template
from tests.support import corejobs, hostprocess
from tests.support.kubectl import Kubectl, polled
from tests.support.release import Release
from tests.support.rest import Rest
from tests.support.scripts import DRAINED, SHELL_DRAINED
from tests.support.sse import WAIT_SECONDS
from tests.support.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("service")]

RECORDER = "core4-recorder"


def pod_job(service: Rest, kubectl: Kubectl, name: str, pod: dict[str, Any]) -> str:
    """Return the id of a job that is a pod."""
    qual_name = f"e2e.reading.{name}"
    kubectl.apply(template(qual_name, runtime="container", pod=pod))
    service.wait_listed(qual_name)
    return service.enqueue(qual_name, attempts=1)


def check_whole(service: Rest, job_id: str, *messages: str) -> None:
    """Check that the log of a job that has ended has exactly these messages, and no gap.

    By REST, since the CoreJob of a complete job is soon deleted.
    """
    assert service.messages(job_id) == list(messages)
    assert not service.has_gap(job_id)


# --- lines in parts ----------------------------------------------------------------------------

LINES = 25
PARTS = f"""
import sys, time
for number in range({LINES}):
    # The runtime writes 16 KiB as soon as they are there: the parts have times of their own.
    for piece in range(5):
        sys.stdout.write(str(number % 10) * 8000)
        sys.stdout.flush()
        time.sleep(0.25)
    sys.stdout.write("\\n")
    sys.stdout.flush()
"""


def restarts(release: Release, pod: str) -> int:
    """Return how often the recorder's container was restarted; -1 while it does not run."""
    statuses = release.kubectl.json("get", "pod", pod)["status"]["containerStatuses"]
    found = next(item for item in statuses if item["name"] == "recorder")
    return int(found["restartCount"]) if "running" in found["state"] else -1


@pytest.mark.host
def test_lines_in_parts_are_whole_though_the_recorder_is_killed_between_them(
    own_release: Release, service: Rest, image: str
):
    pod = own_release.pod("api")
    uid = own_release.kubectl.json("get", "pod", pod)["metadata"]["uid"]
    container = {"name": "job", "image": image, "command": ["python3", "-c", PARTS + DRAINED]}
    job_id = pod_job(service, own_release.kubectl, "Parts", {"containers": [container]})
    for count in (2, 8):
        until(
            lambda: service.log(job_id),
            lambda rows, count=count: len(rows) >= count,  # type: ignore[misc]
            what=f"{count} lines are stored",
            seconds=WAIT_SECONDS,
        )
        before = restarts(own_release, pod)
        hostprocess.kill(uid, RECORDER)
        polled(
            lambda before=before: restarts(own_release, pod) > before,  # type: ignore[misc]
            what="the recorder is started anew",
            seconds=180,
        )
    service.wait_state(job_id, "complete")
    check_whole(service, job_id, *(str(number % 10) * 40_000 for number in range(LINES)))


# --- runs --------------------------------------------------------------------------------------


def test_the_output_of_an_init_container_that_fails_is_the_job_s_log(
    own_release: Release, service: Rest, image: str
):
    script = SHELL_DRAINED + "echo no database; exit 3"
    shell = {"image": image, "command": ["sh", "-c", script]}
    own = {"name": "job", "image": image, "command": ["true"]}
    pod = {"initContainers": [{"name": "prepare", **shell}], "containers": [own]}
    job_id = pod_job(service, own_release.kubectl, "Init", pod)
    service.wait_state(job_id, "error")
    told = "init container [prepare] ended with exit code 3, its output:"
    check_whole(service, job_id, told, "no database")


RUNS = f"""
import os, pathlib, sys, time
path = pathlib.Path("/share/run")
number = int(path.read_text()) if path.exists() else 0
path.write_text(str(number + 1))
print("run", number, flush=True)
time.sleep(1.5)
print("end", number, flush=True)
{DRAINED}
sys.exit(0 if number else 42)
"""


def test_all_runs_of_a_container_that_is_restarted_are_in_the_log(
    own_release: Release, service: Rest, image: str
):
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    container = {
        "name": "job",
        "image": image,
        "command": ["python3", "-c", RUNS],
        "restartPolicy": "Never",
        "restartPolicyRules": rules,
        "volumeMounts": [{"name": "share", "mountPath": "/share"}],
    }
    pod = {"containers": [container], "volumes": [{"name": "share", "emptyDir": {}}]}
    job_id = pod_job(service, own_release.kubectl, "Runs", pod)
    service.wait_state(job_id, "complete")
    check_whole(service, job_id, "run 0", "end 0", "run 1", "end 1")


# --- a node that does not answer ---------------------------------------------------------------


class Kubelet(BaseHTTPRequestHandler):
    """Serves one line of any log."""

    def do_GET(self) -> None:
        body = b"2026-11-24T03:00:00.000000001Z at last\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def node(kubectl: Kubectl) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the name of a node whose kubelet does not answer, and a function that starts it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Kubelet, bind_and_activate=False)
    server.server_bind()
    pki = Layout.default().pki
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "node.crt", pki / "node.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    name = f"nowhere-{kubectl.namespace}"
    spec = {"unschedulable": True, "taints": [{"key": "e2e", "effect": "NoSchedule"}]}
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec}
    kubectl("create", "-f", "-", stdin=json.dumps(body))
    port = {"kubeletEndpoint": {"Port": server.server_port}}
    addresses = [{"type": "InternalIP", "address": "127.0.0.1"}]
    patch(kubectl, "node", name, {"addresses": addresses, "daemonEndpoints": port})
    threads: list[threading.Thread] = []

    def answer() -> None:
        server.server_activate()
        threads.append(threading.Thread(target=server.serve_forever, daemon=True))
        threads[0].start()

    try:
        yield name, answer
    finally:
        kubectl("delete", "node", name)
        if threads:
            server.shutdown()
        server.server_close()


def patch(kubectl: Kubectl, kind: str, name: str, status: dict[str, Any]) -> None:
    text = json.dumps({"status": status})
    kubectl("patch", kind, name, "--subresource=status", "--type=merge", "--patch", text)


@pytest.mark.local
def test_a_log_that_cant_be_read_is_said_and_read_when_its_node_answers(
    own_release: Release, service: Rest
):
    kubectl = own_release.kubectl
    with node(kubectl) as (name, answer):
        pod = {
            "nodeName": name,
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "job", "image": "nothing"}],
        }
        job_id = pod_job(service, kubectl, "Nowhere", pod)
        found = polled(
            lambda: kubectl.items("pods", "-l", f"core4.io/corejob={job_id}"),
            what="the job has a pod",
        )[0]["metadata"]["name"]
        began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        running = {"name": "job", "image": "", "imageID": "", "ready": True, "restartCount": 0}
        running["state"] = {"running": {"startedAt": began}}
        patch(kubectl, "pod", found, {"phase": "Running", "containerStatuses": [running]})

        log = polled(
            lambda: corejobs.status(kubectl, job_id).get("log") or {},
            lambda log: log.get("reason") == "Unreadable",
            what="it is said that the log can't be read",
            seconds=60,
        )
        assert "UTC the log can't be read, trying again: 500" in log["message"]
        assert "connection refused" in log["message"]
        assert "can't be read, trying again" in kubectl(
            "logs", own_release.pod("api"), "--container=recorder"
        )

        answer()
        (record,) = until(lambda: service.log(job_id), what="it is read")
        assert record["message"] == "at last"
        polled(
            lambda: corejobs.status(kubectl, job_id).get("log") or {},
            lambda log: "reason" not in log,
            what="nothing is said any more",
        )
        # The status that its kubelet would write.
        ended = {"exitCode": 0, "reason": "Completed", "startedAt": began, "finishedAt": began}
        running["state"] = {"terminated": ended}
        patch(kubectl, "pod", found, {"phase": "Succeeded", "containerStatuses": [running]})
        service.wait_state(job_id, "complete")
        check_whole(service, job_id, "at last")
