"""Rights in terms of Kubernetes' RBAC: those that the chart grants, and that of a request."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from charts import generate

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


class Right(NamedTuple):
    """One verb on one kind, such as `patch`, `core4.io`, `corejobs/status`; `""` is core."""

    verb: str
    group: str
    resource: str


def granted(role: str) -> frozenset[Right]:
    """Return the rights of a component's role; the chart's tests compare them to helm's output."""
    rules: list[dict[str, Any]] = generate.load(generate.RIGHTS)[role]
    return frozenset(
        Right(verb, group, resource)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    )


def needed(method: str, path: str, query: Mapping[str, str]) -> Right:
    """Return the right that a request for objects of a namespace needs.

    Args:
        method: HTTP method.
        path: `/api/v1/namespaces/x/pods/y/log` or `/apis/<group>/<version>/namespaces/…`.
        query: The query parameters.
    """
    before, _, after = path.partition("/namespaces/")
    group = before.split("/")[2] if before.startswith("/apis/") else ""
    plural, name, sub = (*after.split("/")[1:], "", "")[:3]
    if method == "GET":
        verb = "get" if name else "watch" if query.get("watch") == "true" else "list"
    elif method == "DELETE":
        verb = "delete" if name else "deletecollection"
    else:
        verb = _VERBS[method]
    return Right(verb, group, f"{plural}/{sub}" if sub else plural)


class Authorizer:
    """Authorises requests by a role, and records refused ones for `check`."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._granted = granted(role)
        self._denied: set[Right] = set()

    def allows(self, method: str, path: str, query: Mapping[str, str]) -> bool:
        """True if the role allows a request."""
        right = needed(method, path, query)
        if right not in self._granted:
            self._denied.add(right)
        return right in self._granted

    def check(self) -> None:
        """Fail if there was a request that the role does not allow."""
        assert not self._denied, f"the role of {self._role} does not allow {sorted(self._denied)}"
