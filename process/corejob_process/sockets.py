"""Listening sockets, on all addresses of a pod (IPv6 and IPv4) or on one."""

import errno
import socket
from typing import Final

EVERYWHERE: Final = "::"
"""All addresses, IPv6 and IPv4. They belong to the pod's network; its Service decides on access."""
_EVERYWHERE_V4: Final = "0.0.0.0"  # noqa: S104  # see above
_MAPPED: Final = "::ffff:"
_NO_V6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EINVAL})
"""Errors of a kernel without IPv6."""


def listening(host: str, port: int, *, backlog: int = 128) -> socket.socket:
    """Return a listening TCP socket.

    Args:
        host: An address, or a name; `::` is all addresses of both families, and all of IPv4 where
            the kernel has no IPv6.
        port: The port; 0: any free port.
        backlog: Maximum of connections that wait for acceptance.

    Raises:
        OSError: The port is taken, or the address is not one of this host.
    """
    if host != EVERYWHERE:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return _bound(family, host, port, backlog)
    try:
        return _bound(socket.AF_INET6, host, port, backlog)
    except OSError as error:
        if error.errno not in _NO_V6:
            raise
    return _bound(socket.AF_INET, _EVERYWHERE_V4, port, backlog)


def plain(address: str) -> str:
    """Return a client's address, with an IPv4-mapped IPv6 address as plain IPv4."""
    mapped = address.removeprefix(_MAPPED)
    return mapped if "." in mapped and ":" not in mapped else address


def _bound(family: socket.AddressFamily, host: str, port: int, backlog: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != EVERYWHERE)
        sock.bind((host, port))
        sock.listen(backlog)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
