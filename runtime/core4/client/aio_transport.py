"""HTTP over aiohttp, for asyncio."""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from yarl import URL

from core4.client.connecting import IDLE_S, tls_context
from core4.client.discovery import Server
from core4.client.effects import Effect, Open, Read, Send, Sleep
from core4.client.errors import UnreachableError
from core4.client.proxies import Proxy
from core4.client.requests import Request, Response
from core4.client.session import Timeouts

_FAILURES: Final = (aiohttp.ClientError, OSError)
_NOT_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
)


class _LostError(aiohttp.ClientError):
    """The connection was lost."""


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request once: aiohttp repeats a PUT by itself if the connection is lost."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if isinstance(error, TimeoutError):
            raise
        raise _LostError(str(error)) from error


class AioTransport:
    """Connections to one server, of one event loop."""

    def __init__(self, server: Server, timeouts: Timeouts, proxy: Proxy | None) -> None:
        self._url = server.url
        self._where = URL(server.url).authority
        self._timeouts = timeouts
        self._proxy = proxy
        self._tls = tls_context(server.ca_file) if server.url.startswith("https:") else None
        self._opened: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        session, self._opened = self._opened, None
        if session is not None:
            await session.close()

    async def send(self, request: Request, seconds: float) -> Response:
        """Send a request and read the whole response.

        Raises:
            UnreachableError: The server can't be reached, or doesn't answer in time.
        """
        try:
            async with asyncio.timeout(seconds), await self._begin(request) as response:
                body = await response.read()
        except _FAILURES as error:
            raise _unreachable(self._where, error) from error
        return Response(response.status, _headers(response), body)

    async def open(
        self, request: Request, seconds: float
    ) -> tuple[Response, aiohttp.ClientResponse | None]:
        """Send a request; return the head of its response and the stream, or a whole response.

        Raises:
            UnreachableError: The server can't be reached, or doesn't answer in time.
        """
        try:
            async with asyncio.timeout(min(seconds, self._timeouts.connect + self._timeouts.read)):
                response = await self._begin(request, is_stream=True)
                if response.status == 200:
                    return Response(200, _headers(response)), response
                async with response:
                    body = await response.read()
        except _FAILURES as error:
            raise _unreachable(self._where, error) from error
        return Response(response.status, _headers(response), body), None

    async def read(self, stream: aiohttp.ClientResponse, seconds: float) -> bytes:
        """Return what comes next of a stream; nothing at its end.

        Raises:
            UnreachableError: Nothing comes in time, or the connection was lost.
        """
        try:
            async with asyncio.timeout(seconds):
                return await stream.content.readany()
        except _FAILURES as error:
            raise _unreachable(self._where, error) from error

    async def _begin(self, request: Request, *, is_stream: bool = False) -> aiohttp.ClientResponse:
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=self._timeouts.connect,
            sock_read=None if is_stream else self._timeouts.read,
        )
        tunnel, headers = None, dict(request.headers)
        if self._proxy is not None and self._proxy.authorization is not None:
            # Without a tunnel, the request itself goes to the proxy.
            if self._tls is None:
                headers["Proxy-Authorization"] = self._proxy.authorization
            else:
                tunnel = {"Proxy-Authorization": self._proxy.authorization}
        return await self._session().request(
            request.method,
            URL(self._url + request.target, encoded=True),
            data=request.body,
            headers=headers,
            # It would take the sign-in to another server.
            allow_redirects=False,
            timeout=timeout,
            proxy=self._proxy.url if self._proxy else None,
            proxy_headers=tunnel,
        )

    def _session(self) -> aiohttp.ClientSession:
        """Return the session, made in the event loop that uses it."""
        if self._opened is None:
            tls: Any = True if self._tls is None else self._tls
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=tls, keepalive_timeout=IDLE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=(_once,),
                trust_env=False,
            )
        return self._opened


class AioPerformer:
    """Performs the effects of one program; it has at most one open stream."""

    def __init__(self, transport: AioTransport) -> None:
        self._transport = transport
        self._stream: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hang_up()

    async def perform(self, effect: Effect) -> Any:
        """Return the result of an effect.

        Raises:
            Core4Error: It failed.
        """
        match effect:
            case Send(request, seconds):
                return await self._transport.send(request, seconds)
            case Open(request, seconds):
                self._hang_up()
                response, self._stream = await self._transport.open(request, seconds)
                return response
            case Read(seconds):
                stream = self._stream
                return b"" if stream is None else await self._transport.read(stream, seconds)
            case Sleep(seconds):
                self._hang_up()
                await asyncio.sleep(seconds)
        return None

    def _hang_up(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _unreachable(where: str, error: Exception) -> UnreachableError:
    sent = not isinstance(error, _NOT_SENT)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = error.certificate_error
        words = reason.verify_message if isinstance(reason, ssl.SSLCertVerificationError) else ""
        return UnreachableError.untrusted(where, words)
    if isinstance(error, TimeoutError):
        return UnreachableError.late(where, sent=sent)
    return UnreachableError.lost(where, error, sent=sent)
