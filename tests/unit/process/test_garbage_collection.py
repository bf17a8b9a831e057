"""The garbage collector of a process whose cache has many objects."""

import gc
from collections.abc import Iterator

import pytest

from corejob_process.garbage_collection import collect_rarely


@pytest.fixture
def restored() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("restored")
def test_new_objects_cause_few_searches_and_present_ones_are_left_out() -> None:
    present: list[list[int]] = [[] for _ in range(1000)]
    collect_rarely()
    assert gc.get_freeze_count() > len(present)

    before = [generation["collections"] for generation in gc.get_stats()]
    new: list[list[int]] = [[] for _ in range(500_000)]
    after = [generation["collections"] for generation in gc.get_stats()]
    young, middle, old = (b - a for a, b in zip(before, after, strict=True))
    assert len(new) // 50_000 - 1 <= young + middle + old <= len(new) // 50_000 + 1
    assert (middle, old) == (0, 0)
