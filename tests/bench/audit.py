"""Count writes by the API server's audit log, which names the user and the object of each."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

_CONTROLLERS: Final = "system:serviceaccount:kube-system:"
_DRY_RUN: Final = "dryRun=All"
_OK: Final = 300
"""Status codes below this one are of requests that were carried out."""


class Write(msgspec.Struct, frozen=True):
    """One kind of write request.

    Attributes:
        actor: Name of the controller of Kubernetes, or of the client as it calls itself.
        verb: Verb, as in a role.
        resource: Plural name of the resource, with the sub-resource if there is one.
    """

    actor: str
    verb: str
    resource: str

    @property
    def kind(self) -> str:
        """The resource without its sub-resource."""
        return self.resource.partition("/")[0]


class _User(msgspec.Struct):
    username: str


class _Object(msgspec.Struct, rename="camel"):
    resource: str = ""
    namespace: str = ""
    subresource: str = ""


class _Response(msgspec.Struct):
    code: int = 0


class _Event(msgspec.Struct, rename="camel"):
    verb: str
    user: _User
    uri: str = msgspec.field(name="requestURI", default="")
    user_agent: str = ""
    object_ref: _Object | None = None
    response_status: _Response | None = None


class Mark(NamedTuple):
    """A place in the audit log, which stays valid when the API server rotates the log.

    Attributes:
        file: Inode of the file: a rotation renames the file and begins a new one.
        offset: Bytes before the place.
    """

    file: int
    offset: int


@dataclass(frozen=True, slots=True)
class AuditLog:
    """The audit log of the local cluster, and the backups that rotations have left beside it."""

    path: Path

    def mark(self) -> Mark:
        """Return the present end of the log."""
        status = self.path.stat()
        return Mark(status.st_ino, status.st_size)

    def writes(self, since: Mark, namespace: str) -> Counter[Write]:
        """Count the successful writes in a namespace since a mark.

        Raises:
            AssertionError: The file of the mark is gone: the API server keeps one backup.
        """
        return Counter(_writes(self._lines(since), namespace))

    def _lines(self, since: Mark) -> Iterator[bytes]:
        with contextlib.ExitStack() as stack:
            files = self._open(stack)
            lost = f"{self.path} was rotated more than once: measure fewer jobs at a time"
            assert since.file in files, lost
            order = list(files)
            files[since.file].seek(since.offset)
            for inode in order[order.index(since.file) :]:
                yield from files[inode]

    def _open(self, stack: contextlib.ExitStack) -> dict[int, BinaryIO]:
        """Return the opened files by their inodes, oldest first."""
        # First the log itself: after a rotation in between, it is found again among the backups.
        current = stack.enter_context(self.path.open("rb"))
        # The names contain the time of the rotation.
        names = sorted(self.path.parent.glob(f"{self.path.stem}-*{self.path.suffix}"))
        backups = [stack.enter_context(name.open("rb")) for name in names]
        return {os.fstat(file.fileno()).st_ino: file for file in (*backups, current)}


def _writes(lines: Iterator[bytes], namespace: str) -> Iterator[Write]:
    decoder = msgspec.json.Decoder(_Event)
    for line in lines:
        if not line.endswith(b"\n"):
            # The API server is writing this line.
            return
        event = decoder.decode(line)
        ref, status = event.object_ref, event.response_status
        if ref is None or ref.namespace != namespace or status is None or status.code >= _OK:
            continue
        if _DRY_RUN in event.uri:
            continue
        resource = f"{ref.resource}/{ref.subresource}" if ref.subresource else ref.resource
        yield Write(_actor(event), event.verb, resource)


def _actor(event: _Event) -> str:
    # API and recorder share a service account, kwok and kubectl the administrator's certificate.
    user = event.user.username
    ours = user == "admin" or user.startswith("system:serviceaccount:")
    if ours and not user.startswith(_CONTROLLERS):
        return event.user_agent.partition("/")[0]
    return user.rpartition(":")[2]
