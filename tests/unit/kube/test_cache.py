"""The cache never goes back to an older version, in whatever order changes arrive."""

import itertools
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.fake_apiserver.scripted import item

from corejob_kube.cache import Body, ObjectCache

Told = list[tuple[str, Body | None, Body | None]]


def listening() -> tuple[ObjectCache, Told]:
    cache, told = ObjectCache("things"), []
    cache.listen(lambda name, old, new: told.append((name, old, new)))
    return cache, told


def version(cache: ObjectCache, name: str = "a") -> int | None:
    body = cache.get(name)
    return None if body is None else int(body["metadata"]["resourceVersion"])


def test_listeners_hear_what_was_and_what_is() -> None:
    cache, told = listening()
    one, two, last = item("a", 1), item("a", 2), item("a", 3)
    cache.put(one)
    cache.put(two)
    cache.drop(last)

    assert told == [("a", None, one), ("a", one, two), ("a", last, None)]
    assert len(cache) == 0


def test_old_and_known_news_are_none() -> None:
    cache, told = listening()
    cache.put(item("a", 10))
    cache.put(item("a", 9))
    cache.put(item("a", 10))
    cache.drop(item("a", 9))

    assert version(cache) == 10
    assert len(told) == 1


def test_numbers_are_compared_not_texts() -> None:
    cache, _ = listening()
    cache.put(item("a", 9))
    cache.put(item("a", 10))

    assert version(cache) == 10


def test_a_deleted_object_does_not_come_back_but_a_new_one_of_its_name_does() -> None:
    cache, _ = listening()
    cache.put(item("a", 1))
    cache.drop(item("a", 5))
    cache.put(item("a", 4))
    assert version(cache) is None

    cache.put(item("a", 6))
    assert version(cache) == 6


def test_a_deletion_that_is_heard_of_first_counts() -> None:
    cache, told = listening()
    cache.drop(item("a", 5))
    cache.put(item("a", 4))

    assert told == []
    assert version(cache) is None


def test_an_object_that_a_read_did_not_find_is_forgotten() -> None:
    cache, told = listening()
    cache.put(item("a", 5))
    cache.forget("a")
    cache.forget("b")
    cache.put(item("a", 5))

    assert version(cache) is None
    assert len(told) == 2


def test_a_list_brings_what_is_new_and_drops_what_is_missing() -> None:
    cache, told = listening()
    for name in ("gone", "same", "old"):
        cache.put(item(name, 3))
    told.clear()
    cache.replace([item("same", 3), item("old", 7), item("new", 8)], "9")

    assert sorted(body["metadata"]["name"] for body in cache) == ["new", "old", "same"]
    assert [(name, new is None) for name, _, new in told] == [
        ("old", False),
        ("new", False),
        ("gone", True),
    ]


def test_a_list_does_not_drop_what_is_newer_than_it() -> None:
    cache, _ = listening()
    cache.put(item("a", 12))
    cache.replace([], "10")

    assert version(cache) == 12


def test_a_list_does_not_bring_back_what_was_deleted_after_it() -> None:
    cache, _ = listening()
    cache.put(item("a", 5))
    cache.drop(item("a", 12))
    cache.replace([item("a", 5)], "10")

    assert version(cache) is None


def test_an_object_that_a_list_lacks_stays_missing_after_an_older_event() -> None:
    cache, _ = listening()
    cache.put(item("a", 5))
    cache.replace([], "10")
    cache.put(item("a", 7))

    assert version(cache) is None


@given(st.permutations(range(1, 13)), st.lists(st.sampled_from("pd"), min_size=12, max_size=12))
def test_news_in_any_order_end_the_same(order: list[int], kinds: list[str]) -> None:
    cache, told = listening()
    for number in order:
        act = cache.put if kinds[number - 1] == "p" else cache.drop
        act(item("a", number))

    assert version(cache) == (12 if kinds[-1] == "p" else None)
    seen = [int(new["metadata"]["resourceVersion"]) for _, _, new in told if new is not None]
    assert seen == sorted(seen)
    for (_, _, before), (_, old, _) in itertools.pairwise(told):
        assert (old is None) == (before is None)


def test_deletions_are_remembered_up_to_a_limit() -> None:
    cache = ObjectCache("things", most_tombstones=2)
    for number, name in enumerate("abc"):
        cache.drop(item(name, 10 + number))
    for name in "abc":
        cache.put(item(name, 1))

    assert [body["metadata"]["name"] for body in cache] == ["a"]


def test_a_listener_that_fails_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    cache = ObjectCache("things")
    heard: list[str] = []

    def fail(name: str, old: Any, new: Any) -> None:
        raise RuntimeError("no")

    cache.listen(fail)
    cache.listen(lambda name, old, new: heard.append(name))
    with caplog.at_level(logging.ERROR):
        cache.put(item("a", 1))

    assert heard == ["a"]
    assert "a listener of things failed on a" in caplog.text


def test_a_version_is_known_if_it_would_change_nothing() -> None:
    cache, _ = listening()
    assert not cache.knows("a", "1")
    cache.put(item("a", 5))
    assert [cache.knows("a", version) for version in ("4", "5", "6")] == [True, True, False]
    cache.drop(item("a", 7))
    assert [cache.knows("a", version) for version in ("6", "7", "8")] == [True, True, False]


def test_the_newest_version_of_a_watch_is_kept() -> None:
    cache, told = listening()
    cache.put(item("a", 5))
    assert cache.watched_version == 0

    cache.on_event(None, item("a", 5))
    assert cache.watched_version == 5
    cache.on_event("MODIFIED", item("a", 7))
    cache.on_event("MODIFIED", item("a", 6))
    assert (cache.watched_version, version(cache)) == (7, 7)
    cache.reached("9")
    cache.on_event("DELETED", item("a", 8))
    assert (cache.watched_version, version(cache), len(told)) == (9, None, 3)


def test_iterating_allows_changes() -> None:
    cache, _ = listening()
    cache.replace([item("a", 1), item("b", 2)], "3")
    for body in cache:
        cache.drop(item(body["metadata"]["name"], 9))

    assert len(cache) == 0
