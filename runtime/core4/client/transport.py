"""HTTP over the standard library, for one thread or for many.

Connections are kept and used again, each by one thread at a time. A stream has a connection of its
own.
"""

from __future__ import annotations

import http.client
import io
import os
import selectors
import socket
import ssl
import threading
import time
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from core4.client.connecting import IDLE_S, tls_context
from core4.client.discovery import Server
from core4.client.effects import Effect, Open, Read, Send, Sleep
from core4.client.errors import UnreachableError
from core4.client.proxies import Proxy
from core4.client.requests import Request, Response
from core4.client.session import Timeouts

_CHUNK: Final = 2**16
_MOST_IDLE: Final = 10
_FAILURES: Final = (OSError, http.client.HTTPException)


class _Reader(io.BufferedReader):
    """Reads a response; unlike the standard library's, it notices a head that was cut off."""

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return a line of the head, or of the chunked coding."""
        line = super().readline(size)
        if not line.endswith(b"\n"):
            raise http.client.IncompleteRead(line)
        return line


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp: io.BufferedReader = _Reader(self.fp.detach())


class Transport:
    """Connections to one server."""

    def __init__(self, server: Server, timeouts: Timeouts, proxy: Proxy | None) -> None:
        self._url = urlsplit(server.url)
        self._timeouts = timeouts
        self._proxy = proxy
        self._tls = tls_context(server.ca_file) if self._url.scheme == "https" else None
        self._lock = threading.Lock()
        self._idle: list[tuple[float, http.client.HTTPConnection]] = []
        self._pid = os.getpid()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def send(self, request: Request, seconds: float) -> Response:
        """Send a request and read the whole response.

        Raises:
            UnreachableError: The server can't be reached, or doesn't answer in time.
        """
        end = time.monotonic() + seconds
        connection, response = self._begin(request, end)
        try:
            body = self._body(connection, response, end)
        except _FAILURES as error:
            connection.close()
            raise _unreachable(self._url.netloc, error, sent=True) from error
        except BaseException:
            connection.close()
            raise
        self._keep(connection, response)
        return Response(response.status, _headers(response), body)

    def open(self, request: Request, seconds: float) -> tuple[Response, Stream | None]:
        """Send a request; return the head of its response and the stream, or a whole response.

        Raises:
            UnreachableError: The server can't be reached, or doesn't answer in time.
        """
        end = time.monotonic() + seconds
        connection, response = self._begin(request, end)
        if response.status == 200:
            return (
                Response(200, _headers(response)),
                Stream(self._url.netloc, connection, response),
            )
        try:
            body = self._body(connection, response, end)
        except _FAILURES as error:
            raise _unreachable(self._url.netloc, error, sent=True) from error
        finally:
            connection.close()
        return Response(response.status, _headers(response), body), None

    def _begin(
        self, request: Request, end: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = self._take()
        has_sent = False
        try:
            if connection.sock is None:
                connection.timeout = min(self._timeouts.connect, _left(end))
                connection.connect()
            _limit(connection, min(self._timeouts.read, _left(end)))
            has_sent = True
            connection.request(
                request.method,
                self._target(request),
                request.body,
                self._headers(request),
            )
            return connection, connection.getresponse()
        except _FAILURES as error:
            connection.close()
            raise _unreachable(self._url.netloc, error, sent=has_sent) from error
        except BaseException:
            connection.close()
            raise

    def _body(
        self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, end: float
    ) -> bytes:
        parts = []
        # Each read has a limit of its own, but a server that sends a byte now and then has none.
        while True:
            _limit(connection, min(self._timeouts.read, _left(end)), response)
            part = response.read1(_CHUNK)
            if not part:
                break
            parts.append(part)
        body = b"".join(parts)
        if response.length:
            raise http.client.IncompleteRead(body, response.length)
        response.close()
        return body

    def _target(self, request: Request) -> str:
        target = self._url.path + request.target
        if self._proxy is not None and self._tls is None:
            return f"http://{self._url.netloc}{target}"
        return target

    def _headers(self, request: Request) -> dict[str, str]:
        headers = dict(request.headers)
        if self._proxy is not None and self._tls is None and self._proxy.authorization:
            headers["Proxy-Authorization"] = self._proxy.authorization
        return headers

    def _take(self) -> http.client.HTTPConnection:
        now = time.monotonic()
        while True:
            with self._lock:
                if self._pid != os.getpid():
                    # A forked child must not speak on its parent's connections.
                    self._pid, self._idle = os.getpid(), []
                if not self._idle:
                    break
                since, connection = self._idle.pop()
            if now - since < IDLE_S and not _is_readable(connection):
                return connection
            connection.close()
        return self._new()

    def _keep(
        self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse
    ) -> None:
        with self._lock:
            if not response.will_close and len(self._idle) < _MOST_IDLE:
                self._idle.append((time.monotonic(), connection))
                return
        connection.close()

    def _new(self) -> http.client.HTTPConnection:
        connection = self._unconnected()
        connection.response_class = _Response
        return connection

    def _unconnected(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._tls is None:
            return (
                http.client.HTTPConnection(host, port or 80)
                if self._proxy is None
                else http.client.HTTPConnection(self._proxy.host, self._proxy.port)
            )
        if self._proxy is None:
            return http.client.HTTPSConnection(host, port or 443, context=self._tls)
        connection = http.client.HTTPSConnection(
            self._proxy.host, self._proxy.port, context=self._tls
        )
        authorization = self._proxy.authorization
        headers = {"Proxy-Authorization": authorization} if authorization else {}
        connection.set_tunnel(host, port or 443, headers)
        return connection


class Stream:
    """The body of an open response."""

    def __init__(
        self,
        where: str,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
    ) -> None:
        self._where = where
        self._connection = connection
        self._response = response

    def read(self, seconds: float) -> bytes:
        """Return what comes next; nothing at the end.

        Raises:
            UnreachableError: Nothing comes in time, or the connection was lost.
        """
        try:
            _limit(self._connection, seconds, self._response)
            return self._response.read1(_CHUNK)
        except _FAILURES as error:
            raise _unreachable(self._where, error, sent=True) from error

    def close(self) -> None:
        """Hang up."""
        self._response.close()
        self._connection.close()


class Performer:
    """Performs the effects of one program; it has at most one open stream."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._stream: Stream | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hang_up()

    def perform(self, effect: Effect) -> Any:
        """Return the result of an effect.

        Raises:
            Core4Error: It failed.
        """
        match effect:
            case Send(request, seconds):
                return self._transport.send(request, seconds)
            case Open(request, seconds):
                self._hang_up()
                response, self._stream = self._transport.open(request, seconds)
                return response
            case Read(seconds):
                return b"" if self._stream is None else self._stream.read(seconds)
            case Sleep(seconds):
                self._hang_up()
                time.sleep(seconds)
        return None

    def _hang_up(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time for this answer is over")
    return left


def _limit(
    connection: http.client.HTTPConnection,
    seconds: float,
    response: http.client.HTTPResponse | None = None,
) -> None:
    """Set the time limit of the next operation of a connection."""
    sock: socket.socket | None = connection.sock
    if sock is None and response is not None and response.fp is not None:
        # A response that ends with its connection has taken the socket over.
        raw: Any = response.fp
        sock = raw.raw._sock  # the standard library has no other way
    if sock is not None:
        sock.settimeout(seconds)


def _is_readable(connection: http.client.HTTPConnection) -> bool:
    """Return True if an idle connection has something to read, which can only be its end."""
    if connection.sock is None:
        return True
    with selectors.DefaultSelector() as selector:
        selector.register(connection.sock, selectors.EVENT_READ)
        return bool(selector.select(0))


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


def _unreachable(where: str, error: Exception, *, sent: bool) -> UnreachableError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return UnreachableError.untrusted(where, error.verify_message)
    if isinstance(error, TimeoutError):
        return UnreachableError.late(where, sent=sent)
    return UnreachableError.lost(where, error, sent=sent)
