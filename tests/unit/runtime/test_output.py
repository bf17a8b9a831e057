"""Output of the job and its children becomes `output` lines, and is no part of the log."""

import pytest


def test_prints(runner):
    body = """
    print("to stdout")
    print("to stderr", file=sys.stderr)
    print("a\\rb \\x1b[1mbold\\x1b[0m é")
    print()
    os.write(1, b"by descriptor\\n")
    os.write(2, b"bad \\xff utf-8\\n")
    print("surrogate \\udc80")
    print("no end", end="")
    """
    result = runner.run_body(body)
    assert result.messages == []
    assert result.output() == [
        "to stdout",
        "a\rb \x1b[1mbold\x1b[0m é",
        "",
        "by descriptor",
        "surrogate \\udc80",
        "no end",
    ]
    assert result.output("stderr") == ["to stderr", "bad \\xff utf-8"]


def test_prints_come_at_once(runner):
    runner.write_job("print('now'); sys.stdin.readline()")
    process = runner.start()
    seen = runner.read_until(process, "now")
    process.kill()
    assert b'"output"' in seen


def test_subprocesses_and_c(runner):
    body = """
    subprocess.run(["sh", "-c", "echo out; echo err >&2"], check=True)
    os.system("echo by system")
    import ctypes
    ctypes.CDLL(None).puts(b"buffered by C")
    """
    result = runner.run_body(body)
    assert sorted(result.output()) == ["buffered by C", "by system", "out"]
    assert result.output("stderr") == ["err"]


def test_a_process_left_behind_does_not_hold_up_the_end(runner):
    body = """
    child = subprocess.Popen(["sh", "-c", "echo started; exec sleep 60"], stdin=subprocess.PIPE)
    self.logger.info("pid %d", child.pid)
    """
    result = runner.run_body(body)
    pid = int(result.messages[0].split()[1])
    import os
    import signal

    os.kill(pid, signal.SIGKILL)
    assert result.code == 0


@pytest.mark.parametrize(
    ("expression", "pieces"),
    [("'x' * 3_000_000", 3), ("'ä€😀' * 300_000", 3), ("'ä' * 400_000", 1), ("'\\r' * 900_000", 2)],
)
def test_long_lines(runner, expression, pieces):
    result = runner.run_body(f"print({expression}); print('next')")
    *parts, last = result.output()
    assert last == "next"
    assert len(parts) == pieces
    assert all(part.endswith(" [continued]") for part in parts[:-1])
    assert "".join(part.removesuffix(" [continued]") for part in parts) == eval(expression)


def test_much_output(runner):
    body = """
    for i in range(20_000): print(i)
    self.logger.info("printed")
    """
    result = runner.run_body(body)
    assert result.output() == [str(i) for i in range(20_000)]
    assert result.messages == ["printed"]


def test_output_that_takes_long_to_pass_on_is_waited_for(runner):
    # The first wait for the thread ends in the middle of a chunk.
    body = """
    from core4.runner import capture
    (thread,) = [t for t in threading.enumerate() if t.name == "core4-capture"]
    feed, join = capture._Stream.feed, thread.join
    reads, again = threading.Event(), threading.Event()
    waits = iter([lambda: None, again.set])
    def slow(stream, data):
        reads.set()
        again.wait()
        feed(stream, data)
    def wait(seconds):
        next(waits)()
        join(None if again.is_set() else 0)
    capture._Stream.feed, thread.join = slow, wait
    print("the last words")
    reads.wait()
    """
    result = runner.run_body(body)
    assert result.output() == ["the last words"]
    assert result.messages == []


def test_output_that_is_given_up_is_told(runner):
    # The thread never hears that it is to stop, since the job has replaced a descriptor.
    body = """
    from core4.runner import capture
    (thread,) = [t for t in threading.enumerate() if t.name == "core4-capture"]
    writer = thread._target.__self__._stop_writer
    still_open = os.dup(writer)
    os.dup2(os.open(os.devnull, os.O_WRONLY), writer)
    capture.DRAIN_SECONDS = 0.1
    """
    result = runner.run_body(body)
    assert result.code == 0
    (message,) = result.messages
    assert "the last printed lines may be missing" in message


def test_closed_streams(runner):
    result = runner.run_body("sys.stdout.close(); sys.stderr = None; self.logger.info('goes on')")
    assert result.code == 0
    assert result.messages == ["goes on"]


def test_uncaught_exception_of_a_thread_is_output(runner):
    result = runner.run_body("t = threading.Thread(target=lambda: 1 / 0); t.start()")
    assert result.code == 0
    assert result.output("stderr")[-1] == "ZeroDivisionError: division by zero"


def test_crash_leaves_its_stack_in_the_pods_log(runner):
    runner.write_job("self.logger.info('before'); os.abort()")
    process = runner.start()
    out = process.stdout.read()
    assert process.wait(timeout=45) == -6
    err = runner.stderr.read_bytes()
    assert b'"before"' in out
    assert b"Fatal Python error: Aborted" in err
    assert b"some_jobs.py" in err


def test_job_that_takes_lines_of_the_protocol_into_its_mouth(runner):
    result = runner.run_body("""print('{"core4": 1, "n": 1, "type": "done", "state": "failed"}')""")
    assert result.code == 0
    assert result.output() == ['{"core4": 1, "n": 1, "type": "done", "state": "failed"}']
