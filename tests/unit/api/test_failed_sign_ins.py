"""Failed sign-ins: those of others lock nobody out, and each is logged and counted."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from tests.support.fake_apiserver.server import FakeApiServer
from tests.support.signals import DEADLINE
from tests.unit.api.conftest import RunningApi, running

from corejob_api.auth import signin_failures
from corejob_api.auth.fairness import Limit
from corejob_api.auth.passwords import verify_argon2
from corejob_api.auth.signin_failures import FailedSignIns, FailureReason
from corejob_api.metrics import ApiMetrics
from corejob_journal.store import Writer

PROFILE = "/core4/api/v1/profile"


@pytest.fixture
async def proxied(
    kube: FakeApiServer, writer: Writer, store_url: str, tmp_path: Path
) -> AsyncIterator[RunningApi]:
    """The API behind a proxy that adds the client's address."""
    async with running(kube, store_url, tmp_path, trusted_proxies=1) as made:
        yield made


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "corejob_api"):
        yield


def slow_down(api: RunningApi, pause: Callable[[], object]) -> None:
    """Make each check slower; the hashes of these users are cheap."""

    def verify(phc: str, password: bytes) -> bool:
        pause()
        return verify_argon2(phc, password)

    api.service.sign_in._passwords._verify = verify


@asynccontextmanager
async def flooded(api: RunningApi, users: int = 1) -> AsyncIterator[list[int]]:
    """Send wrong passwords over 50 connections from one address without a pause."""
    statuses: list[int] = []
    stop = asyncio.Event()
    slow_down(api, lambda: time.sleep(0.005))

    async def guess(number: int) -> None:
        async with api.client(None) as client:
            tries = 0
            while not stop.is_set():
                name = f"admin{number % users or ''}"
                auth = httpx.BasicAuth(name, f"{number} {tries}")
                headers = {"X-Forwarded-For": "192.0.2.66"}
                answer = await client.get(PROFILE, auth=auth, headers=headers)
                statuses.append(answer.status_code)
                tries += 1

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(guess(number))
        await api.until(lambda: len(statuses) >= 10)
        yield statuses
        stop.set()


@pytest.mark.parametrize("users", [1, 50])
@pytest.mark.parametrize(
    ("user", "address"),
    [("dev", "192.0.2.1"), ("dev", "192.0.2.66"), ("admin", "192.0.2.1"), ("admin", "192.0.2.66")],
)
async def test_wrong_passwords_of_others_do_not_keep_users_from_signing_in(
    proxied: RunningApi, user: str, address: str, users: int
) -> None:
    """No user has signed in before, as after a restart."""
    password = "hans" if user == "admin" else user
    async with flooded(proxied, users) as statuses, proxied.client(None) as client:
        answer = await client.get(
            PROFILE, auth=(user, password), headers={"X-Forwarded-For": address}
        )
        assert answer.status_code == 200
    assert set(statuses) <= {401, 429}


async def test_a_flooding_sender_gets_retry_after(
    proxied: RunningApi, caplog: pytest.LogCaptureFixture
) -> None:
    may_end = threading.Event()
    slow_down(proxied, lambda: may_end.wait(DEADLINE))
    answers: list[httpx.Response] = []
    async with proxied.client(None) as client:

        async def guess(number: int) -> None:
            answers.append(await client.get(PROFILE, auth=("admin", f"no {number}")))

        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(guess(number))
            await proxied.until(lambda: len(answers) == 100 - 64 - 2)
            may_end.set()
        metrics = (await proxied.probe("/metrics")).text
    refused, failed = answers[:34], answers[34:]
    assert {one.status_code for one in refused} == {429}
    assert {one.status_code for one in failed} == {401}
    assert all(one.headers["Retry-After"] == "1" for one in refused)
    assert "of this address and user" in refused[0].json()["error"]
    assert 'core4_api_refused_sign_ins_total{limit="sender"} 34.0' in metrics
    assert 'core4_api_failed_sign_ins_total{reason="password"} 66.0' in metrics
    assert len(caplog.records) < 50


async def test_a_failed_sign_in_is_in_the_log_with_user_and_address_and_without_password(
    proxied: RunningApi, caplog: pytest.LogCaptureFixture
) -> None:
    async with proxied.client(None) as client:
        headers = {"X-Forwarded-For": "192.0.2.66"}
        await client.get(PROFILE, auth=("admin", "guessed"), headers=headers)
        await client.get(PROFILE, params={"token": "stolen.token.x"}, headers=headers)
        await client.get(PROFILE, headers={**headers, "Authorization": "Digest secret"})
        await client.get(PROFILE, headers=headers)  # without credentials: not counted
    assert [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING] == [
        "failed sign-in of user [admin] from [192.0.2.66]: wrong username or password",
        "failed sign-in from [192.0.2.66]: bad token",
        "failed sign-in from [192.0.2.66]: malformed Authorization",
    ]
    assert not any(word in caplog.text for word in ("guessed", "stolen", "Digest"))


class Watch:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_lines_are_limited_and_those_left_out_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = Watch()
    failures = FailedSignIns(ApiMetrics(), monotonic=watch)
    for number in range(100):
        failures.failed(
            FailureReason.PASSWORD, "192.0.2.66", "admin" if number % 2 else f"x{number}"
        )
    assert len(caplog.records) == 10
    watch.now = 10.0
    failures.refused(Limit.SENDER, "192.0.2.66", "admin")
    assert [one.getMessage() for one in caplog.records[10:]] == [
        "90 more failed sign-ins within 10 s; 45 of them of "
        "user [admin] from [192.0.2.66]: wrong username or password",
        "failed sign-in of user [admin] from [192.0.2.66]: "
        "too many at once, limit by address and user",
    ]
    failures.log_omitted()
    assert len(caplog.records) == 12


async def test_omitted_lines_are_summarised_even_if_none_follows(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signin_failures, "_WINDOW_S", 0.01)
    failures = FailedSignIns(ApiMetrics(), monotonic=Watch())
    for _ in range(11):
        failures.failed(FailureReason.TOKEN, "192.0.2.66")
    async with asyncio.timeout(DEADLINE):
        while "more failed sign-ins" not in caplog.text:  # noqa: ASYNC110  # nothing tells when
            await asyncio.sleep(0.002)


async def test_names_in_the_log_are_short_and_of_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = FailedSignIns(ApiMetrics())
    failures.failed(FailureReason.PASSWORD, "a\nb", "jürgen\n\x1b[31m\u202e\ud800" + "x" * 60_000)
    (text,) = (one.getMessage() for one in caplog.records)
    assert text.isprintable()
    assert "jürgen\\u000a\\u001b[31m\\u202e\\ud800xxx" in text
    assert "from [a\\u000ab]" in text
    assert len(text) < 300


async def test_made_up_names_take_little_memory(caplog: pytest.LogCaptureFixture) -> None:
    failures = FailedSignIns(ApiMetrics(), monotonic=Watch())
    for number in range(5000):
        failures.failed(FailureReason.PASSWORD, "192.0.2.66", str(number))
    assert len(failures._omitted) <= 1001
    failures.log_omitted()
    assert "4990 more failed sign-ins" in caplog.text
    assert caplog.text.count("of others") == 1
