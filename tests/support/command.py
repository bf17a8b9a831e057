"""The real command `core4` as a process, with the URL and the administrator's sign-in."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

CORE4 = str(Path(sys.executable).parent / "core4")
_SECONDS = 240


@dataclass(frozen=True)
class Result:
    """The end of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON that it printed."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Running:
    """The command while it runs."""

    process: "subprocess.Popen[str]"
    errors: IO[str]

    def line(self) -> str:
        """Wait for the next line that it prints."""
        return self._output.readline()

    def interrupt(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self) -> Result:
        """Wait for its end; its output is what `line` has not returned."""
        timer = threading.Timer(_SECONDS, self.process.kill)
        timer.start()
        try:
            # Not `communicate`: it would lose what `line` has read ahead of the pipe.
            out = self._output.read()
            code = self.process.wait()
        finally:
            timer.cancel()
        self.errors.seek(0)
        return _result(code, out, self.errors.read())

    @property
    def _output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout


@dataclass(frozen=True)
class Command:
    """Runs the command in an environment."""

    environ: dict[str, str]

    @classmethod
    def of(cls, url: str, folder: Path) -> Self:
        """Return the command for a server; its files are in a folder of the test."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith("CORE4_")}
        return cls(
            {
                **kept,
                "CORE4_URL": url,
                "CORE4_USER": "admin",
                "CORE4_PASSWORD": "hans",
                "NO_PROXY": "*",
                "XDG_CONFIG_HOME": str(folder / "config"),
                "XDG_STATE_HOME": str(folder / "state"),
            }
        )

    def __call__(self, *args: str, stdin: str | None = None, **environ: str) -> Result:
        """Run the command to its end."""
        done = subprocess.run(
            [CORE4, *args], env={**self.environ, **environ}, input=stdin,
            capture_output=True, text=True, check=False, timeout=_SECONDS,
        )  # fmt: skip
        return _result(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def start(self, *args: str) -> Iterator[Running]:
        """Start the command, and end it if it still runs at the end of the block."""
        # A file, since nobody reads a second pipe while the first one is read.
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(
                [CORE4, *args], env=self.environ, text=True,
                stdout=subprocess.PIPE, stderr=errors,
            ) as process,
        ):  # fmt: skip
            try:
                yield Running(process, errors)
            finally:
                process.kill()


def _result(code: int, out: str, err: str) -> Result:
    """Return the end of a command, which must not show a traceback."""
    assert "Traceback" not in err, err
    return Result(code, out, err)
