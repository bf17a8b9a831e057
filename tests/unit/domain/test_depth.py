"""How deeply a value is nested."""

import pytest

from corejob.depth import is_deep


@pytest.mark.parametrize(("levels", "deep"), [(63, False), (64, False), (65, True), (900, True)])
def test_depth(levels: int, deep: bool) -> None:
    value: object = 1
    for _ in range(levels):
        value = {"a": 0, "b": value}
    assert is_deep(value) is deep
