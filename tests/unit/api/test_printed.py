"""`output=true`: what a job printed, in pages, ranges, texts and streams."""

import json
from typing import Any

import httpx
import pytest
from tests.unit.api.conftest import Record, Recorder, RunningApi, enqueue
from tests.unit.api.conftest import stream as open_stream

from corejob_api.logs import text as text_module
from corejob_api.query import log_scan
from corejob_api.streams import follower
from corejob_journal.store.records import Append, LogPosition, NewOutput, NewRecord

STORY = "oorooorrorroororooo"
"""Records (r) and printed lines (o) in the order of the pod."""


async def append(recorder: Recorder, story: str, start: int = 0) -> None:
    """Store a part of a story in one append."""
    records, outputs = [], []
    for number, kind in enumerate(story, start):
        if kind == "r":
            records.append(NewRecord(number, float(number), 20 + 10 * (number % 2), f"r{number}"))
        else:
            channel = "stderr" if number % 3 else "stdout"
            outputs.append(NewOutput(number, float(number), channel, f"o{number}", len(records)))
    expected, recorder.token = recorder.token, recorder.token + 1
    entry = Append(
        recorder.stream, expected, recorder.token, LogPosition(), records=records, outputs=outputs,
        lines=len(story),
    )  # fmt: skip
    (stored,) = await recorder.writer.commit([entry])
    assert not stored.stale


def told(story: str, start: int = 0) -> list[str]:
    return [f"{kind}{number}" for number, kind in enumerate(story, start)]


@pytest.fixture
async def job_id(client: httpx.AsyncClient, record: Record) -> str:
    """A job with the story, stored in three appends."""
    made = await enqueue(client)
    recorder = await record(made)
    for part, start in ((STORY[:7], 0), (STORY[7:9], 7), (STORY[9:], 9)):
        await append(recorder, part, start)
    return made


async def rows(client: httpx.AsyncClient, job_id: str, **more: Any) -> list[dict[str, Any]]:
    answer = await client.get(f"job/log/{job_id}", params={"output": True, **more})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


async def test_without_it_nothing_changes(client: httpx.AsyncClient, job_id: str) -> None:
    found = await rows(client, job_id, output=False)
    assert [row["message"] for row in found] == [each for each in told(STORY) if each[0] == "r"]
    assert all("output" not in row for row in found)


async def test_a_page(client: httpx.AsyncClient, job_id: str) -> None:
    found = await rows(client, job_id, per_page=100)
    assert [row["message"] for row in found] == told(STORY)
    assert [row["_id"] for row in found] == sorted(row["_id"] for row in found)
    first = found[0]
    assert (first["output"], first["level"], first["_id"]) == ("stdout", "INFO", "000000000000.1")
    reverse = await rows(client, job_id, per_page=100, sort='[["_id", -1]]')
    assert [row["message"] for row in reverse] == told(STORY)[::-1]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_pages_have_each_line_once(client: httpx.AsyncClient, job_id: str, size: int) -> None:
    for more, keeps in (
        ({}, lambda _: True),
        ({"level": "WARNING"}, lambda each: each[0] == "r" and int(each[1:]) % 2),
        ({"since": 6}, lambda each: int(each[1:]) >= 6),
        ({"grep": "[or]1"}, lambda each: each[1] == "1"),
    ):
        found: list[str] = []
        backwards: list[str] = []
        for page in range(12):
            one = await rows(client, job_id, per_page=size, page=page, **more)
            found += [row["message"] for row in one]
            order = {"sort": '[["_id", -1]]'}
            other = await rows(client, job_id, per_page=size, page=page, **order, **more)
            backwards += [row["message"] for row in other]
        assert found == [each for each in told(STORY) if keeps(each)], more
        assert backwards == found[::-1], more


async def test_ranges_join(client: httpx.AsyncClient, job_id: str) -> None:
    for size in (1, 2, 100):
        found: list[str] = []
        number = 1
        while True:
            part = await rows(client, job_id, limit=size, **{"from": number})
            found += [row["message"] for row in part]
            records = [row for row in part if "output" not in row]
            if len(records) < size:
                break
            number = int(records[-1]["_id"]) + 1
        # The lines after the last record come with it, and not again with an empty range.
        assert list(dict.fromkeys(found)) == told(STORY)
    before = await rows(client, job_id, before=3)
    around = await rows(client, job_id, around=3, limit=2)
    assert [row["message"] for row in before] == told(STORY)[: told(STORY).index("r7")]
    assert around[0]["message"] == "r6"


@pytest.mark.parametrize("read", [2, 500])
async def test_text(
    client: httpx.AsyncClient, job_id: str, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_module, "_READ", read)
    answer = await client.get(f"job/log/{job_id}", params={"output": True, "format": "text"})
    assert [line.split()[-1] for line in answer.text.splitlines()] == told(STORY)
    assert " stderr   o1" in answer.text
    params: dict[str, Any] = {"output": True, "format": "text", "tail": 2}
    tail = await client.get(f"job/log/{job_id}", params=params)
    last = [line.split()[-1] for line in tail.text.splitlines()]
    assert last == told(STORY)[told(STORY).index("r13") :]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"filter": '{"levelno": 20}'}, "[output] needs the order of the log"),
        ({"sort": "epoch"}, "[output] needs the order of the log"),
        ({"ids_only": True}, "[output] excludes [ids_only]"),
        ({"output": "perhaps"}, "[output] expected as_type [bool]"),
    ],
)
async def test_output_excludes_ids_and_another_order(
    client: httpx.AsyncClient, job_id: str, more: dict[str, Any], words: str
) -> None:
    answer = await client.get(f"job/log/{job_id}", params={"output": True, **more})
    assert answer.status_code == 400
    assert words in answer.json()["error"]


# --- streams --------------------------------------------------------------------------------------


async def stream(
    client: httpx.AsyncClient, job_id: str, after: str | None = None, **more: Any
) -> list[tuple[str, str | None, Any]]:
    """Return all frames of a stream that ends: event, id and data."""
    headers = {"Accept": "text/event-stream"}
    if after is not None:
        headers["Last-Event-ID"] = after
    found = []
    params = {"output": True, **more}
    async with client.stream(
        "GET", f"job/follow/{job_id}", params=params, headers=headers
    ) as response:
        assert response.status_code == 200
        text = "".join([part async for part in response.aiter_text()])
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if fields:
            found.append((fields["event"], fields.get("id"), json.loads(fields["data"])))
    return found


def messages(found: list[tuple[str, str | None, Any]]) -> list[str]:
    return [data["message"] for event, _, data in found if event in {"log", "output"}]


@pytest.fixture
async def ended(api: RunningApi, client: httpx.AsyncClient, record: Record) -> str:
    made = await enqueue(client)
    recorder = await record(made)
    for part, start in ((STORY[:7], 0), (STORY[7:9], 7), (STORY[9:], 9)):
        await append(recorder, part, start)
    await recorder.settle()
    await api.status(made, state="complete", trial=1, log={"trial": 1, "complete": True})
    return made


@pytest.mark.parametrize("batch", [2, 250])
async def test_a_stream_can_be_resumed_at_each_frame(
    client: httpx.AsyncClient, ended: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_BATCH", batch)
    monkeypatch.setattr(log_scan, "SLICE", batch)
    whole = await stream(client, ended)
    assert messages(whole) == told(STORY)
    event, _, counts = whole[-1]
    assert event == "close"
    assert (counts["log"], counts["output"]) == (STORY.count("r"), STORY.count("o"))
    for position, (event, frame_id, _) in enumerate(whole[:-1]):
        assert frame_id is not None
        rest = await stream(client, ended, frame_id)
        assert messages(rest) == messages(whole[position + 1 :]), (event, frame_id)


async def test_a_plain_id_goes_on_after_its_record(client: httpx.AsyncClient, ended: str) -> None:
    rest = await stream(client, ended, "000000000002")
    assert messages(rest) == told(STORY)[told(STORY).index("r6") + 1 :]


async def test_an_id_with_output_is_none_of_a_plain_stream(
    client: httpx.AsyncClient, ended: str
) -> None:
    for bad in ("000000000002.", "1.x", ".1", "1.2.3"):
        headers = {"Last-Event-ID": bad}
        answer = await client.get(f"job/follow/{ended}", params={"output": True}, headers=headers)
        assert answer.status_code == 400
    answer = await client.get(f"job/follow/{ended}", headers={"Last-Event-ID": "2.1"})
    assert answer.status_code == 400


async def test_filters_of_a_stream(client: httpx.AsyncClient, ended: str) -> None:
    assert messages(await stream(client, ended, grep="[or]1")) == [
        each for each in told(STORY) if each[1] == "1"
    ]
    assert all(each[0] == "r" for each in messages(await stream(client, ended, level="WARNING")))
    tail = messages(await stream(client, ended, tail=2))
    assert tail == told(STORY)[told(STORY).index("r13") :]
    assert messages(await stream(client, ended, tail=0)) == []


async def test_printed_lines_are_live(
    served: RunningApi, caller: httpx.AsyncClient, record: Record
) -> None:
    """An append with nothing but printed lines reaches the stream without any other change."""
    made = await enqueue(caller)
    recorder = await record(made)
    await served.status(made, state="running", trial=1)
    async with open_stream(caller, "GET", f"job/log/{made}?output=1&follow=1") as frames:
        for start, part in ((0, "o"), (1, "oo"), (3, "r"), (4, "o")):
            await append(recorder, part, start)
            found = await frames.take(len(part))
            assert [data["message"] for _, data in found] == told(part, start)
            assert [event for event, _ in found] == [
                "log" if kind == "r" else "output" for kind in part
            ]
