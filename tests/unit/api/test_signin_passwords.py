"""Password checks: caching, concurrency, and limits."""

import asyncio
import threading
from collections.abc import Iterator

import argon2
import pytest
from tests.support.signals import DEADLINE

from corejob_api.auth.fairness import Limit, Limits, Sender
from corejob_api.auth.passwords import (
    Credential,
    Passwords,
    TooManyChecksError,
    decoy_hash,
    is_argon2,
    verify_argon2,
)

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
DECOY = CHEAP.hash("decoy")


class Gate:
    """A check that blocks until the gate is opened; `right` is the right password."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.calls = 0
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self, _: str, password: bytes) -> bool:
        with self._lock:
            self.calls += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.open.wait(DEADLINE)
        with self._lock:
            self.at_once -= 1
        return password == b"right"


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


@pytest.fixture
def passwords(gate: Gate) -> Iterator[Passwords]:
    made = Passwords(verify=gate, threads=2, limits=Limits(sender=2), most_cached=2)
    yield made
    made.close()


HASHED = Credential(DECOY)
A = Sender("ip", "a")


async def begin(passwords: Passwords, *wanted: str) -> list["asyncio.Task[bool]"]:
    """Start checks, and return when they have been handed over."""
    tasks = [asyncio.create_task(passwords.check(A, HASHED, text)) for text in wanted]
    await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize("kind", argon2.Type)
def test_argon2_of_every_kind(kind: argon2.Type) -> None:
    phc = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, type=kind).hash("pw")
    assert is_argon2(phc)
    assert verify_argon2(phc, b"pw")
    assert not verify_argon2(phc, b"pw2")


@pytest.mark.parametrize("phc", ["$argon2id$v=19$m=8,t=1,p=1$x$y", "$argon2id$", "", "pw"])
def test_broken_hash_accepts_nothing(phc: str) -> None:
    assert not verify_argon2(phc, b"pw")


@pytest.mark.parametrize("phc", ["", "pw", "$2b$12$abc", "$argon2id$v=19$m=8,t=1$c2FsdA$aGFzaA"])
def test_other_texts_are_not_argon2_hashes(phc: str) -> None:
    assert not is_argon2(phc)


def test_decoy_costs_what_argon2_usually_costs() -> None:
    costs = argon2.extract_parameters(decoy_hash())
    assert costs == argon2.extract_parameters(argon2.PasswordHasher().hash("x"))
    assert is_argon2(decoy_hash())
    assert not verify_argon2(decoy_hash(), b"")


def test_plain_password() -> None:
    credential = Credential.of_password("secret", DECOY)
    assert credential.accepts(b"secret", verify_argon2)
    assert not credential.accepts(b"Secret", verify_argon2)
    assert not credential.accepts(b"decoy", verify_argon2)


def test_nobody_has_no_password_even_if_the_decoy_takes_it() -> None:
    credential = Credential.of_unknown_user(DECOY)
    assert not credential.accepts(b"decoy", verify_argon2)
    assert not credential.accepts(b"", verify_argon2)


def test_credential_shows_nothing_in_a_log() -> None:
    assert repr(Credential.of_password("secret", DECOY)) == "Credential()"


async def test_right_one_is_remembered_for_its_user_and_credential_only(
    passwords: Passwords, gate: Gate
) -> None:
    gate.open.set()
    assert await passwords.check(A, HASHED, "right")
    assert await passwords.check(A, HASHED, "right")
    assert gate.calls == 1
    assert await passwords.check(Sender("ip", "b"), HASHED, "right")
    assert gate.calls == 2
    assert await passwords.check(A, Credential(CHEAP.hash("right")), "right")
    assert gate.calls == 3


async def test_wrong_one_is_not_remembered(passwords: Passwords, gate: Gate) -> None:
    gate.open.set()
    assert not await passwords.check(A, HASHED, "wrong")
    assert not await passwords.check(A, HASHED, "wrong")
    assert gate.calls == 2


async def test_longest_unused_is_forgotten_first(passwords: Passwords, gate: Gate) -> None:
    gate.open.set()
    for name in ("a", "b", "a", "c"):
        assert await passwords.check(Sender("ip", name), HASHED, "right")
    assert gate.calls == 3
    assert await passwords.check(A, HASHED, "right")
    assert gate.calls == 3
    assert await passwords.check(Sender("ip", "b"), HASHED, "right")
    assert gate.calls == 4


async def test_equal_checks_at_once_are_one(passwords: Passwords, gate: Gate) -> None:
    tasks = await begin(passwords, *["right"] * 50)
    gate.open.set()
    async with asyncio.timeout(DEADLINE):
        assert await asyncio.gather(*tasks) == [True] * 50
    assert gate.calls == 1


async def test_too_many_at_once_are_refused_and_known_ones_are_not(
    passwords: Passwords, gate: Gate
) -> None:
    gate.open.set()
    assert await passwords.check(Sender("ip", "known"), HASHED, "right")
    gate.open.clear()
    tasks = await begin(passwords, "1", "2", "3", "4")
    with pytest.raises(TooManyChecksError) as caught:
        await passwords.check(A, HASHED, "5")
    assert caught.value.status == 429
    assert caught.value.headers == {"Retry-After": "1"}
    assert caught.value.limit is Limit.SENDER
    assert await passwords.check(Sender("ip", "known"), HASHED, "right")
    gate.open.set()
    async with asyncio.timeout(DEADLINE):
        assert await asyncio.gather(*tasks) == [False] * 4
    assert gate.most_at_once <= 2
    assert await passwords.check(A, HASHED, "right")


async def test_a_displaced_check_gets_retry_after(gate: Gate) -> None:
    passwords = Passwords(verify=gate, threads=1, limits=Limits(address=1), monotonic=lambda: 0.0)
    gate.open.set()
    assert not await passwords.check(A, HASHED, "0")
    gate.open.clear()
    running, waiting = await begin(passwords, "1", "2")
    other = asyncio.create_task(passwords.check(Sender("ip", "b"), HASHED, "right"))
    with pytest.raises(TooManyChecksError) as caught:
        await waiting
    assert caught.value.limit is Limit.ADDRESS
    gate.open.set()
    async with asyncio.timeout(DEADLINE):
        assert [await running, await other] == [False, True]
    passwords.close()


async def test_a_flood_from_one_address_delays_the_right_one_from_another_by_a_check(
    gate: Gate,
) -> None:
    asked: list[bytes] = []

    def verify(phc: str, password: bytes) -> bool:
        asked.append(password)
        return gate(phc, password)

    passwords = Passwords(verify=verify, threads=1)
    flood = await begin(passwords, *map(str, range(50)))
    right = asyncio.create_task(passwords.check(Sender("home", "a"), HASHED, "right"))
    await asyncio.sleep(0)
    gate.open.set()
    async with asyncio.timeout(DEADLINE):
        assert await right
        assert not any(await asyncio.gather(*flood))
    assert asked.index(b"right") == 1
    passwords.close()


async def test_a_right_password_is_not_checked_again_for_another_address(
    gate: Gate,
) -> None:
    passwords = Passwords(verify=gate, threads=1)
    checks = [
        asyncio.create_task(passwords.check(Sender(str(number), "a"), HASHED, "right"))
        for number in range(20)
    ]
    await asyncio.sleep(0)
    gate.open.set()
    async with asyncio.timeout(DEADLINE):
        assert await asyncio.gather(*checks) == [True] * 20
    assert gate.calls == 1
    passwords.close()


async def test_a_check_that_fails_of_something_else_takes_no_thread_for_good() -> None:
    def verify(_: str, password: bytes) -> bool:
        if password == b"big":
            raise MemoryError
        return True

    passwords = Passwords(verify=verify, threads=1)
    for _ in range(3):
        with pytest.raises(MemoryError):
            await passwords.check(A, HASHED, "big")
    async with asyncio.timeout(DEADLINE):
        assert await passwords.check(A, HASHED, "right")
    passwords.close()


async def test_a_check_that_waits_when_the_service_ends_is_cancelled(gate: Gate) -> None:
    passwords = Passwords(verify=gate, threads=1)
    _, waiting = await begin(passwords, "1", "2")
    passwords.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.open.set()


async def test_client_that_hangs_up_takes_no_check_from_the_others(
    passwords: Passwords, gate: Gate
) -> None:
    first, second = await begin(passwords, "right", "right")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.open.set()
    async with asyncio.timeout(DEADLINE):
        assert await second
    assert gate.calls == 1


async def test_loop_goes_on_during_a_check(passwords: Passwords, gate: Gate) -> None:
    (task,) = await begin(passwords, "right")
    ticks = asyncio.Event()
    asyncio.get_running_loop().call_soon(ticks.set)
    await ticks.wait()
    assert not task.done()
    gate.open.set()
    async with asyncio.timeout(DEADLINE):
        assert await task
