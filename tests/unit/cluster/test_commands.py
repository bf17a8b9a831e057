"""Programs that are run: their start, their environment, their end; and errors of the machine."""

import os
import pwd
import signal
import subprocess
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from tests.cluster import cache, cli, commands, kubeconfig, processes
from tests.cluster.commands import environment, run, run_visibly
from tests.cluster.deploy import ROOT
from tests.cluster.errors import ClusterError
from tests.cluster.output import Heartbeat
from tests.support.signals import DEADLINE

# A compiler that notes its pid and takes its time.
SLOW_GO = """\
#!/bin/sh
if [ "$1" = env ]; then echo go1.26.8; exit; fi
echo $$ > "$RECORD.new"; mv "$RECORD.new" "$RECORD"
exec sleep 60
"""
# `nohup make test` ignores SIGHUP, and so would each process of a test.
AS_IN_A_TERMINAL = """\
import runpy, signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
runpy.run_module("tests.cluster", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("content", ["", "\x7fELF half"])
def test_a_program_that_cannot_be_started_is_an_error(tmp_path, content):
    program = tmp_path / "program"
    program.write_text(content)
    program.chmod(0o755 if content else 0o644)
    for call in (
        lambda: run([program]),
        lambda: run_visibly("task", [program]),
        lambda: processes.spawn("name", [str(program)], tmp_path / "log"),
    ):
        with pytest.raises(ClusterError, match=f"{program} can't be started"):
            call()


def test_a_service_that_is_not_installed_is_an_error(tmp_path):
    with pytest.raises(ClusterError, match="no-such-program is not installed"):
        processes.spawn("name", ["no-such-program"], tmp_path / "log")


class OutputEndsTheTime(Heartbeat):
    """A time that is over once there is output, which a busy machine may have late."""

    elapsed = 0.0

    def beat(self, detail):
        if "words" in detail:
            self.elapsed = 2.0


def test_a_long_program_has_a_deadline_too(monkeypatch):
    monkeypatch.setattr(commands, "Heartbeat", OutputEndsTheTime)
    # This sleeps longer than a test may take, so the program must be ended.
    with pytest.raises(ClusterError, match=r"no end after 1 s: sh.*\n    words"):
        run_visibly("task", ["sh", "-c", "echo words; exec sleep 600"], timeout=1)


def test_programs_have_a_home_even_if_we_have_none(monkeypatch):
    monkeypatch.delenv("HOME")
    assert environment()["HOME"] == pwd.getpwuid(os.getuid()).pw_dir
    monkeypatch.setenv("HOME", "/some/home")
    assert environment()["HOME"] == "/some/home"


def test_a_user_without_a_home_is_told_to_name_a_folder(monkeypatch):
    def nobody(_):
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(ClusterError, match="CORE4_CACHE"):
        cache.cache_dir({})


def test_a_cache_that_cannot_be_written_is_an_error_with_its_name(monkeypatch, tmp_path, capsys):
    place = tmp_path / "file"
    place.touch()
    monkeypatch.setenv("CORE4_CACHE", str(place))
    assert cli.main(["binary", "helm"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert f"{place}; CORE4_CACHE names another folder" in said


def test_a_full_disk_is_an_error_with_what_can_be_deleted(monkeypatch, tmp_path, capsys):
    def full(_):
        raise OSError(28, "No space left on device", "file")

    monkeypatch.setenv("CORE4_CACHE", str(tmp_path))
    monkeypatch.setattr(cli, "_run", full)
    assert cli.main(["status"]) == 1
    assert f"{tmp_path} (`make clean-all`)" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_compilation_ends_with_the_command_that_has_started_it(tmp_path, number):
    record, go = tmp_path / "record", tmp_path / "go"
    go.write_text(SLOW_GO)
    go.chmod(0o755)
    names = {"RECORD": str(record), "CORE4_CACHE": str(tmp_path / "cache")}
    path = f"{tmp_path}:{os.environ['PATH']}"
    argv = [sys.executable, "-c", AS_IN_A_TERMINAL, "binary", "helm"]
    with subprocess.Popen(argv, cwd=ROOT, env={**os.environ, **names, "PATH": path}) as process:
        assert processes.wait(record.exists, 60)
        pid = int(record.read_text())
        process.send_signal(number)
        assert process.wait(DEADLINE) == 128 + number
        assert processes.wait(lambda: processes.start_time(pid) is None, DEADLINE)


TIDY = 'trap "sleep 1; touch done; exit" TERM; touch begun; while :; do sleep 0.1; done'


@pytest.fixture
def interrupt(monkeypatch, tmp_path):
    """Return a function that sends a signal, whose handler raises, once the program runs."""

    def send():
        assert processes.wait((tmp_path / "begun").exists, DEADLINE)
        os.kill(os.getpid(), signal.SIGUSR1)

    def raise_interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "_PATIENCE", DEADLINE)
    before = signal.signal(signal.SIGUSR1, raise_interrupt)
    yield send
    assert signal.signal(signal.SIGUSR1, before) is raise_interrupt


def test_an_interrupted_program_may_tidy_up(tmp_path, interrupt):
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(["sh", "-c", TIDY], cwd=tmp_path)
    finally:
        thread.join()
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("call", [run, partial(run_visibly, "task")])
def test_a_program_that_is_interrupted_at_its_start_may_tidy_up(
    monkeypatch, tmp_path, interrupt, call
):
    class Slow(subprocess.Popen):
        """A busy machine: the program runs, and its parent has not heard so yet."""

        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            interrupt()

    monkeypatch.setattr(subprocess, "Popen", Slow)
    with pytest.raises(KeyboardInterrupt):
        call(["sh", "-c", TIDY], cwd=tmp_path)
    assert (tmp_path / "done").exists()


def test_a_signal_at_the_start_of_a_program_that_is_missing_is_not_lost(monkeypatch, interrupt):
    def missing(*_, **__):
        signal.raise_signal(signal.SIGUSR1)
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "Popen", missing)
    with pytest.raises(KeyboardInterrupt):
        run(["no-such-program"])


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(kubeconfig, "_HEALTH_SECONDS", DEADLINE)
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        healthy = kubeconfig.healthy(f"http://127.0.0.1:{server.server_port}/healthz")
        server.shutdown()
    assert healthy
