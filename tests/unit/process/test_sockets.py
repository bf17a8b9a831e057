"""Listening on all addresses, of IPv6 and IPv4, or on one."""

import errno
import socket
from pathlib import Path

import pytest
from tests.support.ports import free_port

from corejob_process.sockets import EVERYWHERE, listening, plain

V6 = Path("/proc/net/if_inet6")


def reached(sock: socket.socket, host: str) -> str:
    """Connect, and return the address of the client as the server sees it."""
    with socket.create_connection((host, sock.getsockname()[1]), timeout=10):
        sock.setblocking(True)
        peer, address = sock.accept()
        peer.close()
        return str(address[0])


def test_by_default_both_families_reach_it() -> None:
    assert V6.exists(), "this machine's kernel has no IPv6: run the tests where there is some"
    assert V6.read_text(encoding="ascii").strip(), "no interface of this machine has IPv6"
    with listening(EVERYWHERE, 0) as sock:
        assert reached(sock, "::1") == "::1"
        assert reached(sock, "127.0.0.1") == "::ffff:127.0.0.1"


@pytest.mark.parametrize(("host", "other"), [("127.0.0.1", "::1"), ("::1", "127.0.0.1")])
def test_one_address_is_that_one_alone(host: str, other: str) -> None:
    # Another server may listen at a port of the other address that the kernel chooses here.
    with listening(host, free_port(other)) as sock:
        assert reached(sock, host) == host
        with pytest.raises(OSError, match="refused"):
            reached(sock, other)


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_a_kernel_without_ipv6_listens_at_all_of_ipv4(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = socket.socket

    def without(family: int = -1, *rest: int, **options: object) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(number, "no IPv6")
        return real(family, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "socket", without)
    with listening(EVERYWHERE, 0) as sock:
        assert reached(sock, "127.0.0.1") == "127.0.0.1"


def test_a_port_that_is_taken_is_said_and_not_worked_around() -> None:
    with listening(EVERYWHERE, 0) as sock, pytest.raises(OSError, match="in use"):
        listening(EVERYWHERE, sock.getsockname()[1])


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("fd00::1", "fd00::1"),
        ("::ffff:a00:1", "::ffff:a00:1"),
    ],
)
def test_an_ipv4_client_is_shown_as_such(address: str, shown: str) -> None:
    assert plain(address) == shown
