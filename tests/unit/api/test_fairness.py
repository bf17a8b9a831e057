"""The order of password checks, and which of them are refused with a request to retry."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corejob_api.auth.fairness import (
    CheckHistory,
    CheckQueue,
    FullError,
    Limit,
    Limits,
    Sender,
    WaitingCheck,
)

EVIL = "192.0.2.66"
HOME = "192.0.2.1"


def line(history: CheckHistory | None = None, **limits: int) -> CheckQueue[str]:
    return CheckQueue(Limits(**limits), history or CheckHistory())


def waiting(address: str, user: str, since: float = 0.0) -> WaitingCheck[str]:
    return WaitingCheck(Sender(address, user), since, f"{user}@{address}")


def after_wrong_passwords(address: str, user: str, count: int = 50) -> CheckHistory:
    history = CheckHistory()
    for _ in range(count):
        history.failed(Sender(address, user), 0.0)
    return history


def order(of: CheckQueue[str], now: float = 1.0) -> Iterator[str]:
    while (turn := of.next(now)) is not None:
        yield turn.item


@pytest.mark.parametrize("right", [(HOME, "jane"), (HOME, "admin"), (EVIL, "jane")])
def test_a_flood_of_wrong_passwords_stands_behind_all_others(right: tuple[str, str]) -> None:
    """Another user; the attacked one at home; another user behind the attacker's own address."""
    queue = line(after_wrong_passwords(EVIL, "admin"))
    for _ in range(50):
        queue.put(waiting(EVIL, "admin"))
    queue.put(waiting(*right, since=1.0))
    assert next(order(queue)) == "{1}@{0}".format(*right)


def test_the_attacked_user_comes_first_where_he_signed_in_before() -> None:
    history = after_wrong_passwords(EVIL, "admin")
    history.passed(Sender(HOME, "admin"))
    queue = line(history)
    for number in range(50):
        queue.put(waiting(f"198.51.100.{number}", "admin"))
    queue.put(waiting(HOME, "admin", since=1.0))
    assert next(order(queue)) == f"admin@{HOME}"


def test_a_user_who_signed_in_from_an_address_floods_it_in_vain() -> None:
    history = after_wrong_passwords(EVIL, "admin")
    history.passed(Sender(EVIL, "admin"))
    queue = line(history)
    for _ in range(50):
        queue.put(waiting(EVIL, "admin"))
    queue.put(waiting(EVIL, "jane", since=1.0))
    assert next(order(queue)) == f"jane@{EVIL}"


def test_equal_senders_are_served_in_order_of_arrival() -> None:
    queue = line()
    for number in (2, 0, 1):
        queue.put(waiting(HOME, f"u{number}", since=float(number)))
    assert list(order(queue, 3.0)) == [f"u{number}@{HOME}" for number in range(3)]


def test_the_share_of_a_sender_takes_nothing_from_the_address_nor_from_the_user() -> None:
    queue = line(sender=2)
    queue.put(waiting(EVIL, "admin"))
    queue.put(waiting(EVIL, "admin"))
    with pytest.raises(FullError) as caught:
        queue.put(waiting(EVIL, "admin"))
    assert caught.value.limit is Limit.SENDER
    assert queue.put(waiting(EVIL, "jane")) == []
    assert queue.put(waiting(HOME, "admin")) == []


@pytest.mark.parametrize(
    ("limits", "limit", "new"),
    [
        ({"address": 3}, Limit.ADDRESS, (EVIL, "jane")),
        ({"user": 3}, Limit.USER, (HOME, "admin")),
        ({"all": 3}, Limit.ALL, (HOME, "jane")),
    ],
)
def test_in_a_full_share_the_better_takes_the_place_of_the_worst(
    limits: dict[str, int], limit: Limit, new: tuple[str, str]
) -> None:
    queue = line(after_wrong_passwords(EVIL, "admin"), **limits)
    for since in (0.0, 1.0, 2.0):
        queue.put(waiting(EVIL, "admin", since))
    assert queue.put(waiting(*new, since=3.0)) == [(f"admin@{EVIL}", limit)]
    with pytest.raises(FullError) as caught:
        queue.put(waiting(EVIL, "admin", 3.0))
    assert caught.value.limit is limit
    assert len(list(order(queue, 3.0))) == 3


def test_wrong_passwords_are_forgotten() -> None:
    history = after_wrong_passwords(EVIL, "admin")
    sender = Sender(EVIL, "admin")
    assert history.points(sender, 0.0) == pytest.approx(100.0)
    assert history.points(sender, 30.0) == pytest.approx(50.0)
    assert history.points(sender, 600.0) < 0.01


def test_waiting_long_does_not_outrank_a_sender_without_wrong_passwords() -> None:
    """Checks may take seconds on a busy machine."""
    queue = line(after_wrong_passwords(EVIL, "admin"))
    for _ in range(50):
        queue.put(waiting(EVIL, "admin"))
    queue.put(waiting(EVIL, "jane", since=60.0))
    assert next(order(queue, 60.0)) == f"jane@{EVIL}"


def test_wrong_passwords_lose_their_weight_while_a_check_waits() -> None:
    queue = line(after_wrong_passwords(EVIL, "admin", 1000))
    queue.put(waiting(EVIL, "admin", since=0.0))
    queue.put(waiting(HOME, "jane", since=299.0))
    assert next(order(queue, 300.0)) == f"admin@{EVIL}"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.booleans())))
def test_a_check_is_served_displaced_or_refused_and_shares_never_overflow(
    arrivals: list[tuple[str, str, bool]],
) -> None:
    limits = Limits(sender=2, address=4, user=4, all=6)
    history = CheckHistory()
    queue: CheckQueue[int] = CheckQueue(limits, history)
    inside: dict[int, Sender] = {}
    for number, (address, user, serves) in enumerate(arrivals):
        sender = Sender(address, user)
        try:
            displaced = queue.put(WaitingCheck(sender, float(number), number))
        except FullError:
            pass
        else:
            inside[number] = sender
            for other, _ in displaced:
                del inside[other]
        there = list(inside.values())
        assert len(there) <= limits.all
        assert all(there.count(one) <= limits.sender for one in there)
        for name in "abc":
            assert sum(one.address == name for one in there) <= limits.address
        for name in "xyz":
            assert sum(one.user == name for one in there) <= limits.user
        if serves and (turn := queue.next(float(number))) is not None:
            history.failed(inside.pop(turn.item), float(number))
    assert sorted(queue.clear()) == sorted(inside)
    assert queue.next(0.0) is None


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2:3:4:5:6]:80", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_an_address_is_without_its_port_and_of_ipv6_the_network(host: str, address: str) -> None:
    assert Sender.of(host, "a").address == address


def test_names_that_no_user_can_have_are_one() -> None:
    assert Sender.of(HOME, "x" * 129) == Sender.of(HOME, "x" * 60_000)
    assert Sender.of(HOME, "x" * 128) != Sender.of(HOME, "x" * 129)


def test_records_of_made_up_addresses_and_users_stay_few() -> None:
    history = CheckHistory()
    for number in range(5000):
        sender = Sender(str(number), str(number))
        history.failed(sender, 0.0)
        history.passed(sender)
    assert history.points(Sender("0", "0"), 0.0) == 0.0
    assert history.points(Sender("4999", "4999"), 0.0) == 2.0 - 20.0
