"""Run other programs; errors contain their output."""

import contextlib
import os
import shlex
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.held import HeldSignals
from tests.cluster.output import Heartbeat, say

_TAIL = 40
# A compilation on a slow machine or a download over a slow line takes long, but not for ever.
_LONGEST = 2 * 3600.0
# Seconds for a program to end after SIGTERM.
_PATIENCE = 10.0


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment, with the sbin folders added to PATH, and with a HOME."""
    result = {**os.environ, **(extra or {})}
    if "HOME" not in result:
        # Go and helm need it, and services and containers may run without.
        with contextlib.suppress(RuntimeError):
            result["HOME"] = str(Path.home())
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
    with HeldSignals() as held:
        try:
            process = subprocess.Popen(
                [str(part) for part in argv],
                cwd=cwd,
                env=environment(env),
                # A job's log, shown after a failed test, may contain any bytes.
                errors="backslashreplace",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except OSError as error:
            raise ClusterError(not_started(argv[0], error)) from error
        with process:
            try:
                held.release()
                output, errors = process.communicate(stdin or "", timeout=timeout)
            except subprocess.TimeoutExpired as error:
                process.kill()
                what = f"no end after {timeout:.0f} s: {shlex.join(map(str, argv))}"
                raise ClusterError(what) from error
            except BaseException:
                # Unlike `subprocess.run`, let it tidy up: a killed helm would leave its release
                # locked.
                _end(process)
                raise
    if check and process.returncode != 0:
        raise ClusterError(_failure(argv, process.returncode, output + errors))
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def run_visibly(
    task: str,
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = _LONGEST,
) -> None:
    """Run a program that takes long, and print its progress every few seconds.

    Raises:
        ClusterError: the program is missing, takes too long or fails; the message has the end of
            its output.
    """
    heartbeat = Heartbeat(task)
    lines: list[str] = []
    with HeldSignals() as held:
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
        except OSError as error:
            raise ClusterError(not_started(argv[0], error)) from error
        with process:
            try:
                reader = threading.Thread(target=_collect, args=(process, lines), daemon=True)
                reader.start()
                held.release()
                while reader.is_alive():
                    reader.join(0.2)
                    heartbeat.beat(f"{len(lines)} lines, at {lines[-1][:100]}" if lines else "…")
                    if heartbeat.elapsed > timeout:
                        what = f"no end after {timeout:.0f} s: {shlex.join(map(str, argv))}"
                        raise ClusterError(f"{what}\n{_shown(lines)}")
            except BaseException:
                _end(process)
                raise
    if process.returncode != 0:
        raise ClusterError(_failure(argv, process.returncode, "\n".join(lines)))
    say(f"{task}: done in {heartbeat.elapsed:.0f} s")


def _collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text := line.rstrip():
            lines.append(text)  # noqa: PERF401 - seen by the heartbeat while it grows


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()


def not_started(program: str | Path, error: OSError) -> str:
    """Return the message about a program that could not be started."""
    if isinstance(error, FileNotFoundError) and error.filename in (program, str(program)):
        return f"{program} is not installed"
    return f"{program} can't be started: {error}"


def _failure(argv: Sequence[str | Path], code: int, output: str) -> str:
    shown = _shown(output.strip().splitlines())
    return f"exit code {code} of: {shlex.join(map(str, argv))}\n{shown}"


def _shown(lines: Sequence[str]) -> str:
    return "\n".join(f"    {line}" for line in lines[-_TAIL:])
