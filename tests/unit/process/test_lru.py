"""The bounded map drops its least recently used entries."""

from corejob_process.lru import LruMap


def filled() -> LruMap[str, int]:
    entries: LruMap[str, int] = LruMap(2)
    entries.put("a", 1)
    entries.put("b", 2)
    return entries


def test_a_new_entry_replaces_the_oldest() -> None:
    entries = filled()
    entries.put("c", 3)
    assert ("a" in entries, entries.get("b"), entries.get("c"), len(entries)) == (False, 2, 3, 2)


def test_put_and_touch_count_as_use() -> None:
    entries = filled()
    assert entries.touch("a")
    entries.put("c", 3)
    assert ("a" in entries, "b" in entries) == (True, False)
    entries.put("a", 4)
    entries.put("d", 5)
    assert (entries.get("a"), "c" in entries) == (4, False)


def test_get_and_in_do_not_count_as_use() -> None:
    entries = filled()
    assert entries.get("a") == 1
    assert "a" in entries
    entries.put("c", 3)
    assert "a" not in entries


def test_a_missing_key() -> None:
    entries = filled()
    assert entries.get("x") is None
    assert not entries.touch("x")
