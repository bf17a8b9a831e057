"""Our finalizer among those of others."""

from typing import Any

import pytest

from corejob.finalizers import has_finalizer, with_finalizer, without_finalizer
from corejob.names import FINALIZER


@pytest.mark.parametrize(
    ("meta", "present", "others"),
    [
        ({}, False, []),
        ({"finalizers": None}, False, []),
        ({"finalizers": ["other"]}, False, ["other"]),
        ({"finalizers": [FINALIZER, "other"]}, True, ["other"]),
    ],
)
def test_finalizers(meta: dict[str, Any], present: bool, others: list[str]) -> None:
    assert has_finalizer(meta) is present
    assert without_finalizer(meta) == others
    assert with_finalizer(meta) == [*others, FINALIZER]
