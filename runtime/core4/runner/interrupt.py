"""Handle SIGTERM: stop the job so that its `finally` blocks run, within a grace period.

The first signal raises `CoreJobKilled` in the main thread. A watcher thread ends the process if
the job has not stopped within the grace period, or at a second signal. The watcher gets signals
through Python's wake-up descriptor, so that it also works while the main thread is in C code that
never checks for signals (as long as that code releases the GIL).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time

from core4.error import CoreJobKilled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Below Kubernetes' default of 30 s, so that the last lines are written before SIGKILL.
DEFAULT_GRACE = 25.0
HANDLED = 0xFF
# Seconds until the signal is sent to the main thread again; doubles each time.
FIRST_POKE = 0.05


class Interrupt:
    """Handles SIGTERM for the process."""

    def __init__(self) -> None:
        self.requested = False
        self._main = threading.get_ident()
        self._armed = False
        self._raised = False
        self._pending = False
        self._depth = 0
        self._held = _Held(self)
        self._reader = self._writer = -1
        self._masks: dict[int, set[signal.Signals | int]] = {}

    def install(self, *, grace: float, give_up: Callable[[], None]) -> None:
        """Install the handler of SIGTERM. Call it in the main thread.

        Args:
            grace: Seconds that the job has to end after the signal.
            give_up: Ends the process. Called in the watcher thread.
        """
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        watcher = threading.Thread(
            target=self._watch, args=(grace, give_up), name="core4-interrupt", daemon=True
        )
        watcher.start()
        self._armed = True
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        os.register_at_fork(
            before=self._before_fork,
            after_in_parent=self._after_fork,
            after_in_child=self._after_fork_in_child,
        )

    def disarm(self) -> None:
        """Raise nothing from now on, since the outcome is known."""
        self._armed = False

    def held(self) -> _Held:
        """Return the context manager that defers an interrupt of the main thread to its end."""
        return self._held

    def _on_signal(self, _signum: int, _frame: object) -> None:
        self.requested = True
        # Other code (asyncio) may have replaced the wake-up descriptor, so notify the watcher here.
        with contextlib.suppress(OSError):
            os.write(self._writer, bytes((HANDLED,)))
        if self._depth:
            self._pending = True
        else:
            self._raise()

    def _raise(self) -> None:
        self._pending = False
        if self._armed and not self._raised:
            self._raised = True
            raise CoreJobKilled

    def _watch(self, grace: float, give_up: Callable[[], None]) -> None:
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        heard = {signal.SIGTERM.value: 0, HANDLED: 0}
        pokes = 0
        deadline: float | None = None
        # The watcher's own repetitions don't count as a second signal.
        while max(heard.values()) - pokes < 2:
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                break
            left = None if deadline is None else deadline - now
            # Two repetitions that are pending at once arrive as one, and the other would hide a
            # second signal. So each waits until the one before it is heard.
            may_poke = not heard[HANDLED] and heard[signal.SIGTERM] > pokes
            if left is not None and may_poke:
                left = min(left, FIRST_POKE * 2**pokes)
            if poll.poll(left and left * 1000):
                for byte in os.read(self._reader, 64):
                    if byte in heard:
                        heard[byte] += 1
                if deadline is None and any(heard.values()):
                    deadline = time.monotonic() + grace
            elif may_poke and self._poke():
                pokes += 1
        give_up()

    def _poke(self) -> bool:
        """Send the signal to the main thread again, in case it missed the first. True if sent.

        If a signal arrives between Python's last check and a blocking system call, the call is not
        interrupted; the next signal interrupts it.
        """
        # A handler that the job has installed must not be called more often than signals came.
        if signal.getsignal(signal.SIGTERM) == self._on_signal:
            signal.pthread_kill(self._main, signal.SIGTERM)
            return True
        return False

    # Between fork and its clean-up, a child has the parent's handler and descriptor, so a signal
    # to the child (a pool that is terminated) would count as one to the parent. Block it meanwhile.

    def _before_fork(self) -> None:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self._masks[threading.get_ident()] = mask

    def _after_fork(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.pop(threading.get_ident()))

    def _after_fork_in_child(self) -> None:
        self._armed = False
        self._main = threading.get_ident()
        self._depth = 0
        # The thread that forked becomes the child's main thread, which alone may set signals.
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(-1)
            if signal.getsignal(signal.SIGTERM) == self._on_signal:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._after_fork()


class _Held:
    """Defers an interrupt of the main thread until the block is left."""

    __slots__ = ("_interrupt",)

    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt

    def __enter__(self) -> None:
        if threading.get_ident() == self._interrupt._main:
            self._interrupt._depth += 1

    def __exit__(self, *_error: object) -> None:
        interrupt = self._interrupt
        if threading.get_ident() == interrupt._main:
            interrupt._depth -= 1
            if interrupt._pending and not interrupt._depth:
                interrupt._raise()
