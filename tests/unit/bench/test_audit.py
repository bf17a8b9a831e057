"""Writes are counted from the API server's audit log, each by its author."""

import json
from collections import Counter

import pytest
from tests.bench.audit import AuditLog, Write


def line(user="admin", agent="kwok/v1", verb="patch", resource="pods", *, sub="", ns="a", code=200):
    ref = {"resource": resource, "namespace": ns, "name": "x"}
    event = {
        "kind": "Event",
        "verb": verb,
        "user": {"username": user, "groups": []},
        "userAgent": agent,
        "objectRef": ref | ({"subresource": sub} if sub else {}),
        "responseStatus": {"metadata": {}, "code": code},
    }
    return json.dumps(event) + "\n"


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "audit.log"
    path.write_text("")
    return AuditLog(path)


def add(log, *lines):
    with log.path.open("a") as file:
        file.writelines(lines)


@pytest.mark.parametrize(
    ("user", "agent", "actor"),
    [
        ("admin", "kwok/v0.8.0 (linux/amd64)", "kwok"),
        ("system:serviceaccount:a:core4-api", "core4-recorder", "core4-recorder"),
        ("system:serviceaccount:kube-system:job-controller", "kcm/v1", "job-controller"),
        ("system:kube-scheduler", "kube-scheduler/v1", "kube-scheduler"),
        ("system:node:localhost", "kubelet/v1", "localhost"),
    ],
)
def test_the_actor_of_a_write(log, user, agent, actor):
    add(log, line(user, agent))
    assert log.writes(0, "a") == Counter({Write(actor, "patch", "pods"): 1})


def test_only_what_follows_the_mark_in_the_namespace_and_succeeded(log):
    add(log, line())
    since = log.mark()
    add(log, line(sub="status"), line(sub="status"), line(ns="b"), line(code=409))
    assert log.writes(since, "a") == Counter({Write("kwok", "patch", "pods/status"): 2})


def test_a_dry_run_writes_nothing(log):
    event = json.loads(line()) | {"requestURI": "/api/v1/namespaces/a/pods?dryRun=All"}
    add(log, json.dumps(event) + "\n")
    assert log.writes(0, "a").total() == 0


def test_a_line_that_is_being_written_is_left_out(log):
    add(log, line(), line()[:40])
    assert log.writes(0, "a").total() == 1


def test_a_rotated_log_is_an_error(log):
    add(log, line())
    since = log.mark()
    log.path.write_text("")
    with pytest.raises(AssertionError, match="rotated"):
        log.writes(since, "a")
