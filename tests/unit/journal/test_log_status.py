"""Reports on a log that is finalised."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.journal.test_closing import pod

from corejob_journal.recorder.ingest import unreadable
from corejob_journal.recorder.ingest.log_status import LogStatusReporter


async def test_a_late_report_does_not_take_back_that_the_log_is_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unreadable, "_AFTER_S", 0.0)
    written: list[bool] = []
    read = asyncio.Event()

    async def log_state(_read: Any) -> None:
        await read.wait()

    async def flushed(_name: str) -> None:
        # The log can't be read since a moment before its end, and the cookie takes longer.
        reporter.unreadable.failed("no such log")
        reported = asyncio.Event()
        asyncio.get_running_loop().call_later(0.0, reported.set)
        await reported.wait()

    def log(_name: str, _trial: int, _state: Any, *, complete: bool, **_more: Any) -> None:
        written.append(complete)

    services: Any = SimpleNamespace(
        commits=SimpleNamespace(call=log_state),
        cookies=SimpleNamespace(flushed=flushed),
        failing=SimpleNamespace(is_reported=lambda _: False, holds=lambda _: False),
        jobs={},
        metrics=SimpleNamespace(unreadable=lambda *_, **__: None),
        retries=SimpleNamespace(problem=lambda _: None),
        status=SimpleNamespace(log=log, overlay=lambda body: body),
    )
    reporter = LogStatusReporter(services, pod(1))
    await reporter.finalised(None, has_lines=True)
    assert reporter.unreadable.reported
    read.set()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others)
    assert written == [True]
