"""SIGTERM: the job's `finally` blocks run, and the process ends in any case."""

import os
import signal
import textwrap
import threading

import pytest
from tests.support.signals import DEADLINE
from tests.support.waiting import let_pass, until

from core4.runner import interrupt

KILLED = "done execution with [killed] after [0] sec."
# A busy machine may need longer for the last lines than a trial that is to end has.
PATIENT = f"from core4.runner import ending; ending.LAST_LINES_SECONDS = {DEADLINE}\n"


def check_killed(result):
    assert result.code == 143
    assert result.closing["level"] == "ERROR"
    assert result.ending == KILLED
    assert result.done["state"] == result.termination["state"] == "killed"
    assert result.termination["lastError"]["exception"] == "JobKilledByWorker"
    assert result.termination["lastError"]["traceback"] is None


@pytest.mark.parametrize(
    "wait",
    [
        "signal.pause()",
        "time.sleep(60)",
        "threading.Event().wait()",
        "sys.stdin.readline()",
        "subprocess.run(['sleep', '60'])",
        "while True: self.logger.debug('busy')",
        "while True: print('busy')",
        "while True: self.progress(0.5)",
    ],
)
def test_finally_blocks_run(runner, wait):
    body = f"""
    try:
        self.logger.info("ready")
        {wait}
    except Exception:
        self.logger.info("taken for an error")
    finally:
        print("printed at the end")
        self.logger.info("cleaned up")
    """
    result = runner.terminate(body)
    check_killed(result)
    assert "cleaned up" in result.messages
    assert "taken for an error" not in result.messages
    # An interrupted print may lack its line end.
    assert result.output()[-1].endswith("printed at the end")


def test_asyncio(runner):
    body = """
    import asyncio
    async def main():
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)
        try:
            self.logger.info("ready")
            await asyncio.sleep(60)
        finally:
            self.logger.info("cleaned up")
    asyncio.run(main())
    """
    result = runner.terminate(body)
    check_killed(result)
    assert result.messages == ["ready", "cleaned up"]


def test_error_while_stopping_is_no_failure(runner):
    body = """
    try:
        self.logger.info("ready")
        signal.pause()
    finally:
        raise ValueError("since the job was stopped")
    """
    check_killed(runner.terminate(body))


def test_job_that_finishes_its_work_is_complete(runner):
    body = """
    try:
        self.logger.info("ready")
        signal.pause()
    except BaseException:
        self.logger.info("saved what there was")
    """
    result = runner.terminate(body)
    assert (result.code, result.done["state"]) == (0, "complete")


def test_job_that_defers_when_stopped(runner):
    body = """
    try:
        self.logger.info("ready")
        signal.pause()
    except BaseException:
        self.defer("interrupted")
    """
    assert runner.terminate(body).code == 75


def test_while_the_module_is_imported(runner):
    runner.write("print('ready'); signal.pause()")
    process = runner.start()
    seen = runner.read_until(process, "ready")
    process.send_signal(signal.SIGTERM)
    result = runner.finish(process, seen)
    assert result.code == 143
    (line,) = result.of("log")
    assert (line, result.ending) == (result.closing, KILLED)


def test_signal_that_does_not_wake_the_main_thread(runner):
    # If another thread takes the signal, the main thread stays in its system call.
    body = """
    def take():
        asleep = 0
        while asleep < 50:
            with open(f"/proc/self/task/{os.getpid()}/stat") as file:
                asleep = asleep + 1 if file.read().split(")")[1].split()[0] == "S" else 0
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    try:
        threading.Thread(target=take).start()
        while True: signal.pause()
    finally:
        self.logger.info("cleaned up")
    """
    result = runner.run_body(body, env={"CORE4_GRACE_SECONDS": "600"})
    check_killed(result)
    assert result.messages == ["cleaned up"]


def test_while_threads_are_waited_for(runner):
    body = """
    def work():
        self.logger.info("ready")
        time.sleep(60)
    threading.Thread(target=work).start()
    """
    check_killed(runner.terminate(body))


STUBBORN = {
    # The main thread is in C code that does not check for signals.
    "C code": """
        import hashlib
        self.logger.info("ready")
        hashlib.pbkdf2_hmac("sha256", b"x", b"x", 10**9)
    """,
    "swallows it": """
        self.logger.info("ready")
        while True:
            try: signal.pause()
            except BaseException: pass
    """,
    "own handler": """
        signal.signal(signal.SIGTERM, lambda *args: None)
        self.logger.info("ready")
        while True: signal.pause()
    """,
    "own wake-up descriptor": """
        signal.set_wakeup_fd(-1)
        self.logger.info("ready")
        while True:
            try: signal.pause()
            except BaseException: pass
    """,
}


@pytest.mark.parametrize("body", STUBBORN.values(), ids=STUBBORN.keys())
def test_deadline(runner, body):
    body = PATIENT + textwrap.dedent(body)
    check_killed(runner.terminate(body, env={"CORE4_GRACE_SECONDS": "0.2"}))


def test_second_signal_ends_the_clean_up(runner):
    body = """
    try:
        self.logger.info("ready")
        signal.pause()
    finally:
        self.logger.info("cleaning up")
        while True: signal.pause()
    """
    runner.write_job(PATIENT + textwrap.dedent(body))
    process = runner.start(env={"CORE4_GRACE_SECONDS": "600"})
    seen = runner.read_until(process, "ready")
    process.send_signal(signal.SIGTERM)
    seen += runner.read_until(process, "cleaning up")
    process.send_signal(signal.SIGTERM)
    check_killed(runner.finish(process, seen))


def test_second_signal_counts_while_a_repetition_of_the_first_is_pending(monkeypatch):
    # The main thread has no processor, so that it hears the repetitions late, and as one.
    monkeypatch.setattr(interrupt, "FIRST_POKE", 0)
    watched = interrupt.Interrupt()
    watched._reader, watched._writer = os.pipe()
    pokes: list[int] = []
    over = threading.Event()

    def poke():
        pokes.append(1)
        return True

    monkeypatch.setattr(watched, "_poke", poke)
    sent = bytes([signal.SIGTERM])
    thread = threading.Thread(target=watched._watch, args=(2 * DEADLINE, over.set), daemon=True)
    thread.start()
    os.write(watched._writer, sent)
    until(lambda: pokes, what="the first signal is repeated", seconds=DEADLINE)
    let_pass(0.1)
    os.write(watched._writer, sent + sent)
    assert over.wait(DEADLINE)
    assert len(pokes) == 1
    thread.join()
    os.close(watched._reader)
    os.close(watched._writer)


def test_signals_in_a_storm_of_lines(runner):
    # An interrupt within a write must leave neither half a line nor a gap; Result checks it.
    body = """
    def chat():
        while True: self.logger.debug("thread " + "x" * 50_000)
    threading.Thread(target=chat, daemon=True).start()
    self.logger.info("ready")
    while True: self.logger.debug("main " + "x" * 50_000)
    """
    for _ in range(3):
        assert runner.terminate(body).code == 143
