"""Ports for servers that start later, or again, in another process."""

import socket
from typing import Final

_PORTS: Final = range(20_000, 30_000)
"""Below those that the kernel gives to sockets without a port, so no other server gets one."""
_locks: list[socket.socket] = []


def free_port(address: str = "127.0.0.1") -> int:
    """Return a TCP port that no other test of this machine gets until this process ends.

    The lock is a UDP socket of the same number: it ends with the process, and a TCP server can
    bind the port meanwhile.

    Raises:
        OSError: No port is free.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in _PORTS:
        lock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            lock.bind((address, port))
            with socket.socket(family) as probe:
                probe.bind((address, port))
        except OSError:
            lock.close()
        else:
            _locks.append(lock)
            return port
    raise OSError(f"no port of {_PORTS} is free")
