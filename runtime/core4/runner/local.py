"""The command `core4 execute`: run one trial of a job locally, with a readable log."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Any

from core4.error import CoreJobDeferred, JobDefinitionError
from core4.queue.context import JobContext, Reports
from core4.runner import loading, outcome
from core4.runner.outcome import Outcome
from core4.runner.records import JobLogger

EXIT_INTERRUPTED = 130


class TerminalReports(Reports):
    """Writes reports to standard error."""

    def logger(self, name: str) -> logging.Logger:
        """Return a logger that writes readable lines."""
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s %(message)s"))
        return JobLogger(name, handler)

    def source(self, name: str) -> None:
        """Write the source's name."""
        print(f"source [{name}]", file=sys.stderr)

    def cookie(self, key: str, value: Any) -> None:
        """Write the change, which is not stored."""
        print(f"cookie [{key}] = {json.dumps(value)}", file=sys.stderr)


def run(qual_name: str, arguments: list[str]) -> int:
    """Run one trial of a job.

    Args:
        qual_name: Module and class of the job.
        arguments: Keyword arguments, each `name=value`; a value that is not JSON is a text.

    Returns:
        The exit code, as in a pod; 130 after Ctrl-C.
    """
    reports = TerminalReports()
    log = reports.logger(qual_name)
    loading.use_working_directory()
    try:
        job_class = loading.load_class(qual_name)
        args = dict(_argument(text) for text in arguments)
    except JobDefinitionError as error:
        cause = error.__cause__
        log.critical("can't load job class [%s]: %s", qual_name, error, exc_info=cause)
        return outcome.EXIT_UNLOADABLE
    document = {"id": os.urandom(12).hex(), "qualName": qual_name, "args": args}
    context = JobContext(document, reports)
    log.info("start execution")
    start = time.monotonic()
    try:
        job = job_class.create(context)
        job.execute(**args)
        result = outcome.complete()
    except CoreJobDeferred as error:
        left = outcome.seconds_left(context, time.monotonic() - start)
        result = outcome.deferred(error, seconds_left=left)
    except KeyboardInterrupt:
        result = outcome.killed()
        result.exit_code = EXIT_INTERRUPTED
    except SystemExit as error:
        result = _failed(error, context) if error.code else outcome.complete()
    except Exception as error:
        result = _failed(error, context)
    log.log(logging.getLevelName(result.level), result.closing_line(time.monotonic() - start))
    return result.exit_code


def _failed(error: BaseException, context: JobContext) -> Outcome:
    return outcome.failed(error, attempts_left=context.attempts_left)


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise JobDefinitionError(f"expected name=value, got [{text}]")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
