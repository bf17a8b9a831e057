"""Plain Kubernetes by its REST API: create a Job, watch its pod, follow its log.

The requests are those of `kubectl create` and `kubectl logs -f`, without the start of kubectl.
"""

import contextlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import requests
from kubernetes.client import Configuration
from kubernetes.config import load_kube_config
from tests.support.jobs import DUMMY
from tests.support.kubectl import Kubectl

_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Cluster:
    """A connection to the API server, for one namespace.

    Attributes:
        image: The service's image, in which jobs run.
        pull_policy: Its pull policy.
    """

    host: str
    namespace: str
    image: str
    pull_policy: str
    session: requests.Session

    @classmethod
    @contextlib.contextmanager
    def connect(cls, kubectl: Kubectl, deployment: str) -> Iterator["Cluster"]:
        """Connect as kubectl does; take the image from the deployment."""
        settings = Configuration()
        load_kube_config(
            config_file=str(kubectl.provider.kubeconfig), client_configuration=settings
        )
        container = kubectl.json("get", deployment)["spec"]["template"]["spec"]["containers"][0]
        with requests.Session() as session:
            session.trust_env = False
            session.verify = settings.ssl_ca_cert if settings.verify_ssl else False
            if settings.cert_file:
                session.cert = (settings.cert_file, settings.key_file)
            session.headers.update(
                {item["key"]: item["value"] for item in settings.auth_settings().values()}
            )
            host = settings.host.rstrip("/")
            image, policy = container["image"], container["imagePullPolicy"]
            yield cls(host, kubectl.namespace, image, policy, session)

    def create_job(self, args: dict[str, Any], qual_name: str = DUMMY) -> str:
        """Create a Job that runs a job's class once, as the operator would; return its name."""
        name = f"bench-{uuid.uuid4().hex[:12]}"
        url = f"{self.host}/apis/batch/v1/namespaces/{self.namespace}/jobs"
        self._checked(
            self.session.post(url, json=self._job(name, args, qual_name), timeout=_SECONDS)
        )
        return name

    def delete_job(self, name: str) -> None:
        """Delete a Job and its pod."""
        url = f"{self.host}/apis/batch/v1/namespaces/{self.namespace}/jobs/{name}"
        body = {"propagationPolicy": "Background"}
        self._checked(self.session.delete(url, json=body, timeout=_SECONDS))

    def started_pod(self, job: str) -> str:
        """Watch until the container of the Job's pod has started; return the pod's name."""
        url = f"{self.host}/api/v1/namespaces/{self.namespace}/pods"
        params = {"watch": "true", "labelSelector": f"batch.kubernetes.io/job-name={job}"}
        with self.session.get(url, params=params, stream=True, timeout=_SECONDS) as response:
            self._checked(response)
            for line in whole_lines(response):
                pod = json.loads(line)["object"]
                if _has_started(pod):
                    name: str = pod["metadata"]["name"]
                    return name
        raise AssertionError(f"the watch ended before the pod of the Job {job} started")

    def delete_pod(self, name: str) -> None:
        """Delete a pod, with its own grace period."""
        url = f"{self.host}/api/v1/namespaces/{self.namespace}/pods/{name}"
        self._checked(self.session.delete(url, timeout=_SECONDS))

    def first_line(self, pod: str) -> str:
        """Follow the log of a pod; return its first line when it arrives."""
        return self.line(pod, "")

    def line(self, pod: str, text: str) -> str:
        """Follow the log of a pod until a line contains `text`; return the line."""
        url = f"{self.host}/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        params = {"follow": "true"}
        with self.session.get(url, params=params, stream=True, timeout=_SECONDS) as response:
            self._checked(response)
            for line in whole_lines(response):
                if text in line.decode():
                    return line.decode()
        raise AssertionError(f"the pod {pod} did not write {text!r}")

    def text(self, path: str) -> str:
        """Send a request to the API server, and return the body as text."""
        response = self.session.get(f"{self.host}{path}", timeout=_SECONDS)
        self._checked(response)
        return response.text

    @staticmethod
    def _checked(response: requests.Response) -> None:
        assert response.ok, f"{response.url}: {response.status_code} {response.text}"

    def _job(self, name: str, args: dict[str, Any], qual_name: str) -> dict[str, Any]:
        told = {"id": "0" * 24, "qualName": qual_name, "args": args, "trial": 1}
        told |= {"attempts": 1, "attemptsLeft": 1, "progressIntervalSeconds": 5}
        container = {
            "name": "job",
            "image": self.image,
            "imagePullPolicy": self.pull_policy,
            "command": ["core4", "run"],
            "env": [{"name": "CORE4_JOB", "value": json.dumps(told)}],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }
        pod = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [container],
        }
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "core4-bench"}},
            "spec": {"backoffLimit": 0, "template": {"spec": pod}},
        }


def whole_lines(response: requests.Response) -> Iterator[bytes]:
    """Yield each line as soon as it is complete (`iter_lines` waits for a full block)."""
    buffer = b""
    for chunk in response.iter_content(chunk_size=None):
        *lines, buffer = (buffer + chunk).split(b"\n")
        yield from lines


def _has_started(pod: dict[str, Any]) -> bool:
    statuses = pod["status"].get("containerStatuses") or [{}]
    state = statuses[0].get("state") or {}
    return "running" in state or "terminated" in state
