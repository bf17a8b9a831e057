"""The command in this process, against a server of the tests."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.unit.client.raw_server import Asked, RawServer, Reply, bad, good, streamed
from tests.unit.client.story import JOB, Story

from core4.command import app

BASE = "/core4/api/v1"
IDS = [f"6743a0b1c2d3e4f5061728{number:02x}" for number in range(64)]


def job(number: int = 0, state: str = "running", **more: Any) -> dict[str, Any]:
    """Return the document of a job."""
    return {
        "_id": IDS[number],
        "qual_name": "reports.Nightly",
        "state": state,
        "args": {"n": number},
        "trial": 1,
        "attempts": 3,
        "attempts_left": 2,
        "prog": {"value": 0.42, "message": "loading"},
        "flag": {"removed": False, "killed": state == "killed"},
        "enqueued": {"at": "2026-11-24T12:00:00", "username": "ann", "hostname": "h"},
        "started_at": "2026-11-24T12:00:03",
        "runtime": 3.0,
        "reason": None,
        "message": None,
        "journal": False,
        **more,
    }


ENTRY = {
    "_id": "reports.Nightly",
    "qual_name": "reports.Nightly",
    "author": "ann",
    "doc": "Makes the report.\nAnd more.",
    "schedule": "0 3 * * *",
    "time_zone": "UTC",
    "tag": ["night"],
    "next_run": "2099-11-24T03:00:00",
    "args_schema": {
        "type": "object",
        "properties": {
            "n": {"type": "integer"},
            "name": {"type": "string"},
            "colour": {"enum": ["red", 3]},
        },
    },
    "properties": {"attempts": 1},
}


@dataclass
class FakeCore4:
    """The answers of a core4 server: listings, one job, its stream, and commands."""

    queue: list[dict[str, Any]] = field(default_factory=list)
    past: list[dict[str, Any]] = field(default_factory=list)
    catalogue: list[dict[str, Any]] = field(default_factory=lambda: [ENTRY])
    story: Story = field(default_factory=Story)
    errors: dict[tuple[str, str], Reply] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, asked: Asked) -> Reply:
        path = asked.path.removeprefix(BASE)
        if (asked.method, path) in self.errors:
            return self.errors[asked.method, path]
        for pattern, answer in self._routes():
            if match := re.fullmatch(pattern, f"{asked.method} {path}"):
                return answer(asked, *match.groups())
        return bad(404, f"no URL {path}")

    def _routes(self) -> list[tuple[str, Callable[..., Reply]]]:
        return [
            ("GET /job(?:/queue)?", lambda asked: self._page(asked, self.queue)),
            ("GET /job/journal", lambda asked: self._page(asked, self.past)),
            ("GET /job/list", lambda asked: self._page(asked, self.catalogue)),
            ("POST /job", lambda _: good(JOB)),
            ("GET /job/follow/([0-9a-f]{24})", self._follow),
            ("GET /job/log/([0-9a-f]{24})", self._log),
            ("PUT /job/(?:kill|remove)/([0-9a-f]{24})", lambda *_: good(True)),
            ("PUT /job/restart/([0-9a-f]{24})", lambda *_: good(IDS[9])),
            ("GET /job/(?:detail/)?([0-9a-f]{24})", self._detail),
            ("GET /profile", lambda _: good({"_id": "ann", "name": "ann", "role": ["admin"],
                                             "can": {"read": True, "steer": False}})),
            ("(?:GET|POST) /login", lambda _: good({"token": "new.token.x"})),
            ("GET /jobs/history", lambda _: good(
                [{"created": "2026-11-24T12:00:00", "total": 3, "running": 1, "pending": 2}],
                page=0, page_count=1, per_page=1, count=1, total_count=1)),
        ]  # fmt: skip

    def _follow(self, asked: Asked, job_id: str) -> Reply:
        text = asked.headers.get("last-event-id")
        body = self.story.body(None if text is None else int(text))
        return Reply([streamed(body.replace(JOB.encode(), job_id.encode()))], keep=True)

    def _log(self, asked: Asked, job_id: str) -> Reply:
        if asked.query.get("follow") == "true":
            return self._follow(asked, job_id)
        return self._page(asked, self.records)

    def _detail(self, _: Asked, job_id: str) -> Reply:
        for document in (*self.queue, *self.past):
            if document["_id"] == job_id:
                return good(document)
        return bad(404, f"job [{job_id}] not found")

    @staticmethod
    def _page(asked: Asked, rows: list[dict[str, Any]]) -> Reply:
        given = {**asked.query, **(asked.json if asked.body else {})}
        where = given.get("filter") or {}
        where = json.loads(where) if isinstance(where, str) else where
        kept = [row for row in rows if _fits(row, where)]
        return good(
            kept, page=0, page_count=1, per_page=len(kept) or 1, count=len(kept),
            total_count=len(kept), next_cursor=None,
        )  # fmt: skip


def _fits(row: dict[str, Any], where: dict[str, Any]) -> bool:
    """Return True if a row fits equalities, `$in`, `$gt` and `$and`."""
    if "$and" in where:
        return all(_fits(row, part) for part in where["$and"])
    for name, wanted in where.items():
        value: Any = row
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(wanted, dict):
            if "$in" in wanted and value not in wanted["$in"]:
                return False
            if "$gt" in wanted and not value > wanted["$gt"]:
                return False
        elif value != wanted and not (isinstance(value, list) and wanted in value):
            return False
    return True


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Core4 = Callable[..., Result]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Hide the machine's servers, contexts and colours."""
    for name in (
        "CORE4_TOKEN", "CORE4_TOKEN_FILE", "CORE4_USER", "CORE4_PASSWORD", "CORE4_CONTEXT",
        "KUBERNETES_SERVICE_HOST", "NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR",
        "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.fixture
def fake() -> FakeCore4:
    return FakeCore4()


@pytest.fixture
def server(fake: FakeCore4, monkeypatch: pytest.MonkeyPatch) -> Iterator[RawServer]:
    made = RawServer(fake)
    monkeypatch.setenv("CORE4_URL", made.url)
    yield made
    made.close()


@pytest.fixture
def core4(server: RawServer, capsys: pytest.CaptureFixture[str]) -> Core4:
    """Run the command; stdout and stderr are pipes."""

    def run(*args: str) -> Result:
        capsys.readouterr()
        code = app.main(args)
        captured = capsys.readouterr()
        return Result(int(code), captured.out, captured.err)

    return run
