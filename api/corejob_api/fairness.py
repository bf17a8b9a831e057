"""Which password is checked next: fair shares for addresses and for users.

A check costs tens of milliseconds on purpose, so a few senders of wrong passwords could keep all
others waiting. Each wrong password puts its address and its user back for a while. A user who has
signed in from an address before comes forward there. Since wrong passwords are forgotten within
minutes, nobody waits for ever.
"""

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

_LONGEST_NAME: Final = 128
"""Of a user that there can be; all longer ones are as good as one."""
_IPV6_NETWORK: Final = 64
"""Bits of an IPv6 address that name a customer: he may use all of the others himself."""
_HALF_LIFE_S: Final = 30.0
_MOST_POINTS: Final = 60.0
"""A point is a wrong password of the address or of the user."""
_KNOWN_POINTS: Final = 20.0
_MOST_KEPT: Final = 4096


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose password is to be checked, and where it comes from."""

    address: str
    user: str

    @classmethod
    def of(cls, host: str, user: str) -> "Sender":
        """The sender of a host, with the network of an IPv6 address in place of the address."""
        return cls(network(host), user[: _LONGEST_NAME + 1])


def network(host: str) -> str:
    """Return the address of a host, or for IPv6 its network: a customer has all of that."""
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
    """What there are too many of."""

    SENDER = "address and user"
    ADDRESS = "address"
    USER = "user"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many checks may wait: of a user from one address, from an address, of a user, in all."""

    sender: int = 64
    address: int = 128
    user: int = 128
    all: int = 256


class FullError(Exception):
    """No more checks may wait."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit.value)
        self.limit = limit


class _Points(Generic[K]):
    """Points that fade away."""

    def __init__(self) -> None:
        self._points: OrderedDict[K, tuple[float, float]] = OrderedDict()

    def add(self, key: K, now: float) -> None:
        self._points[key] = min(_MOST_POINTS, self.of(key, now) + 1.0), now
        self._points.move_to_end(key)
        if len(self._points) > _MOST_KEPT:
            self._points.popitem(last=False)

    def of(self, key: K, now: float) -> float:
        points, since = self._points.get(key, (0.0, now))
        return points * 0.5 ** ((now - since) / _HALF_LIFE_S) if points else 0.0


class Record:
    """How the latest checks of each address and of each user went."""

    def __init__(self) -> None:
        self._addresses: _Points[str] = _Points()
        self._users: _Points[str] = _Points()
        self._known: OrderedDict[Sender, None] = OrderedDict()

    def passed(self, sender: Sender) -> None:
        """The password was right."""
        self._known[sender] = None
        self._known.move_to_end(sender)
        if len(self._known) > _MOST_KEPT:
            self._known.popitem(last=False)

    def failed(self, sender: Sender, now: float) -> None:
        """The password was wrong."""
        self._addresses.add(sender.address, now)
        self._users.add(sender.user, now)

    def points(self, sender: Sender, now: float) -> float:
        """How far back a sender stands; less than nothing is in front of who never came before."""
        points = self._addresses.of(sender.address, now) + self._users.of(sender.user, now)
        return points - (_KNOWN_POINTS if sender in self._known else 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Waiting(Generic[T]):
    """A check that waits.

    Attributes:
        since: Monotonic time in seconds.
        item: What it is.
    """

    sender: Sender
    since: float
    item: T


class Line(Generic[T]):
    """The checks that wait. In a full share a better one takes the place of the worst."""

    def __init__(self, limits: Limits, record: Record) -> None:
        self._limits = limits
        self._record = record
        self._waiting: list[Waiting[T]] = []
        self._counts: Counter[tuple[Limit, Hashable]] = Counter()

    def join(self, new: Waiting[T]) -> list[tuple[T, Limit]]:
        """Let a check wait; those that it displaces, and the shares that were full.

        Raises:
            FullError: Its share is full of checks that are no worse.
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
                (one for one in self._waiting if _share(limit, one.sender) == share),
                key=lambda one: self._rank(one, new.since),
            )
            if self._rank(worst, new.since) <= self._rank(new, new.since):
                raise FullError(limit)
            self._leave(worst)
            displaced.append((worst.item, limit))
        self._waiting.append(new)
        self._counts.update(_shares(new.sender))
        return displaced

    def next(self, now: float) -> Waiting[T] | None:
        """The check whose turn it is; None if none waits."""
        if not self._waiting:
            return None
        best = min(self._waiting, key=lambda one: self._rank(one, now))
        self._leave(best)
        return best

    def clear(self) -> list[T]:
        """Let nobody wait any more; what waited."""
        left, self._waiting = self._waiting, []
        self._counts.clear()
        return [one.item for one in left]

    def _leave(self, one: Waiting[T]) -> None:
        self._waiting.remove(one)
        for share in _shares(one.sender):
            self._counts[share] -= 1
            if not self._counts[share]:
                del self._counts[share]

    def _rank(self, one: Waiting[T], now: float) -> tuple[int, float]:
        """Sorts the better first; of those that are as good, the one that came first."""
        return round(self._record.points(one.sender, now)), one.since


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
