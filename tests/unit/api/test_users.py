"""The users' file: its format, the errors of a bad one, and the effects of a new one."""

import json
import logging
from pathlib import Path
from typing import Any

import argon2
import pytest

from corejob_api.auth.passwords import Costs, verify_argon2
from corejob_api.auth.users import UserDirectory

HASH = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("hashed")
OTHER_HASH = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("other")
JANE = {"name": "jane", "password": "secret"}


class Seconds:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.json"


def write(path: Path, *users: Any) -> None:
    path.write_text(json.dumps(list(users)), encoding="utf-8")


def accepts(users: UserDirectory, name: str, password: str) -> bool:
    return users.credential(name).accepts(password.encode(), verify_argon2)


def test_all_fields(path: Path) -> None:
    write(
        path,
        {
            "name": "jane@example.com",
            "realname": "Jane",
            "email": "jane@example.com",
            "passwordHash": HASH,
            "role": ["a", "b"],
            "perm": ["job://core4/r", "api://core4/r"],
        },
        JANE,
    )
    users = UserDirectory(path)
    found = users.find("jane@example.com")
    assert found is not None
    assert (found.name, found.realname, found.email) == (
        "jane@example.com",
        "Jane",
        "jane@example.com",
    )
    assert (found.roles, found.perms) == (("a", "b"), ("job://core4/r", "api://core4/r"))
    assert found.may_call("GET")
    assert accepts(users, "jane@example.com", "hashed")
    assert accepts(users, "jane", "secret")
    assert not accepts(users, "jane", "hashed")
    assert not accepts(users, "jim", "hashed")


@pytest.mark.parametrize("name", ["Jane", "jan", "jane ", "", "j.*"])
def test_names_match_whole(path: Path, name: str) -> None:
    write(path, JANE)
    assert UserDirectory(path).find(name) is None


def test_plain_password_is_nowhere_to_be_seen(path: Path) -> None:
    write(path, JANE)
    found = UserDirectory(path).find("jane")
    assert found is not None
    assert "secret" not in repr(found)
    assert b"secret" not in (found.credential.digest or b"")
    assert "secret" not in found.credential.phc


def test_all_without_a_hash_are_checked_against_one_of_the_same_costs(path: Path) -> None:
    write(path, JANE, {"name": "jim", "passwordHash": HASH})
    users = UserDirectory(path)
    assert [users.credential(name).phc for name in ("jane", "jim", "nobody")] == [HASH] * 3


def test_each_check_works_through_as_much_as_that_of_the_dearest_hash(path: Path) -> None:
    dear, cheap, wide = (
        argon2.PasswordHasher(time_cost=passes, memory_cost=memory, parallelism=1).hash("pw")
        for passes, memory in ((12, 64), (3, 64), (1, 128))
    )
    hashes = {"dear": dear, "cheap": cheap, "wide": wide}
    write(path, JANE, *({"name": name, "passwordHash": phc} for name, phc in hashes.items()))
    users = UserDirectory(path)
    for name in ("jane", "dear", "cheap", "wide", "nobody"):
        worked: list[int] = []

        def verify(phc: str, password: bytes, worked: list[int] = worked) -> bool:
            worked.append(Costs.of(phc).work)
            return verify_argon2(phc, password)

        assert users.credential(name).accepts(b"pw", verify) is (name in hashes)
        assert not users.credential(name).accepts(b"wrong", verify)
        assert 12 * 64 * 2 - 24 <= sum(worked) <= 12 * 64 * 2, name


def test_hashes_that_differ_by_next_to_nothing_are_left_as_they_are(path: Path) -> None:
    hashes = [
        argon2.PasswordHasher(time_cost=1, memory_cost=memory, parallelism=1).hash("pw")
        for memory in (64, 70)
    ]
    write(path, *({"name": f"u{n}", "passwordHash": phc} for n, phc in enumerate(hashes)))
    users = UserDirectory(path)
    assert [users.credential(name).more for name in ("u0", "u1", "nobody")] == [None] * 3


def test_no_file_no_users() -> None:
    users = UserDirectory(None)
    assert users.find("admin") is None
    assert not accepts(users, "admin", "")


def test_empty_list(path: Path) -> None:
    write(path)
    assert UserDirectory(path).find("admin") is None


def test_missing_file(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        UserDirectory(path)


@pytest.mark.parametrize("raw", ["", "{", "{}", "null", '"jane"', "[", "\xff", "[" * 100_000])
def test_no_list(path: Path, raw: str) -> None:
    path.write_text(raw, encoding="latin-1")
    with pytest.raises(ValueError, match="the users' file is not a JSON list"):
        UserDirectory(path)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (1, ["user 1:"]),
        ({}, ["user 1:", "`name`"]),
        ({"name": 1, "password": "x"}, ["user 1:", "`$.name`"]),
        ({"name": "", "password": "x"}, ["user 1 ():", "`$.name`"]),
        ({"name": "a:b", "password": "x"}, ["user 1 (a:b):", "`$.name`"]),
        ({"name": "a\n", "password": "x"}, ["user 1", "`$.name`"]),
        ({"name": "a" * 129, "password": "x"}, ["user 1", "`$.name`"]),
        ({"name": "a"}, ["user 1 (a):", "password or passwordHash"]),
        ({"name": "a", "password": ""}, ["user 1 (a):", "`$.password`"]),
        ({"name": "a", "password": 5}, ["user 1 (a):", "`$.password`"]),
        ({"name": "a", "password": "x", "passwordHash": HASH}, ["(a):", "either password or"]),
        ({"name": "a", "passwordHash": "x"}, ["user 1 (a), passwordHash:"]),
        ({"name": "a", "passwordHash": "$2b$12$abcdef"}, ["user 1 (a), passwordHash:"]),
        ({"name": "a", "password": "x", "email": 5}, ["user 1 (a):", "`$.email`"]),
        ({"name": "a", "password": "x", "role": "admin"}, ["user 1 (a):", "`$.role`"]),
        ({"name": "a", "password": "x", "role": [""]}, ["user 1 (a):", "`$.role[0]`"]),
        ({"name": "a", "password": "x", "perm": [1]}, ["user 1 (a):", "`$.perm[0]`"]),
        ({"name": "a", "password": "x", "perms": []}, ["user 1 (a):", "`perms`"]),
        ({"name": "a", "password": "x", "perm": ["job://b"]}, ["(a), perm:", "'job://b'"]),
        ({"name": "a", "password": "x", "perm": ["job://(/x"]}, ["(a), perm:", "'job://(/x'"]),
        ({"name": "jane", "password": "x"}, ["user 1 (jane), name:", "same name"]),
    ],
)
def test_bad_entry_is_named_with_its_field(path: Path, entry: Any, words: list[str]) -> None:
    write(path, JANE, entry)
    with pytest.raises(ValueError, match=r"^user 1") as caught:
        UserDirectory(path)
    assert [word for word in words if word not in str(caught.value)] == []


def test_bad_entry_gives_no_password_away(path: Path) -> None:
    write(path, {"name": "a", "password": "geheim", "passwordHash": "geheim2", "perm": ["x"]})
    with pytest.raises(ValueError, match="user 0") as caught:
        UserDirectory(path)
    assert "geheim" not in str(caught.value)


def test_new_content_is_read_after_some_seconds(path: Path, seconds: Seconds) -> None:
    write(path, JANE)
    users = UserDirectory(path, monotonic=seconds)
    write(path, {"name": "jim", "password": "secret"})
    seconds.now += 1
    assert users.find("jim") is None
    seconds.now += 5
    assert users.find("jim") is not None
    assert users.find("jane") is None


def test_volume_of_a_secret_is_swapped_by_a_link(tmp_path: Path, seconds: Seconds) -> None:
    """As by the kubelet: `users.json` links to `..data/users.json`, and `..data` is switched."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "users.json", {"name": name, "password": "secret"})
    data = tmp_path / "..data"
    data.symlink_to("old")
    (tmp_path / "users.json").symlink_to("..data/users.json")
    users = UserDirectory(tmp_path / "users.json", monotonic=seconds)
    assert users.find("old") is not None
    swapped = tmp_path / "..data_tmp"
    swapped.symlink_to("new")
    swapped.replace(data)
    seconds.now += 10
    assert users.find("old") is None
    assert users.find("new") is not None


def test_unchanged_file_is_not_read_again(path: Path, seconds: Seconds) -> None:
    write(path, JANE)
    users = UserDirectory(path, monotonic=seconds)
    before = users.find("jane")
    seconds.now += 10
    assert users.find("jane") is before


@pytest.mark.parametrize("raw", ["[{", '[{"name": "jim"}]', None])
def test_broken_file_leaves_the_users_and_is_logged_once(
    path: Path, seconds: Seconds, caplog: pytest.LogCaptureFixture, raw: str | None
) -> None:
    write(path, JANE)
    users = UserDirectory(path, monotonic=seconds)
    if raw is None:
        path.unlink()
    else:
        path.write_text(raw, encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            seconds.now += 10
            assert users.find("jane") is not None
            assert accepts(users, "jane", "secret")
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "the users stay as they were" in caplog.text
    write(path, {"name": "jim", "passwordHash": OTHER_HASH})
    seconds.now += 10
    assert users.find("jim") is not None
    assert users.find("jane") is None
