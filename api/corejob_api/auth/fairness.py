"""Order the queue of password checks: fair shares for addresses and for users.

A check takes tens of milliseconds by design, so a few senders of wrong passwords could delay all
others. Each wrong password lowers the priority of its address and its user for a while. A user who
has signed in from an address before has a higher priority there. Wrong passwords lose their weight
within minutes, so nobody waits for ever.
"""

import ipaddress
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

from corejob_process.lru import LruMap

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

_LONGEST_NAME: Final = 128
"""Maximum length of an existing user's name; longer names are cut, since no user has them."""
_IPV6_NETWORK: Final = 64
"""Prefix length of an IPv6 customer network: one customer controls all addresses in it."""
_HALF_LIFE_S: Final = 30.0
_MOST_POINTS: Final = 60.0
"""Maximum of points; each wrong password adds one to its address and one to its user."""
_BONUS_POINTS: Final = 20.0
"""Points taken off for a user who has signed in from the address before."""
_MOST_KEPT: Final = 4096


@dataclass(frozen=True, slots=True)
class Sender:
    """The user and the address (IPv6: network) of a password check."""

    address: str
    user: str

    @classmethod
    def of(cls, host: str, user: str) -> "Sender":
        """Return the sender for a host; an IPv6 address is replaced by its network."""
        return cls(network(host), user[: _LONGEST_NAME + 1])


def network(host: str) -> str:
    """Return the address of a host; for IPv6 its /64 network, since one customer has all of it."""
    for text in (host, host.rpartition(":")[0].strip("[]")):  # some proxies add the port
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if isinstance(address, ipaddress.IPv4Address):
            return str(address)
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(address), _IPV6_NETWORK), strict=False))
    return host


class Limit(StrEnum):
    """The limit that the waiting checks have reached."""

    SENDER = "address and user"
    ADDRESS = "address"
    USER = "user"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Limits:
    """Checks that may wait: per user and address, per address, per user, and in total."""

    sender: int = 64
    address: int = 128
    user: int = 128
    all: int = 256


class FullError(Exception):
    """A limit of waiting checks is reached."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit.value)
        self.limit = limit


class _Points(Generic[K]):
    """Points that decay exponentially, with a half-life of `_HALF_LIFE_S`."""

    def __init__(self) -> None:
        self._points: LruMap[K, tuple[float, float]] = LruMap(_MOST_KEPT)

    def add(self, key: K, now: float) -> None:
        self._points.put(key, (min(_MOST_POINTS, self.of(key, now) + 1.0), now))

    def of(self, key: K, now: float) -> float:
        points, since = self._points.get(key) or (0.0, now)
        return points * 0.5 ** ((now - since) / _HALF_LIFE_S) if points else 0.0


class CheckHistory:
    """The recent check results of each address and each user."""

    def __init__(self) -> None:
        self._addresses: _Points[str] = _Points()
        self._users: _Points[str] = _Points()
        self._successful: LruMap[Sender, None] = LruMap(_MOST_KEPT)

    def passed(self, sender: Sender) -> None:
        """Record a correct password."""
        self._successful.put(sender, None)

    def failed(self, sender: Sender, now: float) -> None:
        """Record a wrong password."""
        self._addresses.add(sender.address, now)
        self._users.add(sender.user, now)

    def points(self, sender: Sender, now: float) -> float:
        """Return a sender's penalty; lower goes first. It may be negative; a new sender has 0."""
        points = self._addresses.of(sender.address, now) + self._users.of(sender.user, now)
        return points - (_BONUS_POINTS if sender in self._successful else 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class WaitingCheck(Generic[T]):
    """A waiting check.

    Attributes:
        since: Time of arrival, monotonic, in seconds.
        item: The caller's object for the check.
    """

    sender: Sender
    since: float
    item: T


class CheckQueue(Generic[T]):
    """The queue of waiting checks. In a full share a better check displaces the worst one."""

    def __init__(self, limits: Limits, history: CheckHistory) -> None:
        self._limits = limits
        self._history = history
        self._waiting: list[WaitingCheck[T]] = []
        self._counts: Counter[tuple[Limit, Hashable]] = Counter()

    def put(self, new: WaitingCheck[T]) -> list[tuple[T, Limit]]:
        """Enqueue a check; return the checks that it displaces, with the limits they exceeded.

        Raises:
            FullError: A limit is reached, and no check in that share ranks lower than the new one.
        """
        if self._counts[Limit.SENDER, new.sender] >= self._limits.sender:
            raise FullError(Limit.SENDER)
        displaced: list[tuple[T, Limit]] = []
        for limit, most in (
            (Limit.ADDRESS, self._limits.address),
            (Limit.USER, self._limits.user),
            (Limit.ALL, self._limits.all),
        ):
            share = _share(limit, new.sender)
            if self._counts[limit, share] < most:
                continue
            worst = max(
                (check for check in self._waiting if _share(limit, check.sender) == share),
                key=lambda check: self._rank(check, new.since),
            )
            if self._rank(worst, new.since) <= self._rank(new, new.since):
                raise FullError(limit)
            self._remove(worst)
            displaced.append((worst.item, limit))
        self._waiting.append(new)
        self._counts.update(_shares(new.sender))
        return displaced

    def next(self, now: float) -> WaitingCheck[T] | None:
        """Remove and return the next check; None if no check waits."""
        if not self._waiting:
            return None
        best = min(self._waiting, key=lambda check: self._rank(check, now))
        self._remove(best)
        return best

    def clear(self) -> list[T]:
        """Remove and return all waiting checks."""
        cancelled, self._waiting = self._waiting, []
        self._counts.clear()
        return [check.item for check in cancelled]

    def _remove(self, check: WaitingCheck[T]) -> None:
        self._waiting.remove(check)
        for share in _shares(check.sender):
            self._counts[share] -= 1
            if not self._counts[share]:
                del self._counts[share]

    def _rank(self, check: WaitingCheck[T], now: float) -> tuple[int, float]:
        """Return the sort key: fewer points first, then the earlier arrival."""
        return round(self._history.points(check.sender, now)), check.since


def _share(limit: Limit, sender: Sender) -> Hashable:
    match limit:
        case Limit.SENDER:
            return sender
        case Limit.ADDRESS:
            return sender.address
        case Limit.USER:
            return sender.user
        case Limit.ALL:
            return None


def _shares(sender: Sender) -> Iterable[tuple[Limit, Hashable]]:
    return [(limit, _share(limit, sender)) for limit in Limit]
