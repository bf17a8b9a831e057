"""core4's permissions: methods that a user may call and jobs that a user may see (docs/rest.md).

`api://<regex>` or `api://<regex>/<letters>` permits calls of the API: c = create (POST), r = read
(GET), u = update (PUT), d = delete; without letters, all of them. The regex is matched against
`API`, the name of the original's job handler, so `api://core4.api.v1.request.queue.*`,
`api://core4/crud` and `api://.*/r` all mean this API. A user without such a permission may not call
the API.

`job://<regex>/<x|r>` permits executing or reading jobs by their qual_name; execution includes
reading. `cop` grants all permissions, as does the role `admin`.

A regex must match at the start of the name, but not up to its end. It is run by RE2, in linear
time.
"""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

from corejob_api.query import patterns

log = logging.getLogger(__name__)

API: Final = "core4.api.v1.request.queue.job.JobHandler"
"""Name that the regex of an `api://` permission must match."""

ALL_PERMISSIONS: Final = "cop"
"""The permission that the original gives to its administrators."""

_LETTERS: Final = {
    "GET": "r",
    "HEAD": "r",
    "OPTIONS": "r",
    "POST": "c",
    "PUT": "u",
    "PATCH": "u",
    "DELETE": "d",
}
_ALL_LETTERS: Final = "crud"
_PROTOCOL: Final = re.compile(r"([a-z][a-z0-9+.-]*)://")
_API: Final = re.compile(r"api://(?P<name>[^\s/]+)(?:/(?P<letters>[crud]+))?")
_JOB: Final = re.compile(r"job://(?P<name>[^\s/]+)/(?P<letters>[xr]+)")
_MOST_CACHED_NAMES: Final = 4096


class Access(IntEnum):
    """Level of a user's access to a job."""

    NONE = 0
    READ = 1
    EXECUTE = 2


@dataclass(frozen=True, slots=True)
class _JobRule:
    matches: patterns.Search
    access: Access


class Permissions:
    """The permissions of one user.

    The access to a qual_name is cached, since a listing looks it up for each row.

    Args:
        permissions: Permissions in core4's form.
        has_all: True to grant all permissions.

    Raises:
        ValueError: A permission is malformed; the message names it.
    """

    def __init__(self, permissions: Iterable[str] = (), *, has_all: bool = False) -> None:
        self._letters: set[str] = set()
        self._rules: list[_JobRule] = []
        self._has_all = has_all
        for text in permissions:
            self._add(text)
        self._access = lru_cache(_MOST_CACHED_NAMES)(self._find_access)

    def may_call(self, method: str) -> bool:
        """Return True if the user may call the API with an HTTP method."""
        return self._has_all or _LETTERS.get(method, "none") in self._letters

    @property
    def may_execute_any(self) -> bool:
        """True if the user may execute the jobs of any qual_name."""
        return self._has_all or any(rule.access is Access.EXECUTE for rule in self._rules)

    @property
    def may_read_any(self) -> bool:
        """True if the user may read the jobs of any qual_name."""
        return self._has_all or bool(self._rules)

    def access(self, qual_name: str) -> Access:
        """Return the user's access to the jobs of a qual_name."""
        return self._access(qual_name)

    def _find_access(self, qual_name: str) -> Access:
        if self._has_all:
            return Access.EXECUTE
        levels = (rule.access for rule in self._rules if rule.matches(qual_name))
        return max(levels, default=Access.NONE)

    def _add(self, text: str) -> None:
        if text == ALL_PERMISSIONS:
            self._has_all = True
        elif parts := _API.fullmatch(text):
            if _anchored(text, parts["name"])(API):
                self._letters.update(parts["letters"] or _ALL_LETTERS)
        elif parts := _JOB.fullmatch(text):
            access = Access.EXECUTE if "x" in parts["letters"] else Access.READ
            self._rules.append(_JobRule(_anchored(text, parts["name"]), access))
        else:
            _refuse_malformed(text)


def _anchored(text: str, pattern: str) -> patterns.Search:
    try:
        # Compile it alone first: the group around it must not complete a broken expression.
        patterns.regex(pattern, most=None)
        return patterns.regex(rf"\A(?:{pattern})", most=None)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None


def _refuse_malformed(text: str) -> None:
    """Raise ValueError for a malformed permission; only log one of core4's unused protocols.

    Those are `app://` and `mongodb://`, for example.
    """
    protocol = _PROTOCOL.match(text)
    if protocol is None or protocol[1] in {"api", "job"}:
        forms = "`api://<regex>[/<letters of crud>]`, `job://<regex>/<x or r>` or `cop`"
        raise ValueError(f"{text!r} is not a permission: expected {forms}")
    log.warning(
        "permission %r is ignored: this service has no %s:// permissions", text, protocol[1]
    )
