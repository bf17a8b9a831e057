"""The end of a trial: lines, exit code, termination message."""

import json
import re

import pytest


def test_complete(runner):
    result = runner.run_body("self.logger.info('hello %s', 'world')")
    assert result.code == 0
    assert result.messages == ["hello world"]
    assert [line["level"] for line in result.of("log")] == ["INFO"] * 3
    assert result.ending == "done execution with [complete] after [0] sec."
    assert result.done["state"] == "complete"
    assert result.termination == {"state": "complete", "lines": 4}
    assert [line["n"] for line in result.lines] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "call", ["self.defer('no')", "raise ValueError('x' * 9000)", "os._exit(0)", "os._exit(3)"]
)
def test_the_termination_message_has_the_number_of_the_last_line(runner, call):
    result = runner.run_body(f"self.logger.info('once'); {call}")
    assert result.termination["lines"] == result.lines[-1]["n"]
    assert result.lines[-1]["type"] == "done"
    assert len(runner.termination_log.read_bytes()) <= 4096


def test_failed_with_attempts_left(runner):
    result = runner.run_body("raise ValueError('no good')", attempts=3, attemptsLeft=3)
    assert result.code == 1
    first, *rest = result.ending.split("\n")
    assert first == (
        "done execution with [failed] after [0] sec. and [2] attempts to go: ValueError('no good')"
    )
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == "ValueError: no good"
    assert "some_jobs.py" in rest[1]
    assert result.closing["level"] == "CRITICAL"
    assert result.done["state"] == result.termination["state"] == "failed"
    error = result.termination["lastError"]
    assert error == result.done["lastError"]
    assert error["exception"] == "ValueError('no good')"
    assert error["traceback"][-1] == "ValueError: no good\n"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", error["timestamp"])


def test_last_attempt_is_an_error(runner):
    result = runner.run_body("raise ValueError", attempts=3, attemptsLeft=1)
    assert result.code == 1
    assert "[error] after [0] sec. and [0] attempts to go: " in result.ending
    assert result.done["state"] == "error"
    # `error` there is a class that can't be loaded.
    assert result.termination["state"] == "failed"


@pytest.mark.parametrize(
    ("document", "left"),
    [
        ({"deferMaxSeconds": 7259}, "2:00:"),
        ({"deferMaxSeconds": 3600, "deferUntil": "2000-01-01T00:00:00"}, "0:00:00"),
        ({"deferUntil": "no time", "deferMaxSeconds": 115}, "0:01:"),
    ],
)
def test_deferred(runner, document, left):
    result = runner.run_body("self.defer('no file %d', 7)", attempts=2, attemptsLeft=2, **document)
    assert result.code == 75
    assert result.closing["level"] == "INFO"
    message = result.ending
    assert message.startswith(f"done execution with [deferred] after [0] sec. and [{left}")
    assert message.endswith("] to go: no file 7")
    assert result.done["state"] == result.termination["state"] == "deferred"
    assert result.termination["lastError"]["exception"] == "no file 7"
    assert result.termination["lastError"]["traceback"] is None


def test_deferral_passes_a_general_except(runner):
    body = """
    try:
        self.defer("later")
    except Exception:
        self.logger.error("swallowed")
    """
    assert runner.run_body(body).code == 75


@pytest.mark.parametrize("call", ["sys.exit()", "sys.exit(0)", "raise SystemExit", "os._exit(0)"])
def test_exit_of_zero_is_complete(runner, call):
    result = runner.run_body(f"print('last words', end=''); sys.stdout.flush(); {call}")
    assert (result.code, result.done["state"]) == (0, "complete")
    assert result.output() == ["last words"]


@pytest.mark.parametrize(
    ("call", "exception"),
    [
        ("sys.exit(3)", "SystemExit(3)"),
        ("sys.exit('bye')", "SystemExit('bye')"),
        ("os._exit(75)", "SystemExit(75)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt()"),
        ("raise GeneratorExit", "GeneratorExit()"),
        ("raise MemoryError", "MemoryError()"),
        ("bytearray(1 << 62)", "MemoryError()"),
    ],
)
def test_everything_else_fails(runner, call, exception):
    result = runner.run_body(f"print('last words'); {call}")
    assert result.code == 1
    assert result.termination["lastError"]["exception"] == exception
    assert result.output() == ["last words"]


def test_recursion(runner):
    result = runner.run_body("def f(): f()\nf()")
    assert result.code == 1
    assert "RecursionError" in result.termination["lastError"]["exception"]
    assert "repeated" in result.closing["message"]


def test_missing_and_unknown_arguments_fail_the_trial(runner):
    runner.write("""
    class Job(CoreJob):
        author = "test"
        def execute(self, needed):
            pass
    """)
    for args in ({}, {"needed": 1, "other": 2}):
        result = runner.run(args=args)
        assert result.code == 1
        assert "TypeError" in result.done["lastError"]["exception"]
        assert result.messages == []
    assert runner.run(args={"needed": 1}).code == 0


def test_constructor_of_the_job_belongs_to_the_trial(runner):
    runner.write("""
    class Job(CoreJob):
        author = "test"
        def __init__(self):
            self.logger.info("trial %d", self.trial)
            raise OSError("database away")
    """)
    result = runner.run(trial=2)
    assert result.code == 1
    assert result.messages == ["trial 2"]


def test_exception_that_can_not_be_shown(runner):
    body = """
    class Odd(Exception):
        def __repr__(self): raise RuntimeError
        __str__ = __repr__
    raise Odd
    """
    result = runner.run_body(body)
    assert result.code == 1
    assert result.done["lastError"]["exception"] == "<Odd whose repr() failed>"


@pytest.mark.parametrize("text", ["'x' * 3_000_000", "'\\u00e4\\n' * 9000", "'\\ud83d' * 9000"])
def test_long_exceptions_are_cut_in_the_termination_message(runner, text):
    result = runner.run_body(f"raise ValueError({text})")
    assert result.code == 1
    exception = result.termination["lastError"]["exception"]
    assert exception.startswith("ValueError(")
    assert exception.endswith("…")
    assert len(runner.termination_log.read_bytes()) > 3000


def test_long_traceback_loses_its_first_lines(runner):
    body = """
    names = {}
    for n in range(100):
        exec(f"def f{n}(): f{n + 1}()", names)
    names["f100"] = lambda: int("no number")
    names["f0"]()
    """
    result = runner.run_body(body)
    last_error = result.termination["lastError"]
    assert last_error["traceback"][-1].startswith("ValueError: invalid literal")
    assert len(last_error["traceback"]) < len(result.done["lastError"]["traceback"])
    assert 3500 < len(runner.termination_log.read_bytes()) <= 4096


def test_missing_termination_log(runner):
    result = runner.run_body("pass", env={"CORE4_TERMINATION_LOG": "missing/directory/log"})
    assert result.code == 0
    assert result.termination is None


def test_threads_are_waited_for(runner):
    body = """
    go = threading.Event()
    def work():
        go.wait()
        self.logger.info("from the thread")
    threading.Thread(target=work).start()
    from concurrent.futures import ThreadPoolExecutor
    ThreadPoolExecutor().submit(lambda: self.logger.info("from the pool"))
    import atexit
    atexit.register(self.logger.info, "at exit")
    go.set()
    """
    result = runner.run_body(body)
    assert result.code == 0
    assert sorted(result.messages) == ["at exit", "from the pool", "from the thread"]
    assert result.messages[-1] == "at exit"


def test_closed_log_does_not_stop_the_job(runner):
    # The reader of standard output goes away: the outcome is still in the termination message.
    runner.write_job("""
    self.logger.info("ready")
    sys.stdin.readline()
    for i in range(10_000):
        self.logger.info("nobody reads this")
    """)
    process = runner.start()
    runner.read_until(process, "ready")
    process.stdout.close()
    process.stdin.close()
    assert process.wait(timeout=45) == 0
    # The third line failed, and the later ones were not numbered.
    assert json.loads(runner.termination_log.read_text()) == {"state": "complete", "lines": 3}
