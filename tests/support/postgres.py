"""A PostgreSQL server on this machine that pods can reach and tests can restart."""

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.cluster import network, packages
from tests.support.ports import free_port

_USER: Final = "core4"
_DATABASE: Final = "postgres"
_WAITING: Final = ("-w", "-t", "180")
"""Options of `pg_ctl`: a busy machine may take longer than its own limit of 60 s."""


class Postgres:
    """A server of Debian's package, with a folder of its own and password authentication."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._control = str(programs / "pg_ctl")
        self._folder = folder
        self._data = str(folder / "data")
        self._password = secrets.token_hex(16)
        self._address = network.node_ip()
        self._port = free_port(self._address)
        secret = folder / "password"
        secret.write_text(self._password, encoding="ascii")
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres").pw_uid
            os.chown(folder, owner, -1)
            os.chown(secret, owner, -1)
        _run(
            str(programs / "initdb"),
            *("-D", self._data, "-A", "scram-sha-256", "-U", _USER, f"--pwfile={secret}", "-N"),
        )
        rules = folder / "data" / "pg_hba.conf"
        with rules.open("a", encoding="ascii") as file:
            file.write("host all all 0.0.0.0/0 scram-sha-256\n")

    @property
    def url(self) -> str:
        """The URL for the Secret of the chart's `store.existingSecret`."""
        place = f"{self._address}:{self._port}/{_DATABASE}"
        return f"postgresql+psycopg://{_USER}:{self._password}@{place}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = f"-k {self._folder} -p {self._port} -c listen_addresses={self._address}"
        log = str(self._folder / "log")
        words = ("-D", self._data, "-o", options, "-l", log, *_WAITING)
        _run(self._control, *words, "start")

    def stop(self) -> None:
        """Stop the server at once, so that the next start is a recovery."""
        _run(self._control, "-D", self._data, "-m", "immediate", *_WAITING, "stop")


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server while the context lasts, then delete it with its data."""
    packages.ensure(["postgres"])
    programs = packages.postgres_folder()
    assert programs is not None, "ensured above"
    folder = Path(tempfile.mkdtemp(prefix="core4-pg-"))
    try:
        server = Postgres(programs, folder)
        server.start()
        try:
            yield server
        finally:
            # A failed test may have left the server stopped.
            with contextlib.suppress(subprocess.CalledProcessError):
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*words: str) -> None:
    """Run a command, as the user postgres if this is root: PostgreSQL refuses to run as root."""
    command = ["runuser", "-u", "postgres", "--", *words] if os.geteuid() == 0 else list(words)
    null = subprocess.DEVNULL
    subprocess.run(command, check=True, stdout=null, stderr=null)
