"""Requests that no client library sends."""

import contextlib
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

_SECONDS = 30.0
_ANSWER = 65536


def connected(root: str) -> socket.socket:
    """Connect to a server's address (`http://host:port`)."""
    where = urlsplit(root)
    assert where.hostname is not None
    assert where.port is not None
    return socket.create_connection((where.hostname, where.port), timeout=_SECONDS)


def status(root: str, request: bytes) -> int:
    """Send bytes; return the status of the response, or 0 if the server closes without one."""
    with connected(root) as connection:
        answer = b""
        with contextlib.suppress(ConnectionError):
            connection.sendall(request)
        with contextlib.suppress(ConnectionError):
            while b"\r\n" not in answer and (more := connection.recv(_ANSWER)):
                answer += more
    return int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/") else 0


@contextlib.contextmanager
def many(root: str, number: int, request: bytes) -> Iterator[list[socket.socket]]:
    """Open `number` connections that have sent this request, until the end of the block."""
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(number):
            connection = stack.enter_context(connected(root))
            # The server may have closed the connection already, or stopped reading.
            with contextlib.suppress(ConnectionError, TimeoutError):
                connection.sendall(request)
            opened.append(connection)
        yield opened
