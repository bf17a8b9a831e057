"""Writes are counted from the API server's audit log, each by its author."""

import json
from collections import Counter

import pytest
from tests.bench.audit import AuditLog, Mark, Write


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


def whole(log):
    return Mark(log.mark().file, 0)


def rotate(log, moment):
    """Rename the log as the API server does, and begin a new one."""
    log.path.rename(log.path.with_name(f"audit-2026-11-29T{moment}.000.log"))
    log.path.write_text("")


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
    assert log.writes(whole(log), "a") == Counter({Write(actor, "patch", "pods"): 1})


def test_only_what_follows_the_mark_in_the_namespace_and_succeeded(log):
    add(log, line())
    since = log.mark()
    add(log, line(sub="status"), line(sub="status"), line(ns="b"), line(code=409))
    assert log.writes(since, "a") == Counter({Write("kwok", "patch", "pods/status"): 2})


def test_a_dry_run_writes_nothing(log):
    event = json.loads(line()) | {"requestURI": "/api/v1/namespaces/a/pods?dryRun=All"}
    add(log, json.dumps(event) + "\n")
    assert log.writes(whole(log), "a").total() == 0


def test_a_line_that_is_being_written_is_left_out(log):
    add(log, line(), line()[:40])
    assert log.writes(whole(log), "a").total() == 1


def test_the_rest_of_a_rotated_log_is_read_from_its_backup(log):
    add(log, line(), line())
    since = log.mark()
    add(log, line(verb="create"))
    rotate(log, "10-00-00")
    add(log, line(verb="delete"))
    assert log.writes(since, "a") == Counter(
        {Write("kwok", "create", "pods"): 1, Write("kwok", "delete", "pods"): 1}
    )


def test_all_backups_after_the_mark_are_read_and_none_before(log):
    add(log, line(verb="patch"))
    rotate(log, "10-00-00")
    since = log.mark()
    for number, verb in enumerate(("create", "update", "delete")):
        add(log, line(verb=verb))
        rotate(log, f"10-00-0{number + 1}")
    assert sorted(write.verb for write in log.writes(since, "a")) == ["create", "delete", "update"]


def test_a_log_whose_backup_is_gone_is_an_error(log):
    since = log.mark()
    rotate(log, "10-00-00")
    next(log.path.parent.glob("audit-*.log")).unlink()
    with pytest.raises(AssertionError, match="rotated"):
        log.writes(since, "a")
