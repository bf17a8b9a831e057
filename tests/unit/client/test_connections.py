"""TLS and proxies: both clients verify servers, and go the way that they are told."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.support.ports import free_port
from tests.unit.client.conftest import Connect
from tests.unit.client.raw_server import Asked, RawServer, Reply, answered, good, streamed
from tests.unit.client.story import JOB, Story

from core4.client import ConfigurationError, UnreachableError


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, with its key in the same file."""
    folder = tmp_path_factory.mktemp("tls")
    openssl = shutil.which("openssl")
    assert openssl
    subprocess.run(
        [
            openssl, "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=core4",
            "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-addext", "subjectAltName=IP:127.0.0.1,DNS:jobs.test",
            "-keyout", folder / "key", "-out", folder / "certificate",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    both = folder / "both.pem"
    both.write_bytes((folder / "certificate").read_bytes() + (folder / "key").read_bytes())
    return both


@pytest.fixture
def secure(certificate: Path) -> Iterator[RawServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    made = RawServer(lambda asked: good({"name": "ann"}), tls=context)
    yield made
    made.close()


class Tunnel:
    """A proxy that connects every tunnel to one port, and notes the heads of its requests."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.heads: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        for each in (self._socket, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += client.recv(1)
                self.heads.append(head.decode())
                server = socket.create_connection(("127.0.0.1", self._port))
                self._open += [client, server]
                client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_a_server_of_a_known_authority_is_trusted(
    connect: Connect, secure: RawServer, certificate: Path
):
    core4 = connect(secure.url, token="t", ca_file=certificate)
    assert core4.profile().name == "ann"
    secure.answer = lambda asked: Reply([streamed(Story().body())])
    Story().check(list(core4.job(JOB).follow()))


def test_any_other_server_is_not(connect: Connect, secure: RawServer):
    with pytest.raises(UnreachableError, match=r"no certificate that is trusted.*by ca_file"):
        connect(secure.url, token="t").profile()
    assert secure.asked == []


def test_a_server_of_another_name_is_not(connect: Connect, secure: RawServer, certificate: Path):
    url = f"https://localhost:{secure.port}"
    with pytest.raises(UnreachableError, match="no certificate that is trusted"):
        connect(url, token="t", ca_file=certificate).profile()


def test_no_certificates_are_an_error_at_once(connect: Connect, tmp_path: Path):
    (tmp_path / "ca.pem").write_text("nothing")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(ConfigurationError, match="can't use the certificates in"):
            connect("https://a", token="t", ca_file=tmp_path / name)


def test_https_goes_through_a_tunnel(connect: Connect, secure: RawServer, certificate: Path):
    tunnel = Tunnel(secure.port)
    proxy = f"http://u:p@{tunnel.authority}"
    core4 = connect("https://jobs.test", token="t", ca_file=certificate, proxy=proxy)
    assert core4.profile().name == "ann"
    tunnel.close()
    (head,) = tunnel.heads
    assert head.startswith("CONNECT jobs.test:443 HTTP/1.")
    assert "proxy-authorization: basic dtpw" in head.lower()
    # The proxy's password is not for the server, nor the token for the proxy.
    assert "authorization: bearer" not in head.lower()
    assert "proxy-authorization" not in secure.asked[0].headers


def test_http_is_asked_of_the_proxy(
    connect: Connect, server: RawServer, monkeypatch: pytest.MonkeyPatch
):
    server.answer = lambda asked: good({"name": "ann"})
    monkeypatch.setenv("HTTP_PROXY", f"http://u:p@127.0.0.1:{server.port}")
    assert connect("http://jobs.test:81", token="t").profile().name == "ann"
    (asked,) = server.asked
    assert asked.headers["host"] == "jobs.test:81"
    assert asked.headers["proxy-authorization"].startswith("Basic ")
    with pytest.raises(UnreachableError):
        connect(f"http://127.0.0.1:{free_port()}", token="t", proxy="").profile()


def test_a_proxy_that_refuses_is_an_error(connect: Connect, server: RawServer):
    def refuse(asked: Asked) -> Reply:
        assert asked.method == "CONNECT"
        return Reply(answered(407, b"").chunks)

    server.answer = refuse
    core4: Any = connect("https://jobs.test", token="t", proxy=f"127.0.0.1:{server.port}")
    with pytest.raises(UnreachableError, match="can't be reached") as caught:
        core4.profile()
    assert not caught.value.sent
