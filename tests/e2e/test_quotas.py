"""A ResourceQuota that counts CoreJobs, exceeded or contended: never an id without a job."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import requests
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import load_kube_config
from tests.cluster.provider import Provider
from tests.e2e.manifests import corejob
from tests.support.jobs import SLEEPY
from tests.support.kubectl import Kubectl
from tests.support.rest import Rest
from tests.support.waiting import until

from corejob_kube.client import Kube
from corejob_kube.resources import Resource

pytestmark = pytest.mark.cluster

QUOTA = "corejobs"
COUNTED = ("count/corejobs.core4.io", "count/leases.coordination.k8s.io")
# Not a round number: Kubernetes would write 5k.
ROOM = 5001
QUOTAS = Resource("v1", "resourcequotas")


def set_quota(kubectl: Kubectl, corejobs: int) -> None:
    """Set the quota, and wait until it is in force."""
    hard = dict(zip(COUNTED, (str(corejobs), str(ROOM)), strict=True))
    meta = {"name": QUOTA}
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": hard}}
    kubectl.apply(body)

    def status() -> dict[str, Any]:
        found: dict[str, Any] = kubectl.json("get", "resourcequota", QUOTA).get("status", {})
        if found.get("hard") == hard and set(found.get("used", {})) != set(COUNTED):
            # The quota controller has not discovered CoreJobs yet, which it does every 30 s, and
            # the API server refuses each create with `status unknown for quota`. Only a new quota
            # is counted soon after that; an old one after five minutes.
            kubectl("delete", "resourcequota", QUOTA)
            kubectl.apply(body)
        return found

    until(
        status,
        lambda found: found.get("hard") == hard and set(found.get("used", {})) == set(COUNTED),
        what="the quota is counted",
        seconds=120,
    )
    # The API server checks creates by its own watch, which may be behind.
    probe = json.dumps(corejob("probe", qualName=SLEEPY))
    until(
        lambda: kubectl.attempt("create", "--dry-run=server", "-f", "-", stdin=probe),
        lambda tried: (
            tried.returncode == 0 if corejobs else f"exceeded quota: {QUOTA}" in tried.stderr
        ),
        what="the quota is in force",
    )


@pytest.fixture(autouse=True)
def no_quota(kubectl: Kubectl) -> Iterator[None]:
    yield
    kubectl("delete", "resourcequota", QUOTA, "--ignore-not-found")


def test_an_enqueue_beyond_the_quota_is_429_with_the_words_of_the_api_server(
    rest: Rest, kubectl: Kubectl
):
    set_quota(kubectl, 0)
    body = {"qual_name": SLEEPY, "args": {"sleep": 701}}
    response = rest.call("POST", "job", json=body)
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0
    assert f"exceeded quota: {QUOTA}" in response.json()["error"]
    assert rest.queue() == []
    set_quota(kubectl, ROOM)
    # The claim of the first request does not interfere.
    rest.enqueue(SLEEPY, sleep=701)


def test_a_restart_beyond_the_quota_is_carried_out_once_there_is_room(rest: Rest, kubectl: Kubectl):
    job_id = rest.enqueue(SLEEPY, sleep=702)
    rest.kill(job_id)
    set_quota(kubectl, 0)
    path, body = f"job/restart/{job_id}", {"follow": False}
    response = rest.call("PUT", path, json=body)
    assert response.status_code == 429
    assert f"exceeded quota: {QUOTA}" in response.json()["error"]
    child = kubectl.json("get", "corejob", job_id)["spec"]["childId"]
    assert f"job [{child}], the restart of job [{job_id}]" in response.json()["error"]
    set_quota(kubectl, ROOM)
    # The operator may have been faster; then the old one is a past job like any other.
    again = rest.call("PUT", path, json=body)
    assert again.status_code == 404 or again.json()["data"] == child
    rest.wait_known(child)
    assert rest.detail(child)["enqueued"]["parent_id"] == job_id


async def _contend(kubeconfig: Path, namespace: str, stop: Event) -> None:
    """Write the quota as fast as possible, so that other writers conflict with an older version."""

    async def write(kube: Kube, key: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            body = {"metadata": {"annotations": {key: str(number)}}}
            await kube.patch(QUOTAS, namespace, QUOTA, body, manager="test")

    configuration = Configuration()
    await load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    async with Kube(configuration, user_agent="test") as kube:
        await asyncio.gather(*(write(kube, f"writer-{number}") for number in range(8)))


def test_a_contended_quota_costs_time_and_no_job(provider: Provider, rest: Rest, kubectl: Kubectl):
    set_quota(kubectl, ROOM)
    stop = Event()

    def enqueue(number: int) -> requests.Response:
        args = {"sleep": 710 + number, "max_parallel": 1}
        body: dict[str, Any] = {"qual_name": SLEEPY, "args": args, "follow": False}
        return rest.call("POST", "job", json=body)

    with ThreadPoolExecutor(9) as pool:
        contending = pool.submit(
            asyncio.run, _contend(provider.kubeconfig, kubectl.namespace, stop)
        )
        try:
            answers = list(pool.map(enqueue, range(24)))
        finally:
            # The pool ends with the contention, also after a failed request.
            stop.set()
        contending.result()
    assert {answer.status_code for answer in answers} <= {200, 503}
    for answer in answers:
        if answer.status_code == 503:
            assert "resourcequotas" in answer.json()["error"]
            assert int(answer.headers["Retry-After"]) > 0
    made = {answer.json()["data"] for answer in answers if answer.status_code == 200}
    assert made == {row["_id"] for row in rest.queue()}
