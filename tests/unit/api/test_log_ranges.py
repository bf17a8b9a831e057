"""`from`, `before`, `around` and `limit`; ids only; counts by level; the log as text."""

import asyncio
from collections.abc import Callable
from itertools import product
from typing import Any

import httpx
import pytest
from tests.unit.api.conftest import LEVELS_OF_100, Record, enqueue, stream

from corejob_api.logs.text import LogText
from corejob_api.query import log_scan
from corejob_api.query.log_filter import EVERYTHING
from corejob_api.query.scans import Scans
from corejob_journal.store import Store, StoreUnavailable
from corejob_journal.store.records import NewGap

ALL = range(1, 101)

Test = Callable[[int], bool]


async def answer_of(client: httpx.AsyncClient, job_id: str, **arguments: Any) -> dict[str, Any]:
    answer = await client.get(f"job/log/{job_id}", params=arguments)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ids_of(answer: dict[str, Any]) -> list[int]:
    return [int(row["_id"]) for row in answer["data"]]


WHERE: list[tuple[dict[str, Any], Test]] = [
    ({}, lambda _: True),
    ({"level": "ERROR"}, lambda n: n % 5 >= 3),
    ({"since": "50"}, lambda n: n >= 50),
    ({"grep": "rest 3$"}, lambda n: n % 7 == 3),
    (
        {"grep": "rest [34]$", "level": "40", "since": 20},
        lambda n: n % 7 in {3, 4} and n % 5 >= 3 and n >= 20,
    ),
    ({"grep": "no such text"}, lambda _: False),
]


@pytest.mark.parametrize(("where", "test"), WHERE)
async def test_ranges(
    client: httpx.AsyncClient,
    log_of_100: str,
    where: dict[str, Any],
    test: Test,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for slice_of, number, limit in product(
        (7, 20_000), (1, 2, 50, 101, 2**63 - 1), (1, 2, 9, 1000)
    ):
        monkeypatch.setattr(log_scan, "SLICE", slice_of)
        earlier = [n for n in ALL if n < number and test(n)]
        later = [n for n in ALL if n >= number and test(n)]
        half = earlier[-(limit // 2) :] if limit > 1 else []
        expected = {
            "from": later[:limit],
            "before": earlier[-limit:],
            "around": half + later[: limit - len(half)],
        }
        for anchor, numbers in expected.items():
            answer = await answer_of(client, log_of_100, limit=limit, **{anchor: number}, **where)
            assert ids_of(answer) == numbers, (slice_of, anchor, number, limit)
            assert answer["last_id"] == "000000000100"
            assert answer["per_page"] == limit
            assert answer["count"] == len(numbers)
            assert answer["total_count"] is answer["page"] is answer["page_count"] is None


async def test_a_range_takes_the_id_of_a_record(client: httpx.AsyncClient, log_of_100: str) -> None:
    answer = await answer_of(client, log_of_100, **{"from": "000000000042", "limit": 1})
    assert ids_of(answer) == [42]


async def test_a_range_has_100_records(client: httpx.AsyncClient, log_of_100: str) -> None:
    assert ids_of(await answer_of(client, log_of_100, **{"from": 1})) == [*ALL]


async def test_an_empty_log_has_no_last_id(client: httpx.AsyncClient) -> None:
    answer = await answer_of(client, await enqueue(client), around=1)
    assert (answer["data"], answer["last_id"]) == ([], None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"from": 0}, "[from] must be at least 1, got [0]"),
        ({"before": -3}, "[before] must be at least 1"),
        ({"around": "middle"}, "[around] expected as_type [int]"),
        ({"from": 1, "limit": 0}, "[limit] must be at least 1"),
        ({"from": 1, "limit": 10_001}, "[limit] must be at most 10000"),
        ({"limit": 5}, "[limit] needs one of from, before, around"),
        ({"from": 1, "around": 2}, "[from] excludes [around]"),
        ({"before": 1, "page": 0}, "[before] excludes [page]"),
        ({"around": 1, "sort": "epoch"}, "[around] excludes [sort]"),
        ({"from": 1, "filter": "{}"}, "[from] excludes [filter]"),
        ({"from": 1, "tail": 3}, "[from] excludes [tail]"),
        ({"from": 1, "follow": "true"}, "[from] is not for streams"),
        ({"count_levels": "true", "follow": "true"}, "[count_levels] is not for streams"),
        ({"limit": 5, "follow": "true"}, "or use level, grep, since, trial, tail, output, last"),
        ({"format": "text", "follow": "true"}, "[format] is not for streams"),
        ({"format": "pdf"}, "[format] must be text or json"),
        ({"format": "text", "page": 1}, "excludes parameter [page]"),
        ({"format": "text", "ids_only": "true"}, "excludes parameter [ids_only]"),
        ({"ids_only": "maybe"}, "[ids_only] expected as_type [bool]"),
    ],
)
async def test_bad_ones_are_named(
    client: httpx.AsyncClient, log_of_100: str, arguments: dict[str, Any], words: str
) -> None:
    answer = await client.get(f"job/log/{log_of_100}", params=arguments)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]


async def test_ids_only(client: httpx.AsyncClient, log_of_100: str) -> None:
    page = await answer_of(client, log_of_100, grep="rest 0", ids_only=True, per_page=3, page=1)
    assert page["data"] == ["000000000028", "000000000035", "000000000042"]
    assert (page["total_count"], page["page_count"]) == (14, 5)
    newest = await answer_of(
        client, log_of_100, ids_only=True, per_page=2, sort='[["_id", -1]]', level="ERROR"
    )
    assert newest["data"] == ["000000000099", "000000000098"]
    chosen = await answer_of(client, log_of_100, before=10, limit=2, ids_only=True)
    assert chosen["data"] == ["000000000008", "000000000009"]


LEVELS: list[tuple[dict[str, Any], Test]] = [
    *WHERE,
    ({"tail": 13}, lambda n: n > 87),
    ({"filter": '{"levelno": {"$in": [10, 50]}}'}, lambda n: n % 5 in {0, 4}),
    ({"sort": "message", "level": "WARNING"}, lambda n: n % 5 >= 2),
    ({"around": 50, "limit": 2, "grep": "rest 3$"}, lambda n: n % 7 == 3),
]


@pytest.mark.parametrize(("where", "test"), LEVELS)
@pytest.mark.parametrize("slice_of", [7, 20_000])
async def test_counts_by_level(
    client: httpx.AsyncClient,
    log_of_100: str,
    where: dict[str, Any],
    test: Test,
    slice_of: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_scan, "SLICE", slice_of)
    answer = await answer_of(client, log_of_100, count_levels=True, **where)
    numbers = [LEVELS_OF_100[n % 5] for n in ALL if test(n)]
    names = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
    assert answer["levels"] == {name: numbers.count(no) for name, no in names.items()}


async def test_levels_are_not_counted_unasked(client: httpx.AsyncClient, log_of_100: str) -> None:
    assert "levels" not in await answer_of(client, log_of_100)


@pytest.mark.parametrize("by_header", [True, False])
async def test_text(client: httpx.AsyncClient, log_of_100: str, by_header: bool) -> None:
    headers = {"Accept": "text/plain"} if by_header else {}
    params = {} if by_header else {"format": "text"}
    answer = await client.get(f"job/log/{log_of_100}", params=params, headers=headers)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{log_of_100}.log"'
    lines = answer.text.splitlines()
    assert len(lines) == 100
    assert lines[0] == "1970-01-01T00:00:01 INFO     1 rest 1"
    assert lines[98] == "1970-01-01T00:01:39 CRITICAL 99 rest 1"


async def test_json_is_what_other_clients_get(client: httpx.AsyncClient, log_of_100: str) -> None:
    for accept in ("*/*", "application/json, text/plain, */*", "text/html,*/*;q=0.8"):
        answer = await client.get(f"job/log/{log_of_100}", headers={"Accept": accept})
        assert answer.json()["total_count"] == 100, accept
    headers = {"Accept": "text/plain"}
    answer = await client.get(f"job/log/{log_of_100}", headers=headers, params={"format": "json"})
    assert answer.json()["total_count"] == 100


@pytest.mark.parametrize(
    ("accept", "is_text"),
    [
        ("text/plain", True),
        ("text/plain;charset=utf-8", True),
        ("text/plain, */*", True),
        ("text/plain, application/json;q=0.9", True),
        ("text/plain, application/json", False),
        ("application/json, text/plain, */*", False),
        ("text/plain;q=0.5, */*", False),
        ("text/plain;q=0", False),
        ("text/*", False),
        ("*/*", False),
    ],
)
async def test_the_header_counts_if_it_names_text(
    client: httpx.AsyncClient, log_of_100: str, accept: str, is_text: bool
) -> None:
    answer = await client.get(f"job/log/{log_of_100}", headers={"Accept": accept})
    kind = "text/plain" if is_text else "application/json"
    assert answer.headers["Content-Type"].startswith(kind)


@pytest.mark.parametrize(
    "params",
    [{"page": 0}, {"per_page": 5}, {"sort": "_id"}, {"filter": "{}"}, {"from": 1}, {"order": 1}],
)
async def test_the_header_makes_no_file_of_a_page_or_range(
    client: httpx.AsyncClient, log_of_100: str, params: dict[str, Any]
) -> None:
    headers = {"Accept": "text/plain"}
    answer = await client.get(f"job/log/{log_of_100}", params=params, headers=headers)
    assert answer.status_code == 200
    assert answer.json()["count"] > 0


@pytest.mark.parametrize(
    ("params", "words"),
    [
        *(
            ({"follow": "true", name: value}, f"parameter [{name}] is not for streams")
            for name, value in (
                ("filter", '{"level": "ERROR"}'), ("filter", "{bad"), ("order", "-1"),
                ("sort", "_id"), ("sort", "5"),
            )
        ),
        ({"follow": "true", "per_page": 0}, "parameter [per_page] must be at least 1"),
        ({"follow": "true", "page": "x"}, "parameter [page] expected as_type [int]"),
        *(
            ({"last_event_id": "000000000004", **more}, "parameter [last_event_id] is for streams")
            for more in ({}, {"follow": "false"}, {"format": "text"}, {"from": 1})
        ),
        ({"last_event_id": "x"}, "Last-Event-ID"),
    ],
)  # fmt: skip
async def test_what_a_log_would_not_use_is_refused(
    client: httpx.AsyncClient, log_of_100: str, params: dict[str, Any], words: str
) -> None:
    answer = await client.get(f"job/log/{log_of_100}", params=params)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


async def test_what_scripts_and_browsers_send_always_is_tolerated(
    client: httpx.AsyncClient, log_of_100: str
) -> None:
    path = f"job/log/{log_of_100}"
    answer = await client.get(path, headers={"Last-Event-ID": "000000000004"})
    assert answer.json()["total_count"] == 100
    assert (await client.get(path, params={"last_event_id": ""})).json()["total_count"] == 100


async def test_a_stream_tolerates_the_page_that_core4_scripts_send(
    caller: httpx.AsyncClient, record: Record
) -> None:
    job_id = await enqueue(caller)
    await (await record(job_id)).log("one", "two")
    params = {"follow": "true", "page": 1, "per_page": 1}
    async with stream(caller, "GET", f"job/log/{job_id}", params=params) as frames:
        assert [data["message"] for _, data in await frames.take(2)] == ["one", "two"]


@pytest.mark.parametrize(("where", "test"), [*WHERE, ({"tail": 7}, lambda n: n > 93)])
@pytest.mark.parametrize("slice_of", [7, 20_000])
async def test_filtered_text(
    client: httpx.AsyncClient,
    log_of_100: str,
    where: dict[str, Any],
    test: Test,
    slice_of: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_scan, "SLICE", slice_of)
    answer = await client.get(f"job/log/{log_of_100}", params={"format": "text", **where})
    found = [int(line.split()[2]) for line in answer.text.splitlines()]
    assert found == [n for n in ALL if test(n)]


async def test_text_has_gaps_and_every_line_of_a_message(
    client: httpx.AsyncClient, record: Record
) -> None:
    job_id = await enqueue(client)
    recorder = await record(job_id)
    await recorder.log("a", "b\nb2")
    await recorder.log("c ✅", gap=NewGap(7, 9, "the node was lost"))
    await recorder.log(gap=NewGap(None, None, "rotated away"))
    answer = await client.get(f"job/log/{job_id}", params={"format": "text"})
    assert answer.text == (
        "1970-01-01T00:00:01.500000 INFO     a\n"
        "1970-01-01T00:00:01.500000 INFO     b\nb2\n"
        "-- lines 7 to 9 are missing here: the node was lost --\n"
        "1970-01-01T00:00:01.500000 INFO     c ✅\n"
        "-- lines are missing here: rotated away --\n"
    )
    tail = await client.get(f"job/log/{job_id}", params={"format": "text", "tail": 1})
    assert tail.text.splitlines()[1:] == answer.text.splitlines()[4:]


async def test_text_of_a_job_that_is_not_there(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"job/log/{'0' * 24}", params={"format": "text"})
    assert answer.status_code == 404


class Failing:
    """A store whose first reads fail."""

    def __init__(self, store: Store, failures: int) -> None:
        self._store = store
        self.failures = failures

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def call(*args: Any, **named: Any) -> Any:
            if self.failures > 0:
                self.failures -= 1
                raise StoreUnavailable("locked")
            return await method(*args, **named)

        return call


async def _nothing() -> Any:
    await asyncio.Event().wait()


async def test_a_download_waits_for_a_store_that_is_away(
    client: httpx.AsyncClient, log_of_100: str, store_url: str
) -> None:
    store = await Store.open(store_url)
    failing: Any = Failing(store, 2)
    text = LogText(failing, Scans().of("admin"), log_of_100, EVERYTHING, _nothing)
    assert b"".join([piece async for piece in text]).count(b"\n") == 100
    assert failing.failures == 0
    await text.close()
    await store.close()


async def test_a_download_is_cut_if_the_store_stays_away(log_of_100: str, store_url: str) -> None:
    store = await Store.open(store_url)
    failing: Any = Failing(store, 1000)
    text = LogText(failing, Scans().of("admin"), log_of_100, EVERYTHING, _nothing, patience=0)
    with pytest.raises(StoreUnavailable):
        await anext(text)
    await text.close()
    await store.close()


async def test_a_download_ends_with_its_client(log_of_100: str, store_url: str) -> None:
    store = await Store.open(store_url)
    gone = asyncio.Event()

    async def receive() -> Any:
        await gone.wait()
        return {"type": "http.disconnect"}

    text = LogText(store, Scans().of("admin"), log_of_100, EVERYTHING, receive)
    assert await anext(text)
    gone.set()
    async for _ in text:
        pass
    await text.close()
    await store.close()
