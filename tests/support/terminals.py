"""Run a command in a pseudo-terminal."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence

_ROWS = 30


def run(
    argv: Sequence[str], environ: Mapping[str, str], *, columns: int = 100, seconds: float = 60
) -> tuple[int, str]:
    """Return the exit code of a command, and all that it wrote to its terminal.

    Args:
        argv: The command.
        environ: Its environment.
        columns: Width of the terminal.
        seconds: Time until the command must have ended, after it has closed the terminal.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, columns, 0, 0))
    process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 65_536):
            written += part
    except OSError:
        pass  # Linux: the other end is closed
    os.close(ours)
    return process.wait(seconds), written.decode()
