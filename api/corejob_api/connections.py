"""Connections whose other end is gone without a word: a pulled plug, a killed node, a lost route.

The kernel notices such a one by itself only while nothing is in flight (keepalive); where it has
sent what nobody acknowledges, it is patient for a quarter of an hour. `TCP_USER_TIMEOUT` would
shorten that, but it also cuts off a client that lives and has just stopped reading for a while,
together with all that is in its buffers. So the state of each connection is looked at (`TCP_INFO`):
a client that lives answers the kernel's probes, however slowly it reads.
"""

import contextlib
import socket
import sys
from collections.abc import Iterable
from typing import Any, Final
from weakref import WeakKeyDictionary

from corejob_kube import sockets

_BACKLOG: Final = 2048
_PROBE_AFTER_S, _PROBE_EVERY_S, _PROBES = 5, 3, 3
_RTO_MAX_MS: Final = (44, 4000)
"""`TCP_RTO_MAX_MS`, which Python doesn't name: so often one is asked that has stopped reading.

Linux 6.15 and later. Earlier ones ask less and less often, up to every 2 minutes.
"""

_SILENT_MS: Final = 12_000
_UNANSWERED: Final = 2
"""Of retransmissions and probes; a single one may just be under way."""
_INFO_SIZE: Final = 64
_RETRANSMITS, _PROBED, _LAST_ACK_RECV = 2, 3, slice(56, 60)
"""Where they are in `struct tcp_info`, which only ever grows at its end."""

_HEAD_S: Final = 30.0
"""So long a request's head may take, and the body of one that is answered already."""

SLICES: Final = 31
"""Parts of a sweep over all connections, one at each tick of uvicorn's (0.1 s)."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Linux hands its options on to the connections."""
    sock = sockets.listening(host, port, backlog=_BACKLOG)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, *_RTO_MAX_MS)
    return sock


def drop_vanished(protocols: Iterable[Any], number: int) -> None:
    """Let go of the connections of a slice whose other end is gone.

    Args:
        protocols: uvicorn's, of all open connections.
        number: Of the slice.
    """
    for protocol in [one for one in protocols if hash(one) % SLICES == number % SLICES]:
        transport = protocol.transport
        if transport is None or transport.is_closing():
            continue
        if has_vanished(transport.get_extra_info("socket")):
            transport.abort()


class HeaderDeadline:
    """Closes the connections that take too long to send a request's head, or to end its body.

    A connection that waits for its next request has a timer of uvicorn's, until it sends a byte.
    While a request is answered, its body has a deadline of its own (`corejob_api.body`).
    """

    def __init__(self, seconds: float = _HEAD_S) -> None:
        self._seconds = seconds
        self._since: WeakKeyDictionary[Any, tuple[float, int]] = WeakKeyDictionary()

    def close_slow(self, protocols: Iterable[Any], number: int, now: float) -> None:
        """Close those of a slice that have taken too long.

        Args:
            protocols: uvicorn's, of all open connections.
            number: Of the slice.
            now: Monotonic time in seconds.
        """
        for protocol in [one for one in protocols if hash(one) % SLICES == number % SLICES]:
            if not _awaits_rest(protocol):
                self._since.pop(protocol, None)
                continue
            since, cycle = self._since.get(protocol, (now, id(protocol.cycle)))
            if cycle != id(protocol.cycle):
                since = now
            self._since[protocol] = since, id(protocol.cycle)
            if now - since >= self._seconds and protocol.transport is not None:
                protocol.transport.abort()


def _awaits_rest(protocol: Any) -> bool:
    """Whether no request is answered, and no timer waits for the next."""
    cycle = protocol.cycle
    is_answering = cycle is not None and not cycle.response_complete
    return not is_answering and protocol.timeout_keep_alive_task is None


def has_vanished(sock: Any) -> bool:
    """Whether the other end has not answered for long, though it was asked."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE)
    except OSError:
        return False  # it is closed already
    silent = int.from_bytes(info[_LAST_ACK_RECV], sys.byteorder)
    return silent >= _SILENT_MS and info[_RETRANSMITS] + info[_PROBED] >= _UNANSWERED
