"""The chart, installed, tested, upgraded and uninstalled by real helm; and the service's rights."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster import deploy
from tests.cluster.commands import run
from tests.cluster.provider import Provider
from tests.e2e.values import VALUES
from tests.support.jobs import CHATTY, DUMMY, SEGMENT, SLEEPY
from tests.support.kubectl import Kubectl
from tests.support.release import Later, Release, released
from tests.support.rest import Rest
from tests.support.waiting import until

pytestmark = pytest.mark.cluster

CONTAINERS = {"api": ("api", "recorder"), "operator": ("operator",)}
# Verb and resource that no process of the service may use.
FORBIDDEN = [
    ("get", "secrets"),
    ("list", "secrets"),
    ("create", "secrets"),
    ("list", "configmaps"),
    ("create", "pods"),
    ("create", "pods/exec"),
    ("create", "serviceaccounts"),
    ("create", "serviceaccounts/token"),
    ("create", "roles.rbac.authorization.k8s.io"),
    ("create", "rolebindings.rbac.authorization.k8s.io"),
    ("patch", "deployments.apps"),
    ("delete", "corejobtemplates.core4.io"),
    ("update", "corejobtemplates.core4.io"),
]
CLUSTER_WIDE = [
    ("list", "nodes"),
    ("list", "namespaces"),
    ("list", "persistentvolumes"),
    ("get", "customresourcedefinitions.apiextensions.k8s.io"),
]
ELSEWHERE = [
    ("list", "pods"),
    ("get", "pods/log"),
    ("list", "corejobs.core4.io"),
    ("create", "corejobs.core4.io"),
    ("create", "jobs.batch"),
    ("delete", "pods"),
]
ALLOWED = {
    "api": [("create", "corejobs.core4.io"), ("get", "pods/log")],
    "operator": [("create", "jobs.batch"), ("delete", "pods"), ("delete", "corejobs.core4.io")],
}
ONLY_THE_OTHER = {
    "api": [("create", "jobs.batch"), ("delete", "pods"), ("delete", "corejobs.core4.io")],
    "operator": [("get", "pods/log")],
}


def test_helm_test_passes(release: Release):
    release.wait_ready()
    assert "Succeeded" in release.helm("test", "core4")


@pytest.mark.parametrize("component", CONTAINERS)
def test_the_rights_are_the_least(release: Release, component):
    account = f"system:serviceaccount:{release.namespace}:core4-{component}"
    here, elsewhere, whole = ["-n", release.namespace], ["-n", "default"], ["--all-namespaces"]
    denied = [(verb, what, here) for verb, what in FORBIDDEN + ONLY_THE_OTHER[component]]
    denied += [(verb, what, whole) for verb, what in CLUSTER_WIDE]
    denied += [(verb, what, elsewhere) for verb, what in ELSEWHERE]
    granted = [(verb, what, here) for verb, what in ALLOWED[component]]

    answers = reviewed(release, account, denied + granted)
    assert [item for item, allowed in answers[: len(denied)] if allowed] == []
    assert [item for item, allowed in answers[len(denied) :] if not allowed] == []


Question = tuple[str, str, list[str]]


def reviewed(
    release: Release, account: str, questions: list[Question]
) -> list[tuple[Question, bool]]:
    """Return the answers of `kubectl auth can-i`, by the same review, in one call for all."""
    reviews = [_review(account, question) for question in questions]
    whole = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    said = release.kubectl("create", "-o", "json", "-f", "-", stdin=whole)
    found = [bool(item["status"].get("allowed")) for item in documents(said)]
    return list(zip(questions, found, strict=True))


def documents(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON documents that kubectl prints one after another."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        document, end = decoder.raw_decode(text, at)
        yield document
        at = end + len(text[end:]) - len(text[end:].lstrip())


def _review(account: str, question: Question) -> dict[str, Any]:
    verb, what, where = question
    resource, _, group = what.partition(".")
    resource, _, sub = resource.partition("/")
    attributes = {"verb": verb, "resource": resource, "group": group, "subresource": sub}
    if where[0] == "-n":
        attributes["namespace"] = where[1]
    namespace = account.split(":")[2]
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    groups.append("system:authenticated")
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": account, "groups": groups, "resourceAttributes": attributes},
    }


def test_can_i_agrees_with_the_reviews(release: Release):
    account = f"--as=system:serviceaccount:{release.namespace}:core4-api"
    yes = release.kubectl.attempt("auth", "can-i", "create", "corejobs.core4.io", account)
    no = release.kubectl.attempt("auth", "can-i", "get", "secrets", account)
    assert (yes.stdout.strip(), no.stdout.strip()) == ("yes", "no")


@pytest.mark.parametrize("component", CONTAINERS)
def test_the_pods_are_locked_down(release: Release, component):
    pod = release.kubectl.json("get", "pod", release.pod(component))["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert [item["name"] for item in pod["containers"]] == list(CONTAINERS[component])
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
    assert not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
    assert not any("hostPath" in volume for volume in pod["volumes"])


@pytest.mark.parametrize(
    ("component", "container"),
    [(component, name) for component, names in CONTAINERS.items() for name in names],
)
def test_nothing_can_be_written_but_what_is_meant_to_be(release: Release, component, container):
    script = """
import os
for path in ("/", "/etc", "/usr/bin", "/opt/core4", "/root", "/tmp"):
    try:
        with open(f"{path}/written", "w"):
            print(path)
        os.unlink(f"{path}/written")
    except OSError as error:
        print(path, error.errno and "no")
print(os.getuid())
"""
    where = ["exec", release.pod(component), "-c", container, "--"]
    said = release.kubectl(*where, "python3", "-c", script).split("\n")
    assert said[:-1] == [
        "/ no",
        "/etc no",
        "/usr/bin no",
        "/opt/core4 no",
        "/root no",
        "/tmp",
        "10001",
    ]


def test_the_pod_of_a_job_is_hardened_and_has_no_token(rest: Rest, kubectl: Kubectl):
    job_id = rest.enqueue(SLEEPY, sleep=600)
    rest.wait_state(job_id, "running")
    pod = kubectl.items("pods", "-l", f"core4.io/corejob={job_id}")[0]["spec"]
    assert pod["automountServiceAccountToken"] is False
    context = pod["containers"][0]["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    mounts = pod["containers"][0].get("volumeMounts", [])
    assert not any("serviceaccount" in mount["mountPath"] for mount in mounts)


@pytest.fixture
def fresh(provider: Provider, image: str, later: Later) -> Iterator[Release]:
    """A release in which no job has run yet."""
    with released(provider, image, VALUES, later=later) as installed:
        yield installed


def test_install_upgrade_uninstall(fresh: Release):
    label = "pod-security.kubernetes.io/enforce=restricted"
    argv = ["label", "--dry-run=server", "--overwrite", "namespace", fresh.namespace, label]
    checked = fresh.kubectl.attempt(*argv)
    assert checked.returncode == 0
    assert "Warning" not in checked.stdout + checked.stderr

    with fresh.rest() as rest:
        running = rest.enqueue(SLEEPY, sleep=600)
        past = rest.enqueue(SEGMENT, segment=1)
        rest.wait_state(past, "complete")
        rest.wait_journaled(past)
        rest.wait_state(running, "running")
        log = rest.whole_log(past)
        secret = fresh.kubectl.json("get", "secret", "core4-users")["data"]["jwt-secret"]

    changed = VALUES | {
        "jobs": VALUES["jobs"] | {"maxParallel": 1, "namespaceLimit": 2},
        "auth": {
            "users": [
                {"name": "admin", "password": "other", "role": ["admin"]},
                {"name": "generated", "role": ["admin"]},
            ]
        },
    }
    fresh.upgrade(changed)
    with fresh.rest() as old, fresh.rest("admin", "other") as rest:
        old.refused(401, "GET", "job")
        assert rest.detail(running)["state"] == "running"
        assert rest.detail(past)["journal"] is True
        assert rest.log(past) == log
        secrets = fresh.kubectl.json("get", "secret", "core4-users")["data"]
        # A key that was given once and is not given now is kept.
        assert secrets["jwt-secret"] == secret
        assert secrets["generated-password"]
        # The operator uses the new limits.
        second = rest.enqueue(SLEEPY, sleep=601)
        rest.wait(second, lambda row: row["reason"] == "MaxParallel", what="waits for the first")
        other = rest.enqueue(SEGMENT, segment=2, sleep=600)
        rest.wait_state(other, "running")
        third = rest.enqueue(CHATTY, seconds=600)
        held = rest.wait(third, lambda row: row["reason"] == "NamespaceLimit", what="waits for any")
        assert held["message"].startswith("2 of at most 2 jobs run in the namespace")
        with rest.follow(running) as stream:
            stream.line("sleeping [600] seconds")
        assert stream.messages.count("start execution") == 1

    fresh.uninstall()
    left = fresh.kubectl.items("corejobs")
    assert {running, second} <= {item["metadata"]["name"] for item in left}
    assert [item["metadata"].get("finalizers") for item in left] == [None] * len(left)
    for kind in ("deployments", "services", "roles", "rolebindings", "secrets", "serviceaccounts"):
        found = fresh.kubectl.items(kind, "-l", "app.kubernetes.io/part-of=core4")
        assert found == [], kind
    fresh.kubectl("delete", "corejobs", "--all", "--timeout=110s")
    until(
        lambda: fresh.kubectl.items("pods", "-l", "core4.io/corejob"),
        lambda pods: not pods,
        what="the pods of the jobs are gone with them",
        seconds=180,
    )


def test_values_that_are_no_values_are_refused(release: Release):
    provider = release.provider
    chart = ["template", "core4", str(deploy.CHART), "--set", "jobs.maxParalel=3"]
    said = run([provider.binary("helm"), *chart], check=False)
    assert said.returncode != 0
    assert "maxParalel" in said.stderr


def test_the_catalogue_has_the_example_by_itself(rest: Rest, kubectl: Kubectl):
    rows = rest.data("GET", "job/list", search="dummy")
    assert [(row["_id"], row["author"]) for row in rows] == [(DUMMY, "mra")]
    found = kubectl.json("get", "corejobtemplate", DUMMY.lower())
    assert found["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
