"""Each role has exactly the rights that the code of its process uses.

The calls of the client are read from the sources. The fake API servers of all unit tests refuse
what a role does not allow, so running the code also shows that the roles suffice.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from charts import generate
from tests.support.rights import Authorizer, Right, granted, needed

from corejob_kube import resources
from corejob_kube.leases import LeaseClient
from corejob_kube.resources import Resource
from corejob_operator.caches import OWN_KINDS


def right(verb: str, kind: Resource, sub: str = "") -> Right:
    group = kind.group_version.rpartition("/")[0]
    return Right(verb, group, f"{kind.plural}/{sub}" if sub else kind.plural)


KINDS = {name: kind for name, kind in vars(resources).items() if isinstance(kind, Resource)}
VERBS = ("get", "list", "create", "patch", "delete")
METHODS = {"PUT": "update", "DELETE": "delete"}
SOURCES = {
    "api": ["api/corejob_api"],
    "recorder": ["journal/corejob_journal/recorder"],
    "operator": ["operator/corejob_operator"],
    "release": ["operator/corejob_operator/release.py"],
}
ELSEWHERE = {
    # Shared code, and the kind that it requests on behalf of its caller.
    "Informer": [("list", "", ""), ("watch", "", "")],
    "patch_status": [("patch", "", "status")],
}
LEASE_CLIENT = {
    # The methods of `corejob_kube.leases.LeaseClient`.
    "get": right("get", resources.LEASES),
    "list": right("list", resources.LEASES),
    "create": right("create", resources.LEASES),
    "renew": right("patch", resources.LEASES),
    "prolong": right("patch", resources.LEASES),
    "set_owner": right("patch", resources.LEASES),
    "replace": right("update", resources.LEASES),
    "delete": right("delete", resources.LEASES),
    "has_pod": right("get", resources.PODS),
}
BY_VARIABLE = [
    # Calls whose kind is a variable. The resync lists the kinds that are watched; the calls of
    # `patch_status` have the patched kinds.
    ("patching.py", "patch"),
    ("patching.py", "patch_status"),
    ("resync.py", "list"),
]
WITHOUT_A_CALL = {"operator": [(verb, kind) for kind in OWN_KINDS for verb in ("list", "watch")]}
ADMISSION = {
    # Not a request: the admission plugin OwnerReferencesPermissionEnforcement checks this right
    # when a Job is created whose owner may not be deleted before it.
    "operator": {Right("update", "core4.io", "corejobs/finalizers")},
}


@dataclass(frozen=True)
class Scan:
    """The rights that the calls in some files need."""

    rights: frozenset[Right]
    by_variable: tuple[tuple[str, str], ...]


def files(role: str) -> Iterator[Path]:
    for source in SOURCES[role]:
        path = generate.ROOT / source
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def scanned(role: str) -> Scan:
    rights: set[Right] = set()
    by_variable: list[tuple[str, str]] = []
    for file in files(role):
        if role == "operator" and file.name == "release.py":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            *receiver, function = ast.unparse(call.func).split(".")
            is_client = bool(receiver) and receiver[-1] in {"kube", "_kube"}
            if receiver and receiver[-1] == "_leases":
                rights.add(LEASE_CLIENT[function])
            elif function in ELSEWHERE:
                kind = next((KINDS[name] for name in names(call) if name in KINDS), None)
                for verb, fixed, sub in ELSEWHERE[function]:
                    resource = KINDS[fixed] if fixed else kind
                    if resource is None:
                        by_variable.append((file.name, function))
                    else:
                        rights.add(right(verb, resource, sub))
            elif is_client and function in VERBS:
                (name, *_) = names(call)
                if name in KINDS:
                    rights.add(right(function, KINDS[name], literal(call, "sub")))
                else:
                    by_variable.append((file.name, function))
        rights |= by_path(tree)
    return Scan(frozenset(rights), tuple(by_variable))


def names(call: ast.Call) -> list[str]:
    return [ast.unparse(argument) for argument in call.args]


def literal(call: ast.Call, name: str) -> str:
    values = [keyword.value for keyword in call.keywords if keyword.arg == name]
    return str(ast.literal_eval(values[0])) if values else ""


def by_path(tree: ast.Module) -> set[Right]:
    """Return the right of each `KIND.path(…)`: by the method of the request beside it, else GET."""
    rights: set[Right] = set()
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
        paths = [call for call in calls if ast.unparse(call.func).removesuffix(".path") in KINDS]
        methods = [
            ast.literal_eval(call.args[0])
            for call in calls
            if ast.unparse(call.func).endswith("kube.request")
            and isinstance(call.args[0], ast.Constant)
        ]
        for path in paths:
            kind = KINDS[ast.unparse(path.func).removesuffix(".path")]
            sub = str(ast.literal_eval(path.args[2])) if len(path.args) > 2 else ""
            verbs = [METHODS[method] for method in methods] or ["get"]
            rights |= {right(verb, kind, sub) for verb in verbs}
    return rights


@pytest.mark.parametrize("role", SOURCES)
def test_a_role_has_the_rights_that_its_process_uses_and_no_other(role: str) -> None:
    used = set(scanned(role).rights)
    used |= {right(verb, kind) for verb, kind in WITHOUT_A_CALL.get(role, ())}
    used |= ADMISSION.get(role, set())
    unused, missing = sorted(granted(role) - used), sorted(used - granted(role))
    assert not unused, f"nothing uses {unused}"
    assert not missing, f"the code uses {missing}"


def test_the_lease_client_has_no_other_methods() -> None:
    methods = {name for name, value in vars(LeaseClient).items() if callable(value)}
    assert {name for name in methods if not name.startswith("_")} == set(LEASE_CLIENT)


def test_no_call_is_left_out() -> None:
    left_out = [call for role in SOURCES for call in scanned(role).by_variable]
    assert sorted(left_out) == BY_VARIABLE


def test_a_request_needs_the_right_that_kubernetes_asks_for() -> None:
    jobs = "/apis/batch/v1/namespaces/x/jobs"
    pods = "/api/v1/namespaces/x/pods"
    cases = {
        ("GET", jobs): Right("list", "batch", "jobs"),
        ("GET", f"{jobs}/a"): Right("get", "batch", "jobs"),
        ("POST", jobs): Right("create", "batch", "jobs"),
        ("PUT", f"{jobs}/a"): Right("update", "batch", "jobs"),
        ("PATCH", f"{jobs}/a/status"): Right("patch", "batch", "jobs/status"),
        ("DELETE", f"{jobs}/a"): Right("delete", "batch", "jobs"),
        ("DELETE", jobs): Right("deletecollection", "batch", "jobs"),
        ("GET", f"{pods}/a/log"): Right("get", "", "pods/log"),
    }
    assert {case: needed(*case, {}) for case in cases} == cases
    assert needed("GET", pods, {"watch": "true"}).verb == "watch"


def test_a_fake_api_server_tells_what_a_role_does_not_allow() -> None:
    authorizer = Authorizer("recorder")
    assert authorizer.allows("GET", "/api/v1/namespaces/x/pods/a", {})
    authorizer.check()
    assert not authorizer.allows("DELETE", "/api/v1/namespaces/x/pods/a", {})
    with pytest.raises(AssertionError, match="the role of recorder"):
        authorizer.check()
