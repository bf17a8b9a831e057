"""The list of all commands, so that help and completion need not import them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Entry:
    """One command.

    Attributes:
        name: Its name.
        module: Module of this package that has it, as `<name>_command`; empty: see `core4.cli`.
        summary: One sentence for the list of commands.
        group: Heading in the list of commands.
        aliases: Other names.
    """

    name: str
    module: str
    summary: str
    group: str
    aliases: tuple[str, ...] = ()


_JOBS: Final = "Jobs"
_SHOW: Final = "Show"
_SERVER: Final = "Server"
_LOCAL: Final = "Without a server"

ENTRIES: Final = (
    Entry("enqueue", "enqueue", "Enqueue a job and follow it.", _JOBS, ("submit",)),
    Entry("follow", "follow", "Follow the states and the log of a job.", _JOBS),
    Entry("logs", "logs", "Show the log of a job.", _JOBS),
    Entry("wait", "wait", "Wait until jobs have ended.", _JOBS),
    Entry("kill", "steer", "Kill jobs.", _JOBS),
    Entry("restart", "steer", "Restart jobs.", _JOBS),
    Entry("rm", "steer", "Remove jobs from the queue.", _JOBS, ("remove",)),
    Entry("ls", "listing", "List the queue.", _SHOW, ("ps", "queue")),
    Entry("history", "listing", "List past jobs.", _SHOW, ("journal",)),
    Entry("get", "detail", "Show jobs in full.", _SHOW, ("detail",)),
    Entry("jobs", "catalogue", "List the jobs that you may enqueue.", _SHOW, ("catalogue",)),
    Entry("counts", "counts", "Count the jobs in the queue by state.", _SHOW, ("info",)),
    Entry("open", "browse", "Open a job in the browser.", _SHOW),
    Entry("login", "signin", "Sign in and remember the token.", _SERVER),
    Entry("logout", "signin", "Forget the token.", _SERVER),
    Entry("whoami", "signin", "Show the signed-in user.", _SERVER),
    Entry("context", "contexts", "Choose between servers.", _SERVER),
    Entry("api", "api", "Send any request to the REST API.", _SERVER),
    Entry("completion", "completion", "Print a completion script for a shell.", _LOCAL),
    Entry("run", "", "Run the job that CORE4_JOB describes, as a pod does.", _LOCAL),
    Entry("execute", "", "Run a job here and now.", _LOCAL),
    Entry("templates", "", "Print a CoreJobTemplate for each job of a package.", _LOCAL),
)
"""All commands in the order of the help; those without a module are in `core4.cli`."""

BY_NAME: Final = {name: entry for entry in ENTRIES for name in (entry.name, *entry.aliases)}
