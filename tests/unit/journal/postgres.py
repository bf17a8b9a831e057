"""A PostgreSQL server in a folder of its own, reached by a socket."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import packages
from tests.cluster.errors import ClusterError

_PORT = "54555"


def programs() -> Path:
    """Return the folder of the newest server's programs; install them if need be.

    Raises:
        ClusterError: PostgreSQL is not here, and can't be installed from here.
    """
    try:
        packages.ensure(["postgres"])
    except ClusterError as error:
        raise ClusterError(
            f"the journal's tests need the server of PostgreSQL {packages.POSTGRES_VERSION} or"
            f" later: its initdb and pg_ctl in Debian's folder or in PATH. {error}"
        ) from error
    found = packages.postgres_folder()
    assert found is not None, "ensured above"
    return found


def _run(*words: str) -> None:
    """Run a command, as the user postgres if this is root: PostgreSQL refuses to run as root."""
    command = ["runuser", "-u", "postgres", "--", *words] if os.geteuid() == 0 else list(words)
    null = subprocess.DEVNULL
    subprocess.run(command, check=True, stdout=null, stderr=null)


@contextmanager
def server(bin_folder: Path) -> Iterator[str]:
    """Run a server; yield the parameters of its URL: host (the socket folder) and port."""
    folder = Path(tempfile.mkdtemp(prefix="core4-pg-"))
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
    data, control = folder / "data", str(bin_folder / "pg_ctl")
    try:
        initdb = str(bin_folder / "initdb")
        _run(initdb, "-D", str(data), "-A", "trust", "-U", "core4", "-N")
        # No test needs the data to survive a power failure. An autovacuum is a transaction, which
        # tests that look for new transactions would see.
        options = f"-k {folder} -p {_PORT} -c listen_addresses='' -c fsync=off -c autovacuum=off"
        start = (control, "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
        _run(*start)
        try:
            yield f"host={folder}&port={_PORT}"
        finally:
            stop = (control, "-D", str(data), "-m", "immediate", "stop")
            _run(*stop)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
