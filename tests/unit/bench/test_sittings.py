"""The figures of several runs: a later one replaces what it has measured, and nothing else."""

import pytest
from tests.bench.sittings import dated, each_dated, key_of, merged, sizes


def part(*measured, key="size", commit="abc", mark="old"):
    rows = []
    for size in measured:
        rows += [{"name": f"{size}", key: size, "mark": mark}, {"name": "  ratio", key: size}]
    return dated({"rows": rows}, taken="2026-11-29", commit=commit, load_before=0.5)


def test_the_other_sizes_are_kept_in_order_with_their_origin():
    new = part(10_000, 300, commit="def", mark="new")
    found = merged(part(300, 1000), new)
    shown = [(row["name"], row["mark"]) for row in found["rows"] if "mark" in row]
    assert shown == [("300", "new"), ("1000", "old"), ("10000", "new")]
    assert [row["size"] for row in found["rows"]] == [300, 300, 1000, 1000, 10_000, 10_000]
    assert [(each["commit"], each["of"]) for each in found["sittings"]] == [
        ("abc", [1000]),
        ("def", [300, 10_000]),
    ]


def test_a_run_of_the_same_sizes_leaves_nothing_of_the_old_one():
    new = part(300, commit="def")
    assert merged(part(300), new) == new


@pytest.mark.parametrize("old", [None, part(1, key="clients"), {"series": []}])
def test_what_has_other_sizes_or_none_is_replaced(old):
    assert merged(old, part(300)) == part(300)


def test_a_part_without_sizes_is_replaced():
    old, new = ({"series": [{"name": name}], "sittings": []} for name in ("old", "new"))
    assert merged(old, new) is new


@pytest.mark.parametrize("key", ["size", "waiting", "clients", "rate"])
def test_the_sizes_of_a_part(key):
    assert key_of(part(5, 2, key=key)) == key
    assert sizes(part(5, 2, key=key)) == [2, 5]


def test_a_part_without_sizes_has_none():
    assert sizes({"series": []}) == sizes({"rows": [{"name": "image", "MB": 1}]}) == []


def test_the_date_of_a_whole_run_is_that_of_each_of_its_parts():
    rows = [{"name": "1", "clients": 1}, {"name": "  ratio"}, {"name": "16", "clients": 16}]
    run = {
        "taken": "2026-11-28",
        "commit": "abc",
        "machine": {"cpus": 2},
        "posts": {"rows": rows, "load_before": 1.5},
    }
    found = each_dated(run)
    assert found.keys() == {"machine", "posts"}
    assert [row["clients"] for row in found["posts"]["rows"]] == [1, 1, 16]
    assert found["posts"]["sittings"] == [
        {"taken": "2026-11-28", "commit": "abc", "load_before": 1.5, "of": [1, 16]}
    ]
    assert "load_before" not in found["posts"]
    assert each_dated(found) == found
