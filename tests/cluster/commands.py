"""Run other programs; errors contain their output."""

import os
import shlex
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.output import Heartbeat, say

_TAIL = 40


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment, with the sbin folders added to PATH."""
    result = {**os.environ, **(extra or {})}
    wanted = [*result.get("PATH", "").split(":"), "/usr/local/sbin", "/usr/sbin", "/sbin"]
    result["PATH"] = ":".join(dict.fromkeys(part for part in wanted if part))
    return result


def run(
    argv: Sequence[str | Path],
    *,
    check: bool = True,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end without output, and return its result.

    Raises:
        ClusterError: the program is missing, takes too long or, with `check`, fails; the message
            has the end of its output.
    """
    try:
        result = subprocess.run(
            [str(part) for part in argv],
            capture_output=True,
            check=False,
            cwd=cwd,
            env=environment(env),
            # A job's log, shown after a failed test, may contain any bytes.
            errors="backslashreplace",
            input="" if stdin is None else stdin,
            text=True,
            timeout=timeout,
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{argv[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"no end after {timeout:.0f} s: {shlex.join(map(str, argv))}") from error
    if check and result.returncode != 0:
        raise ClusterError(_failure(argv, result.returncode, result.stdout + result.stderr))
    return result


def run_visibly(
    task: str,
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a program that takes long, and print its progress every few seconds.

    Raises:
        ClusterError: the program is missing or fails; the message has the end of its output.
    """
    heartbeat = Heartbeat(task)
    lines: list[str] = []
    try:
        process = subprocess.Popen(
            [str(part) for part in argv],
            cwd=cwd,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{argv[0]} is not installed") from error
    with process:
        reader = threading.Thread(target=_collect, args=(process, lines), daemon=True)
        reader.start()
        try:
            while reader.is_alive():
                reader.join(0.2)
                heartbeat.beat(f"{len(lines)} lines, at {lines[-1][:100]}" if lines else "…")
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        raise ClusterError(_failure(argv, process.returncode, "\n".join(lines)))
    say(f"{task}: done in {heartbeat.elapsed:.0f} s")


def _collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text := line.rstrip():
            lines.append(text)  # noqa: PERF401 - seen by the heartbeat while it grows


def _failure(argv: Sequence[str | Path], code: int, output: str) -> str:
    shown = "\n".join(f"    {line}" for line in output.strip().splitlines()[-_TAIL:])
    return f"exit code {code} of: {shlex.join(map(str, argv))}\n{shown}"
