"""A TCP proxy that cuts each connection after some bytes of the response."""

import socket
import threading
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_SECONDS = 60.0


class Cutter:
    """Forwards connections to a server; the n-th is cut after `first + n * step` bytes.

    Args:
        root: URL of the server, `http://host:port`.
        first: Bytes of the first response.
        step: Further bytes of each next one, so that each cut is at another place.
    """

    def __init__(self, root: str, *, first: int, step: int) -> None:
        where = urlsplit(root)
        self._target = (where.hostname, where.port)
        self._limits = count(first, step)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.cuts = 0
        threading.Thread(target=self._accept, name="cutter", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in (self._socket, *self._open):
            _shut(each)

    @property
    def root(self) -> str:
        """URL of the proxy."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                server = socket.create_connection(self._target, _SECONDS)
                self._open += [client, server]
                for work in (self._ask, self._answer):
                    threading.Thread(target=work, args=(client, server), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
        _shut(server)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        left = next(self._limits)
        with suppress(OSError):
            while left > 0 and (data := server.recv(min(left, 65536))):
                client.sendall(data)
                left -= len(data)
        self.cuts += left == 0
        _shut(client)
        _shut(server)


def _shut(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
