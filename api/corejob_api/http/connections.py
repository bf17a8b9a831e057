"""Drop connections whose peer vanished silently: a pulled plug, a killed node, a lost route.

TCP keepalive detects such a peer only while no data is in flight; with unacknowledged data the
kernel keeps retransmitting for a quarter of an hour. `TCP_USER_TIMEOUT` would shorten that, but it
would also cut off a live client that has stopped reading for a while, and lose all data in its
buffers. Therefore this module examines the state of each connection (`TCP_INFO`): a live client
answers the kernel's probes, however slowly it reads.
"""

import contextlib
import socket
import sys
from collections.abc import Iterable
from typing import Any, Final
from weakref import WeakKeyDictionary

from corejob_process import sockets

_BACKLOG: Final = 2048
_PROBE_AFTER_S, _PROBE_EVERY_S, _PROBES = 5, 3, 3
_RTO_MAX_MS: Final = (44, 4000)
"""`TCP_RTO_MAX_MS` (Python has no name for it) and its value: the longest time between probes of a
peer that has stopped reading.

Linux 6.15 and later. Earlier kernels probe at growing intervals, up to 2 minutes.
"""

_SILENT_MS: Final = 12_000
_UNANSWERED: Final = 2
"""Unanswered retransmissions and probes of a vanished peer; a single one may just be in flight."""
_INFO_SIZE: Final = 64
_RETRANSMITS, _PROBED, _LAST_ACK_RECV = 2, 3, slice(56, 60)
"""Byte offsets in `struct tcp_info`, which the kernel only extends at its end."""

_HEAD_S: Final = 30.0
"""Seconds within which a client must send a request's head, or finish the body of a request that
has already been answered.
"""

SLICES: Final = 31
"""Parts of a sweep over all connections; uvicorn's tick (0.1 s) handles one part each time."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket with keepalive options, which Linux copies to its connections."""
    sock = sockets.listening(host, port, backlog=_BACKLOG)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, *_RTO_MAX_MS)
    return sock


def drop_vanished(protocols: Iterable[Any], number: int) -> None:
    """Abort the connections of a slice whose peer has vanished.

    Args:
        protocols: uvicorn's protocols of all open connections.
        number: The number of the slice; taken modulo `SLICES`.
    """
    for protocol in _slice(protocols, number):
        transport = protocol.transport
        if transport is None or transport.is_closing():
            continue
        if has_vanished(transport.get_extra_info("socket")):
            transport.abort()


def _slice(protocols: Iterable[Any], number: int) -> list[Any]:
    """Return the protocols of one of `SLICES` parts."""
    return [protocol for protocol in protocols if hash(protocol) % SLICES == number % SLICES]


class HeaderDeadline:
    """Closes connections that take too long to send a request's head, or to finish its body.

    uvicorn has its own timer for an idle connection, until the connection sends a byte. While a
    request is being answered, its body has a deadline in `corejob_api.http.body`.
    """

    def __init__(self, seconds: float = _HEAD_S) -> None:
        self._seconds = seconds
        self._since: WeakKeyDictionary[Any, tuple[float, int]] = WeakKeyDictionary()

    def close_slow(self, protocols: Iterable[Any], number: int, now: float) -> None:
        """Close the connections of a slice that have exceeded the deadline.

        Args:
            protocols: uvicorn's protocols of all open connections.
            number: The number of the slice; taken modulo `SLICES`.
            now: Monotonic time in seconds.
        """
        for protocol in _slice(protocols, number):
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
    """True if no request is being answered, and uvicorn's keep-alive timer is not running."""
    cycle = protocol.cycle
    is_answering = cycle is not None and not cycle.response_complete
    return not is_answering and protocol.timeout_keep_alive_task is None


def has_vanished(sock: Any) -> bool:
    """True if the peer has been silent for `_SILENT_MS` despite retransmissions or probes."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE)
    except OSError:
        return False  # the socket is already closed
    silent = int.from_bytes(info[_LAST_ACK_RECV], sys.byteorder)
    return silent >= _SILENT_MS and info[_RETRANSMITS] + info[_PROBED] >= _UNANSWERED
