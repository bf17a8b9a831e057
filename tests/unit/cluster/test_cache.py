"""Locations and names in the cache."""

from pathlib import Path

import pytest
from tests.cluster import cache


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"CORE4_CACHE": "/somewhere"}, "/somewhere"),
        ({"CORE4_CACHE": "/somewhere", "XDG_CACHE_HOME": "/other"}, "/somewhere"),
        ({"XDG_CACHE_HOME": "/other"}, "/other/core4-kubernetes"),
        ({"XDG_CACHE_HOME": ""}, str(Path.home().resolve() / ".cache/core4-kubernetes")),
        ({}, str(Path.home().resolve() / ".cache/core4-kubernetes")),
    ],
)
def test_the_cache_is_named_by_the_environment(environ, expected):
    assert cache.cache_dir(environ) == Path(expected)


def test_a_digest_knows_where_a_part_ends():
    assert cache.digest(["ab", "c"]) != cache.digest(["a", "bc"])


def test_a_digest_takes_text_and_bytes_alike():
    assert cache.digest(["ab"]) == cache.digest([b"ab"])


def test_a_digest_of_files_depends_on_names_and_content_but_not_on_order(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("2")
    before = cache.digest_files(tmp_path, [one, two])
    assert cache.digest_files(tmp_path, [two, one, one]) == before
    two.write_text("3")
    assert cache.digest_files(tmp_path, [one, two]) != before


def test_writing_the_same_content_leaves_the_file_alone(tmp_path):
    path = tmp_path / "config"
    cache.write(path, "same")
    inode = path.stat().st_ino
    cache.write(path, "same")
    assert path.stat().st_ino == inode
    cache.write(path, "other", mode=0o600)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("other", 0o600)


def test_a_lock_can_be_taken_again_after_its_release(tmp_path, monkeypatch):
    monkeypatch.setenv("CORE4_CACHE", str(tmp_path))
    for _ in range(2):
        with cache.locked("name"):
            assert (tmp_path / "locks" / "name").exists()
