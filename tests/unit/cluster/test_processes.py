"""Processes: their names, the record of them, and their end."""

import dataclasses
import os
import signal
import sys
from pathlib import Path

import pytest
from tests.cluster import processes
from tests.cluster.errors import ClusterError
from tests.support.signals import DEADLINE
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SLEEP = ("sleep", "60")


@pytest.fixture
def sleeper(tmp_path):
    item = processes.spawn("sleeper", SLEEP, tmp_path / "log", "print")
    yield item
    processes.kill([item.pid])


def test_a_started_process_has_a_session_of_its_own_and_a_log(sleeper, tmp_path):
    assert sleeper.alive()
    assert os.getsid(sleeper.pid) == sleeper.pid
    assert "sleep 60" in (tmp_path / "log").read_text()


def test_another_process_with_the_same_pid_is_not_taken_for_it(sleeper):
    assert not dataclasses.replace(sleeper, start=sleeper.start + 1).alive()
    assert not dataclasses.replace(sleeper, boot="another").alive()


def test_a_stopped_process_is_not_alive(sleeper):
    processes.stop([sleeper.pid])
    assert not sleeper.alive()
    processes.stop([sleeper.pid])


def test_a_process_that_does_not_listen_is_killed(tmp_path):
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)\n"
    argv = (sys.executable, "-c", f"{code}time.sleep(60)")
    item = processes.spawn("deaf", argv, tmp_path / "log")
    assert processes.wait(lambda: (tmp_path / "log").read_text().endswith("\n1\n"), DEADLINE)
    processes.stop([item.pid], seconds=0.1)
    assert not item.alive()


def test_a_zombie_counts_as_gone(sleeper):
    os.kill(sleeper.pid, signal.SIGKILL)
    assert processes.wait(lambda: not sleeper.alive(), DEADLINE)


def test_a_process_that_was_killed_is_not_alive_from_then_on(tmp_path):
    # A large process ends slowly, since its memory must be freed.
    code = "held = bytearray(200 << 20); print(1, flush=True); import time; time.sleep(60)"
    item = processes.spawn("large", (sys.executable, "-c", code), tmp_path / "log")
    assert processes.wait(lambda: (tmp_path / "log").read_text().endswith("\n1\n"), DEADLINE)
    assert item.alive()
    os.kill(item.pid, signal.SIGKILL)
    assert not item.alive()


def test_the_state_file_survives_rewriting(sleeper, tmp_path):
    state = processes.StateFile(tmp_path / "new" / "state.json")
    assert state.read() == {}
    state.add(sleeper)
    state.add(dataclasses.replace(sleeper, name="other"))
    assert state.read()["sleeper"] == sleeper
    state.remove("sleeper")
    assert list(state.read()) == ["other"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"processes": [{}]}', '{"processes": [1]}'])
def test_a_broken_state_file_is_an_empty_one(tmp_path, text):
    path = tmp_path / "state.json"
    path.write_text(text)
    assert processes.StateFile(path).read() == {}


def test_processes_are_found_by_program_and_folder(tmp_path):
    argv = (sys.executable, "-c", "import time; time.sleep(60)", f"--data={tmp_path}/x")
    item = processes.spawn("found", argv, tmp_path / "log")
    try:
        name = Path(sys.executable).name
        # Right after its start a process may have no arguments yet.
        until(
            lambda: processes.using(tmp_path, [name]),
            lambda found: found == [item.pid],
            what="the process is found",
            seconds=DEADLINE,
        )
        assert processes.using(tmp_path, ["etcd"]) == []
        assert processes.using(tmp_path / "x", [name]) == []
    finally:
        processes.kill([item.pid])


def test_waiting_ends_when_there_is_nothing_to_wait_for():
    assert not processes.wait(lambda: False, 60, lambda: True)
    assert not processes.wait(lambda: False, 0)
    assert processes.wait(lambda: True, 0)


def test_descendants_are_found(tmp_path):
    argv = ("sh", "-c", "sleep 60 & sleep 60 & wait")
    item = processes.spawn("family", argv, tmp_path / "log")
    try:
        assert processes.wait(lambda: len(processes.descendants([item.pid])) == 2, DEADLINE)
    finally:
        processes.kill([*processes.descendants([item.pid]), item.pid])


def test_a_program_that_ends_at_once_is_not_alive(tmp_path):
    try:
        item = processes.spawn("short", ("false",), tmp_path / "log")
    except ClusterError:
        return
    assert processes.wait(lambda: not item.alive(), DEADLINE)
