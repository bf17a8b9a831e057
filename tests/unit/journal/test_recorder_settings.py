"""The recorder's settings: by which name others know it, if there may be others."""

from corejob_journal.recorder.settings import from_environment

POD = {"CORE4_NAMESPACE": "jobs", "CORE4_POD_NAME": "recorder-1"}


def test_with_the_embedded_store_there_is_never_another() -> None:
    assert from_environment(POD).identity is None
    file = {"CORE4_STORE_URL": "sqlite:////elsewhere/journal.db"}
    assert from_environment({**POD, **file}).identity is None


def test_with_postgresql_others_know_it_by_its_pod() -> None:
    for url in ("postgresql://pg/core4", "postgresql+psycopg://pg/core4"):
        assert from_environment({**POD, "CORE4_STORE_URL": url}).identity == "recorder-1"
