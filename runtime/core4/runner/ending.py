"""End the process exactly once, at the trial's end, at a deadline or in `os._exit`."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time

from core4.runner import outcome
from core4.runner.capture import Capture, flush
from core4.runner.outcome import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from core4.queue.job import CoreJob
    from core4.runner.interrupt import Interrupt
    from core4.runner.wire import Wire

DEFAULT_TERMINATION_LOG = "/dev/termination-log"
# Time to write the last lines of a job that did not end within its grace period.
LAST_LINES_SECONDS = 2.0
# Time for the container runtime to read the last lines.
DRAIN_SECONDS = 5.0

_exit_process = os._exit


class Ending:
    """Reports the trial's result by log, termination message and exit code; ends the process."""

    def __init__(self, wire: Wire, capture: Capture, interrupt: Interrupt) -> None:
        self.job: CoreJob | None = None
        self._wire = wire
        self._capture = capture
        self._interrupt = interrupt
        self._started = time.monotonic()
        self._pid = os.getpid()
        self._once = threading.Lock()
        self._exit_code = outcome.EXIT_KILLED
        # A job that calls `os._exit` itself still gets its output and its end written.
        os._exit = self._on_exit

    @property
    def elapsed(self) -> float:
        """Seconds since the trial began."""
        return time.monotonic() - self._started

    def finish(self, result: Outcome) -> NoReturn:
        """End the trial with this result."""
        self._interrupt.disarm()
        if not self._once.acquire(blocking=False):
            # Another thread ends the process; block this one until then.
            threading.Event().wait()
        self._exit_code = result.exit_code
        write_termination_message(result.termination_message())
        with contextlib.suppress(Exception):
            self._capture.close()
        if result.exit_code != outcome.EXIT_UNLOADABLE:
            if self.job is not None:
                with contextlib.suppress(Exception):
                    self.job.flush_progress()
            message = result.closing_line(self.elapsed)
            self._wire.send_texts("log", "message", [message], {"level": result.level})
        self._wire.send("done", result.done(), last=True)
        # Now that the number of the last line is known, the recorder can tell if it is missing.
        write_termination_message(result.termination_message(self._wire.last_number))
        self._wire.drain(DRAIN_SECONDS)
        # Skip the interpreter's shutdown, which might change the exit code or hang in a library's
        # clean-up. The exit handlers have run already.
        _exit_process(result.exit_code)

    def give_up(self) -> NoReturn:
        """End a trial that did not stop after SIGTERM, even if its last lines can't be written."""
        threading.Thread(target=self.finish, args=(outcome.killed(),), daemon=True).start()
        time.sleep(LAST_LINES_SECONDS)
        _exit_process(self._exit_code)

    def leave_child(self, error: BaseException | None) -> None:
        """End a forked child that returned from the job's code; only the parent reports a result.

        Does nothing in the parent.

        Args:
            error: The exception that the job's code raised; None if it returned.
        """
        if os.getpid() == self._pid:
            return
        code = 0 if error is None else 1
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif error is not None:
            sys.excepthook(type(error), error, error.__traceback__)
        flush()
        _exit_process(code)

    def _on_exit(self, status: int) -> NoReturn:
        if os.getpid() != self._pid:
            _exit_process(status)
        attempts_left = 1 if self.job is None else self.job.attempts_left
        error = SystemExit(status)
        self.finish(
            outcome.failed(error, attempts_left=attempts_left) if status else outcome.complete()
        )


def write_termination_message(message: bytes) -> None:
    """Write the termination message; outside Kubernetes its file is missing, which is ignored."""
    path = os.environ.get("CORE4_TERMINATION_LOG")
    # The kubelet has created the default file; a configured path may not exist yet.
    flags = os.O_WRONLY | os.O_CLOEXEC | (os.O_CREAT if path else 0)
    with contextlib.suppress(OSError):
        fd = os.open(path or DEFAULT_TERMINATION_LOG, flags, 0o644)
        # Cut afterwards: a process that is killed in between leaves a message, not an empty file.
        os.write(fd, message)
        os.ftruncate(fd, len(message))
        os.close(fd)
