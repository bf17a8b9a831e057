"""Runs the real runner in a process of its own, as a pod does."""

import compileall
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import core4

MAX_LINE = 1_048_576
# Ends a test that hangs; no passing test waits for it.
DEADLINE = 45

HEADER = """
import os, signal, subprocess, sys, threading, time
from core4.queue.job import CoreJob
"""


@dataclass
class Result:
    """The results of a trial; the constructor checks the rules that hold for every trial."""

    code: int
    raw: bytes
    stderr: bytes
    termination: dict[str, Any] | None
    lines: list[dict[str, Any]] = field(init=False)

    def __post_init__(self):
        assert self.raw.endswith(b"\n"), self.stderr
        rows = self.raw[:-1].split(b"\n")
        assert all(row.startswith(b'{"core4": 1, ') for row in rows)
        assert max(map(len, rows)) <= MAX_LINE
        # As strict as any reader: UTF-8, no NaN.
        self.lines = [json.loads(row.decode(), parse_constant=pytest.fail) for row in rows]
        for line in self.lines:
            json.dumps(line, ensure_ascii=False).encode()
        assert [line["n"] for line in self.lines] == list(range(1, len(rows) + 1))
        assert [line["type"] for line in self.lines].count("done") == 1
        assert self.lines[-1]["type"] == "done"

    def of(self, kind):
        """Return all lines of a type."""
        return [line for line in self.lines if line["type"] == kind]

    @property
    def messages(self):
        """The log without its first and last message."""
        messages = [line["message"] for line in self.of("log")]
        assert messages[0] == "start execution"
        assert messages[-1].startswith("done execution with [")
        return messages[1:-1]

    @property
    def closing(self):
        """The log's last line."""
        return self.of("log")[-1]

    @property
    def ending(self):
        """The closing message, with 0 for the seconds, which vary on a busy machine."""
        return re.sub(r"after \[\d+\] sec", "after [0] sec", self.closing["message"])

    @property
    def done(self):
        """The `done` line."""
        return self.lines[-1]

    def output(self, stream="stdout"):
        """The lines that the job printed."""
        return [line["text"] for line in self.of("output") if line["stream"] == stream]


class Runner:
    """Starts trials of jobs whose source a test gives."""

    def __init__(self, path: Path):
        self.path = path
        self.termination_log = path / "termination-log"
        self.stderr = path / "stderr"
        self.processes: list[subprocess.Popen] = []

    def write(self, source, name="some_jobs"):
        """Write a module."""
        (self.path / f"{name}.py").write_text(HEADER + textwrap.dedent(source))

    def write_job(self, body, *, attributes=""):
        """Write a module with a job whose method `execute(self, **kwargs)` has this body."""
        source = f"""
class Job(CoreJob):
    author = "test"
    {attributes}
    def execute(self, **kwargs):
{textwrap.indent(textwrap.dedent(body), " " * 8)}
"""
        self.write(source)

    def start(self, qual_name="some_jobs.Job", *, args=None, env=None, **document):
        """Start a trial."""
        job = {
            "id": "6743" * 6,
            "qualName": qual_name,
            "args": args or {},
            "trial": 1,
            "attempts": 1,
            "attemptsLeft": 1,
            "progressIntervalSeconds": 5,
            "deferUntil": None,
            "deferMaxSeconds": 3600,
            "enqueued": {"at": "2026-11-24T03:00:00", "username": "admin"},
            "username": "admin",
            "cookie": {},
            "sources": [],
            **document,
        }
        environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith("CORE4_")},
            "PYTHONPATH": str(self.path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CORE4_JOB": json.dumps(job),
            "CORE4_TERMINATION_LOG": str(self.termination_log),
            **(env or {}),
        }
        with self.stderr.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "core4", "run"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env={k: v for k, v in environ.items() if v is not None},
                cwd=self.path,
            )
        self.processes.append(process)
        return process

    def finish(self, process, seen=b""):
        """Wait for a trial's end."""
        # Not communicate(): it would skip what read_until() has in its buffer.
        timer = threading.Timer(DEADLINE, process.kill)
        timer.start()
        out = process.stdout.read()
        process.wait()
        timer.cancel()
        termination = None
        with contextlib.suppress(FileNotFoundError):
            data = self.termination_log.read_bytes()
            assert len(data) <= 4096
            termination = json.loads(data)
        return Result(process.returncode, seen + out, self.stderr.read_bytes(), termination)

    def run(self, qual_name="some_jobs.Job", **kwargs):
        """Run a trial to its end."""
        return self.finish(self.start(qual_name, **kwargs))

    def run_body(self, body, *, attributes="", **kwargs):
        """Write a job and run a trial of it."""
        self.write_job(body, attributes=attributes)
        return self.run(**kwargs)

    def read_until(self, process, text):
        """Read the trial's lines until one has the text."""
        seen = b""
        for line in process.stdout:
            seen += line
            if text.encode() in line:
                return seen
        raise AssertionError(f"{text} never came: {seen.decode()} {self.stderr.read_bytes()!r}")

    def terminate(self, body, *, when="ready", **kwargs):
        """Run a job, and send SIGTERM when it prints the text."""
        self.write_job(body)
        process = self.start(**kwargs)
        seen = self.read_until(process, when)
        process.send_signal(signal.SIGTERM)
        return self.finish(process, seen)


@pytest.fixture(scope="session", autouse=True)
def _compiled():
    """Compile the runtime once, since the trials write no bytecode."""
    compileall.compile_dir(Path(core4.__file__).parent, quiet=1)


@pytest.fixture
def runner(tmp_path):
    runner = Runner(tmp_path)
    yield runner
    for process in runner.processes:
        process.kill()
        assert process.stdin
        assert process.stdout
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.stdout.close()
        process.wait()
