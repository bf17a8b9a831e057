"""Start, record, find and stop processes that outlive this one."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster.commands import environment, not_started
from tests.cluster.errors import ClusterError
from tests.cluster.output import tail

_PROC = Path("/proc")
_TICK = 0.05
# Seconds for a killed process to end, which it does at once except on a busy machine.
_PATIENCE = 30.0
_PF_EXITING = 0x4


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process that we started.

    The kernel reuses pids, so a process is identified by its pid, its start time (ticks since boot)
    and the boot id together.
    """

    name: str
    pid: int
    start: int
    boot: str
    argv: tuple[str, ...]
    fingerprint: str

    def alive(self) -> bool:
        """True if this process still runs; False as soon as it was killed."""
        ours = self.boot == boot_id() and start_time(self.pid) == self.start
        return ours and not is_dying(self.pid)


class StateFile:
    """The record of started processes, written after each start so that a killed run keeps it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, ProcessRecord]:
        """Return the record by name; empty if there is none or it can't be read."""
        try:
            rows = json.loads(self._path.read_text(encoding="utf-8"))["processes"]
            processes = [ProcessRecord(**{**row, "argv": tuple(row["argv"])}) for row in rows]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return {process.name: process for process in processes}

    def add(self, process: ProcessRecord) -> None:
        """Record a process, replacing one of the same name."""
        self._write({**self.read(), process.name: process})

    def remove(self, name: str) -> None:
        """Forget a process."""
        self._write({key: value for key, value in self.read().items() if key != name})

    def _write(self, processes: dict[str, ProcessRecord]) -> None:
        new = self._path.with_suffix(".new")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        rows = [asdict(process) for process in processes.values()]
        new.write_text(json.dumps({"processes": rows}, indent=1), encoding="utf-8")
        new.replace(self._path)


def boot_id() -> str:
    """Return the id of the machine's present boot; empty if unknown."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def start_time(pid: int) -> int | None:
    """Return a process's start time in ticks since boot; None if it is gone or a zombie."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name, in brackets, may itself contain blanks and brackets.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def is_dying(pid: int) -> bool:
    """True if a process has ended, is exiting, or has a pending SIGKILL."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        status = (_PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    if int(stat.rpartition(")")[2].split()[6]) & _PF_EXITING:
        return True
    fields = dict(line.partition(":")[::2] for line in status.splitlines())
    pending = int(fields.get("SigPnd", "0"), 16) | int(fields.get("ShdPnd", "0"), 16)
    return bool(pending & 1 << signal.SIGKILL - 1)


def spawn(name: str, argv: Sequence[str], log: Path, fingerprint: str = "") -> ProcessRecord:
    """Start a process in a session of its own, with its output in a log file.

    Raises:
        ClusterError: the process can't be started, or ended at once.
    """
    with log.open("ab") as output:
        output.write(f"--- {time.strftime('%Y-%m-%dT%H:%M:%S')} {' '.join(argv)}\n".encode())
        output.flush()
        try:
            process = subprocess.Popen(
                argv,
                cwd="/",
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ClusterError(not_started(argv[0], error)) from error
    # The process outlives us; without this, its object would warn that it still runs.
    process.returncode = 0
    started = start_time(process.pid)
    if started is None:
        raise ClusterError(f"{name} ended at once:\n{tail(log)}")
    return ProcessRecord(name, process.pid, started, boot_id(), tuple(argv), fingerprint)


def wait(
    ready: Callable[[], bool], seconds: float, gone: Callable[[], bool] = lambda: False
) -> bool:
    """Wait until `ready`, and return True; return False after `seconds`, or once `gone` is True."""
    deadline = time.monotonic() + seconds
    while True:
        checked = time.monotonic()
        if ready():
            return True
        if gone() or checked > deadline:
            return False
        time.sleep(_TICK)


def stop(pids: Iterable[int], seconds: float = 10.0) -> None:
    """Stop processes with SIGTERM, and after `seconds` with SIGKILL."""
    starts = {pid: begun for pid in pids if (begun := start_time(pid)) is not None}
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, _PATIENCE)):
        for pid in _still(starts):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if wait(lambda: not list(_still(starts)), patience):
            return


def kill(pids: Iterable[int]) -> None:
    """Stop processes with SIGKILL, and wait until they are gone."""
    starts = {pid: begun for pid in pids if (begun := start_time(pid)) is not None}
    for pid in _still(starts):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait(lambda: not list(_still(starts)), _PATIENCE)


def _still(starts: dict[int, int]) -> Iterator[int]:
    for pid, begun in starts.items():
        _reap(pid)
        if start_time(pid) == begun:
            yield pid


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def all_processes() -> Iterator[tuple[int, list[str]]]:
    """Yield pid and arguments of each process of the machine."""
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                raw = (entry / "cmdline").read_bytes()
                if raw:
                    yield int(entry.name), raw.decode(errors="replace").rstrip("\0").split("\0")


def using(folder: Path, programs: Iterable[str]) -> list[int]:
    """Return the pids of the named programs that have an argument with a path below the folder."""
    names = set(programs)
    # The path of another folder may end with this one's: /cache/cluster, /tmp/cache/cluster.
    below = re.compile(rf"(?:^|[=:,]|//){re.escape(str(folder))}/")
    return [
        pid
        for pid, argv in all_processes()
        if Path(argv[0]).name in names and any(map(below.search, argv[1:])) and _sees_our_files(pid)
    ]


def _sees_our_files(pid: int) -> bool:
    """False for a process in a container, where the same path is another folder."""
    try:
        return (_PROC / str(pid) / "root").samefile("/")
    except OSError:
        return True


def descendants(roots: Iterable[int]) -> list[int]:
    """Return the pids of all descendants, children before grandchildren."""
    children: dict[int, list[int]] = {}
    for pid, _ in all_processes():
        with contextlib.suppress(OSError):
            text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
            children.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(pid)
    pids: list[int] = []
    queue = list(roots)
    while queue:
        below = children.get(queue.pop(), [])
        pids += below
        queue += below
    return pids
