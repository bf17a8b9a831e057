"""Hold signals back while a program starts."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_Handler = Callable[[int, FrameType | None], Any]


class HeldSignals:
    """Holds back the calls of signal handlers, until `release` or the end of its block.

    A handler that raises within `subprocess.Popen` would leave a program behind that runs already
    and that nobody knows, so nobody could end it. Blocked signals are no way, since the program
    would inherit that.
    """

    def __init__(self) -> None:
        self._holds = False
        self._handlers: dict[int, _Handler] = {}
        self._came: list[int] = []

    def __enter__(self) -> Self:
        # Python calls handlers in the main thread only, and only there they can be set.
        if threading.current_thread() is threading.main_thread():
            for number in signal.valid_signals():
                handler = signal.getsignal(number)
                if handler is not None and not isinstance(handler, int):
                    self._handlers[number] = handler
                    signal.signal(number, self._on_signal)
        # Only now: if a handler has raised above, those that are replaced must go on to work.
        self._holds = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Set the handlers again, and call those whose signals have come."""
        self._holds = False
        for number in list(self._handlers):
            signal.signal(number, self._handlers[number])
            # Not set again at the end of the block: a handler may have replaced itself.
            del self._handlers[number]
        while self._came:
            signal.raise_signal(self._came.pop(0))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._holds:
            self._came.append(number)
        else:
            self._handlers[number](number, frame)
