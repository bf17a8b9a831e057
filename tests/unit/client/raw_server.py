"""An HTTP server that sends the bytes that a test wants, also those that no server sends."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

SECONDS = 20.0
TOKEN = "head.body.signature"


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """Bytes to send; `keep` leaves the connection open, `hold` until the client hangs up."""

    chunks: Iterable[bytes] = ()
    keep: bool = False
    hold: bool = False


Answer = Callable[[Asked], Reply]


@dataclass
class RawServer:
    """Answers each request by what `answer` returns for it.

    Args:
        answer: May be replaced at any time.
        tls: Context of a server for HTTPS.
    """

    answer: Answer
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}"

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(SECONDS)

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._open.append(connection)
                self._start(self._serve, connection, len(self._open))

    def _serve(self, plain: socket.socket, number: int) -> None:
        with suppress(OSError):
            plain.settimeout(SECONDS)
            connection = self.tls.wrap_socket(plain, server_side=True) if self.tls else plain
            self._open.append(connection)
            with connection, connection.makefile("rb") as reader:
                while (asked := _read(reader, number)) is not None:
                    self.asked.append(asked)
                    reply = self.answer(asked)
                    for chunk in reply.chunks:
                        connection.sendall(chunk)
                    if reply.hold:
                        with suppress(OSError):
                            connection.recv(1)
                        self.hung_up.set()
                    if not reply.keep:
                        # Shut down, since the reader's file would keep the socket open.
                        connection.shutdown(socket.SHUT_RDWR)
                        return


def _read(reader: Any, number: int) -> Asked | None:
    line = reader.readline().decode()
    if not line:
        return None
    method, target, _ = line.split(" ")
    headers = dict(_headers(reader))
    body = reader.read(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    return Asked(method, parts.path, dict(parse_qsl(parts.query)), headers, body, number)


def _headers(reader: Any) -> Iterator[tuple[str, str]]:
    while line := reader.readline().decode().strip():
        name, _, value = line.partition(":")
        yield name.lower(), value.strip()


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Word", *(f"{name}: {text}" for name, text in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answered(status: int, body: Any, **headers: str) -> Reply:
    """Return a JSON answer; `_` in the name of a header stands for `-`."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    fields = {"Content-Type": "application/json", "Content-Length": str(len(text)), **more}
    return Reply([head(status, fields) + text], keep=True)


def good(data: Any, **more: Any) -> Reply:
    """Return an answer in the envelope."""
    return answered(200, {"_id": "f" * 24, "code": 200, "data": data, **more})


def bad(status: int, text: str, **headers: str) -> Reply:
    """Return an error in the envelope."""
    return answered(status, {"_id": "e" * 24, "code": status, "error": text}, **headers)


def chunked(data: bytes, size: int | None = None) -> bytes:
    """Return a body in chunked coding, with its end."""
    step = size or len(data) or 1
    parts = [data[at : at + step] for at in range(0, len(data), step)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def streamed(body: bytes, size: int | None = None) -> bytes:
    """Return a whole response with an event stream."""
    fields = {
        "Content-Type": "text/event-stream; charset=utf-8",
        "Transfer-Encoding": "chunked",
    }
    return head(200, fields) + chunked(body, size)
