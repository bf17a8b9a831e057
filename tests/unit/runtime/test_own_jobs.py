"""The jobs that come with core4."""

import re

import pytest

DUMMY = "core4.queue.helper.job.example.DummyJob"
ACCEPTANCE = "core4.queue.helper.job.acceptance"


def test_dummy_job(runner):
    args = {"sleep": 0.02, "loop_time": 0.01, "logging": True, "anything": "else"}
    result = runner.run(DUMMY, args=args)
    assert result.code == 0
    first, *rest = [text for text in result.messages if not text.startswith("progress")]
    assert first == "just sleeping [0.02] seconds"
    assert rest == result.output()
    assert rest
    for number, line in enumerate(rest, 1):
        assert re.fullmatch(rf"line {number} at \d{{4}}-.*", line)
    progress = result.of("progress")
    assert {line["message"] for line in progress} == {"running"}
    assert all(0 <= line["value"] <= 1 for line in progress)


def test_dummy_job_prints_once_at_least_and_does_not_log_by_default(runner):
    result = runner.run(DUMMY, args={"sleep": -1, "loop_time": 0})
    assert len(result.output()) == 1
    assert result.messages == ["just sleeping [-1] seconds", "progress [0%] - running"]


@pytest.mark.parametrize("sleep", ["3", [1], True])
def test_dummy_job_with_a_sleep_that_is_no_number(runner, sleep):
    result = runner.run(DUMMY, args={"sleep": sleep})
    assert result.code == 1
    assert result.messages == []


def test_start_up_imports_little():
    import subprocess
    import sys

    code = "import sys, core4.runner.trial; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {"asyncio", "argparse", "dataclasses", "inspect", "logging", "pathlib", "typing"}
    slow |= {"datetime", "socket", "subprocess", "tempfile", "importlib.metadata", "ctypes"}
    # Modules that the interpreter's own start (a .pth file) imported are not ours.
    bare = "import sys; print(*sys.modules)"
    own = subprocess.run([sys.executable, "-c", bare], capture_output=True, text=True, check=True)
    assert not slow & (set(done.stdout.split()) - set(own.stdout.split()))


def test_failing(runner):
    result = runner.run(f"{ACCEPTANCE}.FailingJob", args={"message": "so"})
    assert result.done["lastError"]["exception"] == "RuntimeError('so')"


@pytest.mark.parametrize(
    ("trial", "times", "code"), [(1, 2, 75), (2, 2, 75), (3, 2, 0), (99, None, 75)]
)
def test_deferring(runner, trial, times, code):
    args = {} if times is None else {"times": times}
    assert runner.run(f"{ACCEPTANCE}.DeferringJob", trial=trial, args=args).code == code


def test_chatty(runner):
    args = {"rate": 100_000, "seconds": 0.005, "size": 50}
    result = runner.run(f"{ACCEPTANCE}.ChattyJob", args=args)
    lines = [text for text in result.messages if not text.startswith("progress")]
    assert [int(line.split()[0]) for line in lines] == list(range(1, 501))
    assert {len(line) for line in lines} == {50}


def test_printing(runner):
    result = runner.run(f"{ACCEPTANCE}.PrintingJob", args={"count": 2})
    assert sorted(result.output()) == ["stdout 1", "stdout 2", "subprocess 1", "subprocess 2"]
    assert result.output("stderr") == ["stderr 1", "stderr 2"]
    assert result.messages == ["printed [4] lines"]


def test_segment_and_memory(runner):
    assert runner.run(f"{ACCEPTANCE}.SegmentJob", args={"segment": 2}).messages == ["segment [2]"]
    result = runner.run(f"{ACCEPTANCE}.MemoryHog", args={"mb": 12})
    assert result.messages == ["holding [8] MB", "holding [16] MB"]


def test_sleepy_job_can_be_deaf(runner):
    import signal

    name = f"{ACCEPTANCE}.SleepyJob"
    process = runner.start(name, args={"sleep": 60, "ignore": True})
    runner.read_until(process, "sleeping")
    process.send_signal(signal.SIGTERM)
    assert process.poll() is None
    hearing = runner.start(name, args={"sleep": 60})
    seen = runner.read_until(hearing, "sleeping")
    hearing.send_signal(signal.SIGTERM)
    assert runner.finish(hearing, seen).code == 143
    assert process.poll() is None
