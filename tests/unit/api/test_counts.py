"""The queue's counts over time: a row for each change, and a row for each step of a period."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import tests.unit.api.conftest as surroundings
from tests.support.fake_apiserver.server import FakeApiServer
from tests.unit.api.conftest import CHEAP, RunningApi, running

from corejob import timestamps
from corejob_api.counts import history
from corejob_api.http.arguments import Arguments
from corejob_api.http.errors import ApiError
from corejob_journal.store import Writer
from corejob_journal.store.records import AddCount

BEGAN = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = 60, 3600, 86_400
ALL = {"startDate": "2026-11-01", "endDate": "2026-12-01"}


def at(seconds: float, began: datetime = BEGAN) -> datetime:
    return began + timedelta(seconds=seconds)


async def write(writer: Writer, counts: Mapping[datetime, Mapping[str, int]]) -> None:
    await writer.commit([AddCount(when.timestamp(), states) for when, states in counts.items()])


async def get(client: httpx.AsyncClient, path: str, **arguments: Any) -> dict[str, Any]:
    answer = await client.get(path, params=arguments)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def refused(client: httpx.AsyncClient, path: str, **arguments: Any) -> str:
    answer = await client.get(path, params=arguments)
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"])


def totals(body: Mapping[str, Any]) -> list[int]:
    return [row["total"] for row in body["data"]]


# --- a row for each change ----------------------------------------------------------------------


async def test_nothing_was_counted_yet(client: httpx.AsyncClient) -> None:
    body = await get(client, "jobs/history")
    assert (body["data"], body["total_count"], body["page_count"]) == ([], 0, 0)
    body = await get(client, "queue/history")
    assert (body["data"], body["total_count"], body["page_count"]) == ([], 0, 0)


async def test_a_row_has_the_states_that_there_were(
    client: httpx.AsyncClient, writer: Writer
) -> None:
    counts = {at(0.25): {"pending": 2, "running": 1}, at(60): {}, at(61): {"error": 1}}
    await write(writer, counts)
    body = await get(client, "jobs/history")
    assert body["data"] == [
        {"created": "2026-11-24T12:01:01", "total": 1, "error": 1},
        {"created": "2026-11-24T12:01:00", "total": 0},
        {"created": "2026-11-24T12:00:00.250000", "total": 3, "pending": 2, "running": 1},
    ]


async def test_pages_of_changes(client: httpx.AsyncClient, writer: Writer) -> None:
    await write(writer, {at(number): {"pending": number} for number in range(1, 26)})
    body = await get(client, "jobs/history")
    paging = {key: body[key] for key in ("page", "page_count", "per_page", "count", "total_count")}
    assert paging == {"page": 0, "page_count": 3, "per_page": 10, "count": 10, "total_count": 25}
    assert totals(body) == list(range(25, 15, -1))
    last = await get(client, "jobs/history", page=-1)
    assert (last["page"], totals(last)) == (2, [5, 4, 3, 2, 1])
    assert totals(await get(client, "jobs/history", sort=1, per_page=3, page=1)) == [4, 5, 6]
    assert totals(await get(client, "jobs/history", sort=-1, per_page=2)) == [25, 24]
    assert totals(await get(client, "jobs/history", page=99)) == []
    body = {"sort": 1, "per_page": 1}
    assert totals((await client.request("GET", "jobs/history", json=body)).json()) == [1]


async def test_changes_that_fit_a_filter(client: httpx.AsyncClient, writer: Writer) -> None:
    counts = {
        at(n): {"pending": n, "running": 1} if n % 2 else {"pending": n} for n in range(1, 2101)
    }
    await write(writer, counts)

    async def found(query: str, **more: Any) -> tuple[int, list[int]]:
        body = await get(client, "jobs/history", filter=query, per_page=3, **more)
        return body["total_count"], totals(body)

    assert await found('{"running": {"$gte": 1}}') == (1050, [2100, 2098, 2096])
    assert await found('{"running": {"$exists": false}}', sort=1) == (1050, [2, 4, 6])
    assert await found('{"running": 1}', page=-1) == (1050, [6, 4, 2])
    assert await found('{"total": {"$lt": 4}}', sort=1) == (2, [2, 2])
    since = timestamps.iso(at(2099))
    assert await found(f'{{"created": {{"$gte": "{since}"}}}}') == (2, [2100, 2100])
    assert await found('{"total": -1}') == (0, [])


async def test_bad_arguments_of_changes(client: httpx.AsyncClient, writer: Writer) -> None:
    for value in ("0", "2", "-2"):
        text = await refused(client, "jobs/history", sort=value)
        assert text == f"parameter [sort] must be 1 or -1, got [{value}]"
    assert await refused(client, "jobs/history", sort="created") == (
        "parameter [sort] expected as_type [int]"
    )
    assert "[per_page]" in await refused(client, "jobs/history", per_page=0)
    assert "[$no]" in await refused(client, "jobs/history", filter='{"total": {"$no": 1}}')


# --- a row for each step ------------------------------------------------------------------------


async def test_the_last_row_of_each_step(client: httpx.AsyncClient, writer: Writer) -> None:
    # A month is shown in steps of four hours.
    times = (0, HOUR, 4 * HOUR - 1, 4 * HOUR, 20 * HOUR)
    await write(writer, {at(when): {"running": n} for n, when in enumerate(times, 1)})
    body = await get(client, "queue/history", **ALL)
    assert body["data"] == [
        {"created": "2026-11-25T08:00:00", "total": 5, "running": 5},
        {"created": "2026-11-24T16:00:00", "total": 4, "running": 4},
        {"created": "2026-11-24T15:59:59", "total": 3, "running": 3},
    ]
    assert totals(await get(client, "queue/history", **ALL, sort=1)) == [3, 4, 5]


async def test_pages_of_steps(client: httpx.AsyncClient, writer: Writer) -> None:
    await write(writer, {at(n * 10.0): {"pending": n} for n in range(1, 26)})
    span = {"startDate": "2026-11-24T12:00:00", "endDate": "2026-11-24T13:00:00"}
    body = await get(client, "queue/history", **span)
    paging = {key: body[key] for key in ("page", "page_count", "per_page", "count", "total_count")}
    assert paging == {"page": 0, "page_count": 3, "per_page": 10, "count": 10, "total_count": 25}
    assert totals(body) == list(range(25, 15, -1))
    assert totals(await get(client, "queue/history", **span, page=-1)) == [5, 4, 3, 2, 1]
    body = await get(client, "queue/history", **span, perPage=4, page=1, sort=1)
    assert (body["per_page"], totals(body)) == (4, [5, 6, 7, 8])


async def test_the_span_that_is_asked_for(client: httpx.AsyncClient, writer: Writer) -> None:
    await write(writer, {at(n * 60.0): {"pending": n} for n in range(1, 11)})

    async def between(start: str, end: str) -> list[int]:
        span = {"startDate": start, "endDate": end}
        return totals(await get(client, "queue/history", **span, sort=1))

    assert await between("2026-11-24T12:02:00", "2026-11-24T12:04:00") == [2, 3, 4]
    assert await between("2026-11-24T12:02:00.000001", "2026-11-24T12:03:59.999999") == [3]
    assert await between("2026-11-24T13:02:00+01:00", "2026-11-24T12:03:00Z") == [2, 3]
    assert await between("2026-11-24T12:05:00", "2026-11-24T12:05:00") == [5]
    assert await between("2026-11-25", "2026-11-26") == []


@pytest.mark.parametrize("now", [BEGAN, datetime(2027, 1, 1, tzinfo=UTC)])
async def test_the_span_if_none_is_asked_for(
    kube: FakeApiServer, writer: Writer, store_url: str, tmp_path: Path, now: datetime
) -> None:
    midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) - timedelta(days=7)
    counts = {midnight - timedelta(seconds=1): 1, midnight: 2, now: 3, now + timedelta(hours=1): 4}
    await write(writer, {when: {"pending": n} for when, n in counts.items()})
    async with running(kube, store_url, tmp_path, now=lambda: now) as api, api.client() as client:
        assert totals(await get(client, "queue/history")) == [3, 2]
        start = timestamps.iso(midnight - timedelta(days=1))
        assert totals(await get(client, "queue/history", startDate=start)) == [3, 2, 1]
        assert totals(await get(client, "queue/history", endDate=timestamps.iso(midnight))) == [2]


@pytest.mark.parametrize("name", ["startDate", "endDate"])
@pytest.mark.parametrize(
    "text",
    ["yesterday", "", "2026-13-01", "24.11.2026", "0001-01-01T00:00:00+14:00", "1795500000.5"],
)
async def test_bad_dates(client: httpx.AsyncClient, name: str, text: str) -> None:
    found = await refused(client, "queue/history", **{name: text})
    assert found == f"parameter [{name}] expected as_type [datetime]"


async def test_bad_arguments_of_steps(client: httpx.AsyncClient) -> None:
    span = {"startDate": "2026-11-25", "endDate": "2026-11-24T23:59:59"}
    text = await refused(client, "queue/history", **span)
    assert text.startswith("parameter [startDate] must not be after [endDate]")
    assert "[startDate]" in await refused(client, "queue/history", startDate="2999-01-01")
    assert "[perPage]" in await refused(client, "queue/history", perPage=0)
    assert "[sort]" in await refused(client, "queue/history", sort=3)


@pytest.mark.parametrize(
    ("span", "step"),
    [
        (0, 10),
        (HOUR, 10),
        (4001, MINUTE),
        (6 * HOUR, MINUTE),
        (DAY, 5 * MINUTE),
        (7 * DAY, 30 * MINUTE),
        (8 * DAY - 1, 30 * MINUTE),
        (31 * DAY, 4 * HOUR),
        (365 * DAY, DAY),
        (3650 * DAY, DAY),
    ],
)
def test_the_step_fits_the_span(span: float, step: int) -> None:
    assert history.step_seconds(span) == step
    assert DAY % step == 0


def test_the_default_span_by_the_clock() -> None:
    steps = history.steps(Arguments(), lambda: at(0.5))
    assert timestamps.from_epoch(steps.start) == datetime(2026, 11, 17, tzinfo=UTC)
    assert timestamps.from_epoch(steps.end) == at(0.5)
    assert steps.seconds == 30 * MINUTE
    with pytest.raises(ApiError, match="startDate"):
        history.steps(Arguments({"endDate": "2026-11-16"}), lambda: BEGAN)


# --- permissions and errors ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["jobs/history", "queue/history"])
async def test_every_user_who_may_get_sees_the_history_of_counts(
    kube: FakeApiServer,
    writer: Writer,
    store_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    poster = {"name": "poster", "passwordHash": CHEAP.hash("poster"), "perm": ["api://core4/c"]}
    monkeypatch.setattr(surroundings, "USERS", [*surroundings.USERS, poster])
    await write(writer, {datetime.now(UTC): {"pending": 1}})
    async with running(kube, store_url, tmp_path) as api:
        # Even a user who may read no job may read the counts.
        async with api.client("reader") as client:
            assert totals(await get(client, path)) == [1]
            assert (await client.post(path)).status_code == 405
        async with api.client("poster") as client:
            assert (await client.get(path)).status_code == 403
        async with api.client(None) as client:
            assert (await client.get(f"/core4/api/v1/{path}")).status_code == 401


@pytest.mark.parametrize("path", ["jobs/history", "queue/history"])
async def test_the_store_is_away(
    kube: FakeApiServer, store_url: str, tmp_path: Path, path: str
) -> None:
    """The file does not exist before the recorder has created it."""
    async with running(kube, store_url, tmp_path) as api, api.client() as client:
        answer = await client.get(path)
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)


async def test_the_metrics_distinguish_the_routes(
    api: RunningApi, client: httpx.AsyncClient
) -> None:
    await get(client, "jobs/history")
    await get(client, "queue/history")
    text = (await api.probe("/metrics")).text
    for path in ("/jobs/history", "/queue/history"):
        assert (
            f'core4_api_request_seconds_count{{method="GET",route="{path}",status="200"}}' in text
        )
