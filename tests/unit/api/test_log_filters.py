"""`level`, `grep`, `since`, `trial`, `tail`: accepted values, and the filtered pages of a log."""

import math
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.unit.api.conftest import enqueue

from corejob_api.http.arguments import Arguments
from corejob_api.http.errors import ApiError
from corejob_api.query import log_scan
from corejob_api.query.log_filter import EVERYTHING, LogFilter
from corejob_journal.store import LogRecord


def record_of(message: str = "x", *, level: int = 20, epoch: float = 0.0, **more: Any) -> LogRecord:
    fields = {"exception": None, "hostname": None, "username": None, **more}
    return LogRecord("id", 1, 1, epoch, level, message, qual_name="a.Job", **fields)


def parsed(**arguments: Any) -> LogFilter:
    return LogFilter.of(Arguments(arguments))


@pytest.mark.parametrize(
    ("given", "level"),
    [("WARNING", 30), ("error", 40), (" debug ", 10), ("25", 25), (25, 25), ("0", 0), (None, 0)],
)
def test_a_level_is_a_name_or_a_number(given: Any, level: int) -> None:
    assert parsed(level=given).level == level


@pytest.mark.parametrize(
    ("given", "since"),
    [
        ("2026-11-24T12:00:00", 1795521600.0),
        ("2026-11-24T12:00:00Z", 1795521600.0),
        ("2026-11-24T13:00:00.5+01:00", 1795521600.5),
        ("2026-11-24", 1795478400.0),
        ("1795521600.25", 1795521600.25),
        (1795521600, 1795521600.0),
    ],
)
def test_times(given: Any, since: float) -> None:
    assert parsed(since=given).since == since


def test_nothing_given_is_everything() -> None:
    assert parsed() == parsed(level="0", grep="") == EVERYTHING
    assert not EVERYTHING.chooses
    assert not parsed(tail=3).chooses
    assert parsed(tail=0).tail == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("level", "LOUD"),
        ("level", "-1"),
        ("level", "1.5"),
        ("level", "99999"),
        ("level", ["INFO"]),
        ("since", "yesterday"),
        ("since", ""),
        ("since", "nan"),
        ("since", "inf"),
        ("since", "0001-01-01T00:00:00+23:59"),
        ("grep", "("),
        ("grep", "a(?=b)"),
        ("grep", r"(a)\1"),
        ("grep", "a" * 5000),
        ("trial", "0"),
        ("trial", "-1"),
        ("trial", "first"),
        ("trial", "1.5"),
        ("trial", "2147483648"),
        ("tail", "-1"),
        ("tail", "many"),
        ("tail", "1.5"),
    ],
)
def test_bad_ones_are_named(name: str, value: Any) -> None:
    with pytest.raises(ApiError) as caught:
        parsed(**{name: value})
    assert caught.value.status == 400
    assert f"[{name}]" in caught.value.text


def test_a_record_passes_if_it_meets_all_conditions() -> None:
    assert parsed(level="WARNING").passes(record_of(level=30))
    assert not parsed(level="WARNING").passes(record_of(level=29))
    assert parsed(since=7).passes(record_of(epoch=7.0))
    assert not parsed(since=7).passes(record_of(epoch=math.nextafter(7.0, 0)))
    assert parsed(grep="^b.r$").passes(record_of("bar"))
    assert not parsed(grep="^b.r$").passes(record_of("a bar"))
    assert not parsed(grep="bar", level="ERROR").passes(record_of("bar"))
    assert parsed(trial="1").passes(record_of())
    assert not parsed(trial=2).passes(record_of())


@pytest.mark.parametrize("pattern", ["KeyError", "line 7", "^head$"])
def test_grep_looks_into_exceptions(pattern: str) -> None:
    exception = {"info": "KeyError('x')", "text": ["Traceback", "  line 7, in f\n"]}
    assert parsed(grep=pattern).passes(record_of("head", exception=exception))
    assert not parsed(grep=pattern).passes(record_of("heads", exception={"info": None}))


def test_grep_takes_no_longer_than_its_text() -> None:
    """A backtracking engine would never finish this pattern."""
    assert not parsed(grep="(a*)*(a*)*b$").passes(record_of("a" * 100_000))


def expected(test: Callable[[int], bool]) -> list[int]:
    return [number for number in range(1, 101) if test(number)]


CASES = [
    ({"level": "WARNING"}, lambda n: n % 5 >= 2),
    ({"since": "50"}, lambda n: n >= 50),
    ({"since": "1970-01-01T00:01:00", "level": "40"}, lambda n: n >= 60 and n % 5 >= 3),
    ({"grep": "rest 3$"}, lambda n: n % 7 == 3),
    ({"grep": "rest [34]$", "level": "ERROR"}, lambda n: n % 7 in {3, 4} and n % 5 >= 3),
    ({"tail": "30"}, lambda n: n > 70),
    ({"tail": "0"}, lambda _: False),
    ({"tail": "1000"}, lambda _: True),
    ({"level": "50", "tail": "3"}, lambda n: n in {89, 94, 99}),
    ({"grep": "rest 0", "tail": "2"}, lambda n: n in {91, 98}),
    ({"level": "CRITICAL", "since": "99.5"}, lambda _: False),
    ({"filter": '{"levelno": 50}', "grep": "rest 0"}, lambda n: n % 5 == 4 and n % 7 == 0),
    ({"filter": '{"levelno": 50}', "tail": "2"}, lambda n: n in {94, 99}),
    ({"sort": "levelno", "level": "50", "tail": "2"}, lambda n: n in {94, 99}),
]


@pytest.mark.parametrize(("arguments", "test"), CASES)
@pytest.mark.parametrize("slice_of", [7, 20_000])
async def test_pages_have_every_matching_record_once(
    client: httpx.AsyncClient,
    log_of_100: str,
    arguments: dict[str, str],
    test: Callable[[int], bool],
    slice_of: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every matching record once and no other; the counts are those of matching records."""
    monkeypatch.setattr(log_scan, "SLICE", slice_of)
    monkeypatch.setattr(log_scan, "_READ", 3)
    numbers = expected(test)
    found: list[int] = []
    for page in range(len(numbers) // 10 + 1):
        asked: dict[str, Any] = {**arguments, "page": page}
        answer = (await client.get(f"job/log/{log_of_100}", params=asked)).json()
        assert answer["total_count"] == len(numbers)
        assert answer["page_count"] == -(-len(numbers) // 10)
        found += [int(row["_id"]) for row in answer["data"]]
    assert found == numbers


@pytest.mark.parametrize("slice_of", [7, 20_000])
async def test_pages_from_the_newest_on(
    client: httpx.AsyncClient, log_of_100: str, slice_of: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_scan, "SLICE", slice_of)
    found: list[int] = []
    for page in range(6):
        asked: dict[str, Any] = {
            "level": "WARNING",
            "sort": '[["_id", -1]]',
            "page": page,
            "per_page": 12,
        }
        answer = (await client.get(f"job/log/{log_of_100}", params=asked)).json()
        found += [int(row["_id"]) for row in answer["data"]]
    assert found == expected(lambda n: n % 5 >= 2)[::-1]


async def test_newest_first(client: httpx.AsyncClient, log_of_100: str) -> None:
    arguments: dict[str, Any] = {"level": "ERROR", "sort": '[["_id", -1]]', "per_page": 100}
    answer = (await client.get(f"job/log/{log_of_100}", params=arguments)).json()
    assert [int(row["_id"]) for row in answer["data"]] == expected(lambda n: n % 5 >= 3)[::-1]


async def test_they_come_as_json_too(client: httpx.AsyncClient, log_of_100: str) -> None:
    body = {"level": 50, "tail": 1}
    answer = await client.request("GET", f"job/log/{log_of_100}", json=body)
    assert [row["_id"] for row in answer.json()["data"]] == ["000000000099"]


@pytest.mark.parametrize("arguments", ["level=x", "grep=(", "since=x", "tail=x"])
async def test_bad_ones_are_refused_before_anything_is_done(
    client: httpx.AsyncClient, log_of_100: str, arguments: str
) -> None:
    name = arguments.partition("=")[0]
    bad = {"name": name, **dict([arguments.split("=")])}
    asked = [
        client.get(f"job/log/{log_of_100}?{arguments}"),
        client.get(f"job/log/{log_of_100}?follow=true&{arguments}"),
        client.get(f"job/follow/{log_of_100}?{arguments}"),
        client.post("job", json={"qual_name": "no.such.Job", **bad}),
        client.put(f"job/restart/{log_of_100}", json=bad),
    ]
    for request in asked:
        answer = await request
        assert answer.status_code == 400, answer.text
        assert f"[{name}]" in answer.json()["error"]


async def test_they_are_not_looked_at_where_nothing_is_streamed(
    client: httpx.AsyncClient,
) -> None:
    await enqueue(client, {"n": 1}, level="LOUD")
