"""Output of commands: results go to stdout, progress to stderr."""

import sys
import time
from pathlib import Path


def say(message: str) -> None:
    """Print a progress message."""
    sys.stderr.write(f"==> {message}\n")
    sys.stderr.flush()


def tell(text: str) -> None:
    """Print a result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def tail(path: Path, lines: int = 25) -> str:
    """Return the last lines of a log file, indented, for an error message."""
    if not path.exists():
        return f"    ({path} does not exist)"
    text = path.read_text(encoding="utf-8", errors="replace")
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


class Heartbeat:
    """Prints every few seconds the elapsed time and the progress of a long task."""

    def __init__(self, task: str, interval: float = 5.0) -> None:
        self._task = task
        self._interval = interval
        self._start = time.monotonic()
        self._last = self._start

    @property
    def elapsed(self) -> float:
        """Seconds since the task began."""
        return time.monotonic() - self._start

    def beat(self, detail: str) -> None:
        """Print a message with `detail`, unless the last one is less than `interval` old."""
        now = time.monotonic()
        if now - self._last >= self._interval:
            self._last = now
            say(f"{self._task}: {self.elapsed:.0f} s, {detail}")
