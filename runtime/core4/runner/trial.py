"""Run one trial: read the description, load the class, execute the job, report the result."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import threading

from core4.error import CoreJobDeferred, CoreJobKilled
from core4.queue.context import JobContext
from core4.runner import loading, outcome
from core4.runner.capture import Capture
from core4.runner.ending import Ending
from core4.runner.interrupt import DEFAULT_GRACE, Interrupt
from core4.runner.outcome import Outcome
from core4.runner.reports import WireReports
from core4.runner.wire import Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from core4.queue.job import CoreJob


def run() -> NoReturn:
    """Run the trial that the environment describes, then end the process."""
    real_stdout, real_stderr = os.dup(1), os.dup(2)
    try:
        _run_captured(real_stdout, real_stderr)
    except BaseException:
        # Write an error of the runner itself to the real stderr, not into its own pipe.
        os.dup2(real_stderr, 2)
        raise


def _run_captured(real_stdout: int, real_stderr: int) -> NoReturn:
    interrupt = Interrupt()
    wire = Wire(real_stdout, interrupt)
    ending = Ending(wire, Capture(wire), interrupt)
    _report_crashes(real_stderr)
    try:
        interrupt.install(grace=_grace(), give_up=ending.give_up)
        result = _run(wire, ending, interrupt)
    except CoreJobKilled:
        # The signal arrived between two steps.
        result = outcome.killed()
    ending.finish(result)


def _run(wire: Wire, ending: Ending, interrupt: Interrupt) -> Outcome:
    name = "?"
    try:
        context = JobContext(loading.read_document(os.environ))
        name = context.qual_name
        loading.use_working_directory()
        job_class = loading.load_class(name)
    except Exception as error:
        message = f"can't load job class [{name}]: {error}"
        wire.send_texts("log", "message", [message], {"level": "CRITICAL"})
        return outcome.unloadable(error.__cause__ or error)

    context.reports = WireReports(wire)
    wire.send("log", {"level": "INFO", "message": "start execution"})
    # Import this after `start execution` is written, since it imports logging, but before the job
    # has threads: a child forked while another thread imports would deadlock on the import lock.
    import core4.runner.records  # noqa: F401, PLC0415

    try:
        _execute(job_class, context, ending)
        interrupt.disarm()
    except BaseException as error:
        ending.leave_child(error)
        _wind_up(wait=not isinstance(error, CoreJobKilled))
        interrupt.disarm()
        return _result(error, context, ending, interrupt)
    return outcome.complete()


def _execute(job_class: type[CoreJob], context: JobContext, ending: Ending) -> None:
    job = job_class.create(context)
    ending.job = job
    job.execute(**context.args)
    ending.leave_child(None)
    _wind_up(wait=True)


def _wind_up(*, wait: bool) -> None:
    """Do what Python does at exit while the job's reports are still written.

    Args:
        wait: True to wait for the job's threads; False for a job that was killed.
    """
    if wait:
        with contextlib.suppress(Exception):
            _wait_for_threads()
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()


def _wait_for_threads() -> None:
    """Wait for the job's threads, as Python does at exit.

    Python's own function is not used, since some versions of it swallow the interrupt.
    """
    # These calls stop the idle threads of executors; without them, joining would never return.
    for call in reversed(getattr(threading, "_threading_atexits", [])):
        call()
    main = threading.main_thread()
    while threads := [t for t in threading.enumerate() if not t.daemon and t is not main]:
        for thread in threads:
            thread.join()


def _result(
    error: BaseException, context: JobContext, ending: Ending, interrupt: Interrupt
) -> Outcome:
    if isinstance(error, CoreJobDeferred):
        left = outcome.seconds_left(context, ending.elapsed)
        return outcome.deferred(error, seconds_left=left)
    # An exception while the job is being stopped (a subprocess that died) is not a failure.
    if interrupt.requested or isinstance(error, CoreJobKilled):
        return outcome.killed()
    if isinstance(error, SystemExit) and not error.code:
        return outcome.complete()
    return outcome.failed(error, attempts_left=context.attempts_left)


def _grace() -> float:
    try:
        return float(os.environ["CORE4_GRACE_SECONDS"])
    except (KeyError, ValueError):
        return DEFAULT_GRACE


def _report_crashes(fd: int) -> None:
    """Write the stack to the pod's log, beside the protocol, if the interpreter crashes."""
    with contextlib.suppress(Exception):
        faulthandler.enable(fd)
