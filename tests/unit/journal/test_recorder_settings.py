"""The recorder's settings: by which name others know it, and whether there may be others."""

import pytest

from corejob_journal.recorder.settings import from_environment

POD = {"CORE4_NAMESPACE": "jobs", "CORE4_POD_NAME": "recorder-1"}


def test_it_is_known_by_its_pod() -> None:
    assert from_environment(POD).identity == "recorder-1"


@pytest.mark.parametrize(
    ("url", "alone"),
    [
        ("", True),
        ("sqlite:////elsewhere/journal.db", True),
        ("postgresql://pg/core4", False),
        ("postgresql+psycopg://pg/core4", False),
    ],
)
def test_with_the_embedded_store_there_is_never_another(url: str, alone: bool) -> None:
    assert from_environment({**POD, "CORE4_STORE_URL": url}).alone is alone
