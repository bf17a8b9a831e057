"""Let SIGINT interrupt the processes that tests start.

A plug-in of pytest. A shell without job control starts a command in the background with SIGINT
ignored (POSIX, Shell Command Language, 2.11), and each of its processes inherits that. With
`make test &` a test that interrupts a process would wait for an end that never comes.
"""

import signal

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Handle SIGINT as in the foreground; a process started from now on is interrupted by it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
