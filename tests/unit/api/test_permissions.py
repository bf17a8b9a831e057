"""core4's permissions."""

import logging
import time

import pytest

from corejob_api.auth.permissions import Access, Permissions
from corejob_api.auth.users import User

DUMMY = "core4.queue.helper.job.example.DummyJob"
METHODS = {"GET": "r", "HEAD": "r", "POST": "c", "PUT": "u", "DELETE": "d"}


def called(*permissions: str) -> str:
    """Return the letters of the methods that may be called."""
    found = Permissions(permissions)
    return "".join(sorted({letter for method, letter in METHODS.items() if found.may_call(method)}))


@pytest.mark.parametrize(
    ("permission", "letters"),
    [
        ("api://core4.api.v1.request.queue.job.JobHandler", "cdru"),
        ("api://core4.api.v1.request.queue.*", "cdru"),
        ("api://core4.api.v1", "cdru"),
        ("api://core4/crud", "cdru"),
        ("api://.*/crud", "cdru"),
        ("api://.*/r", "r"),
        ("api://core4/c", "c"),
        ("api://core4/u", "u"),
        ("api://core4/ur", "ru"),
        ("api://reporting.api.v1/crud", ""),
        ("api://ore4/crud", ""),
        ("api://queue.job.JobHandler/crud", ""),
        ("api://other|core4/r", "r"),
        ("api://CORE4/r", ""),
    ],
)
def test_calling_the_api(permission: str, letters: str) -> None:
    assert called(permission) == letters


def test_permissions_to_call_add_up() -> None:
    assert called("api://core4/r", "api://core4/c", "api://other/u") == "cr"


def test_a_user_without_permission_may_call_nothing() -> None:
    assert called() == ""
    assert called("job://.*/x") == ""


@pytest.mark.parametrize(
    ("method", "allowed"), [("OPTIONS", True), ("BREW", False), ("get", False)]
)
def test_other_methods(method: str, allowed: bool) -> None:
    assert Permissions(["api://core4/crud"]).may_call(method) is allowed


@pytest.mark.parametrize(
    ("permission", "access"),
    [
        (f"job://{DUMMY}/x", Access.EXECUTE),
        (f"job://{DUMMY}/r", Access.READ),
        (f"job://{DUMMY}/rx", Access.EXECUTE),
        ("job://core4.queue.helper.job.example.*/x", Access.EXECUTE),
        ("job://core4/r", Access.READ),
        ("job://.*/x", Access.EXECUTE),
        ("job://.*Dummy/r", Access.READ),
        ("job://Dummy/x", Access.NONE),
        ("job://example|core4/r", Access.READ),
        ("job://other|Dummy/r", Access.NONE),
        ("job://core4.queue.helper.job.example.DummyJob$/x", Access.EXECUTE),
        ("job://core4.queue.helper.job.example.Dummy$/x", Access.NONE),
        ("job://(?i)CORE4/x", Access.EXECUTE),
        ("api://core4/crud", Access.NONE),
    ],
)
def test_jobs(permission: str, access: Access) -> None:
    assert Permissions([permission]).access(DUMMY) is access


def test_best_of_several_counts() -> None:
    found = Permissions(["job://core4/r", f"job://{DUMMY}/x", "job://.*/r"])
    assert found.access(DUMMY) is Access.EXECUTE
    assert found.access("core4.other.Job") is Access.READ


def test_user_asks_them() -> None:
    reader = User("a", perms=("api://core4/r", "job://core4/r"))
    assert reader.may_call("GET")
    assert not reader.may_call("POST")
    assert reader.may_read(DUMMY)
    assert not reader.may_execute(DUMMY)
    assert not reader.may_read("other.Job")
    executor = User("b", perms=("job://core4/x",))
    assert executor.may_read(DUMMY)
    assert executor.may_execute(DUMMY)


@pytest.mark.parametrize("user", [User("a", roles=("x", "admin")), User("b", perms=("cop",))])
def test_administrators_may_do_all(user: User) -> None:
    assert all(user.may_call(method) for method in [*METHODS, "BREW"])
    assert user.may_read("any.Job")
    assert user.may_execute("any.Job")


@pytest.mark.parametrize("role", ["Admin", "administrator", "user"])
def test_other_roles_may_do_nothing(role: str) -> None:
    user = User("a", roles=(role,))
    assert not user.may_call("GET")
    assert not user.may_read(DUMMY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "admin",
        "api",
        "api:/core4",
        "api://",
        "api:///r",
        "api://core4/",
        "api://core4/x",
        "api://core4/R",
        "api://core4/api/v1/r",
        "api://a b/r",
        "job://",
        "job://core4",
        "job://core4/",
        "job://core4/c",
        "job:///x",
        "job://core4/x\n",
        "JOB://core4/x",
        "://x",
    ],
)
def test_malformed(text: str) -> None:
    with pytest.raises(ValueError, match="is not a permission") as caught:
        Permissions([text])
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["job://(/x", "job://a)|(b/x", "api://[/r", r"job://(a)\1/x"])
def test_bad_regex(text: str) -> None:
    with pytest.raises(ValueError, match="the regex is not valid") as caught:
        Permissions([text])
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["app://client/name", "mongodb://core4", "app://", "x-y://a b"])
def test_other_protocols_are_ignored_with_a_warning(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert Permissions([text, "job://core4/r"]).access(DUMMY) is Access.READ
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert repr(text) in caplog.text


def test_no_pattern_is_slow() -> None:
    found = Permissions(["job://(a+)+$/x"])
    began = time.process_time()
    assert found.access("a" * 50_000 + "b") is Access.NONE
    assert time.process_time() - began < 1.0


def test_names_are_asked_once_and_not_kept_without_end() -> None:
    found = Permissions(["job://a/x"])
    for _ in range(3):
        for number in range(10):
            found.access(f"a{number}")
    info = found._access.cache_info()
    assert (info.hits, info.misses) == (20, 10)
    for number in range(10_000):
        found.access(f"b{number}")
    assert found._access.cache_info().currsize == info.maxsize
    assert found.access("a1") is Access.EXECUTE
