"""The real command `core4` as a process, with the URL and the administrator's sign-in."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

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
        """Run the command to its end; it must not show a traceback."""
        done = subprocess.run(
            [CORE4, *args], env={**self.environ, **environ}, input=stdin,
            capture_output=True, text=True, check=False, timeout=_SECONDS,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *args: str) -> "subprocess.Popen[str]":
        """Start the command."""
        return subprocess.Popen(
            [CORE4, *args], env=self.environ, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
