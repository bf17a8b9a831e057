"""The recorder's settings: its identity, and whether it is the only recorder."""

import socket

import pytest

from corejob_journal.recorder.settings import RecorderSettings
from corejob_process.settings import load

POD = {"CORE4_NAMESPACE": "jobs", "CORE4_POD_NAME": "recorder-1"}


def test_the_identity_is_the_name_of_the_pod_or_of_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "laptop")
    assert load(RecorderSettings, POD).identity == "recorder-1"
    assert load(RecorderSettings, {**POD, "CORE4_POD_NAME": ""}).identity == "laptop"


def test_a_log_level_is_checked() -> None:
    assert load(RecorderSettings, {**POD, "CORE4_LOG_LEVEL": "debug"}).log_level == "DEBUG"
    with pytest.raises(ValueError, match="CORE4_LOG_LEVEL must be one of DEBUG, "):
        load(RecorderSettings, {**POD, "CORE4_LOG_LEVEL": "loud"})


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
    assert load(RecorderSettings, {**POD, "CORE4_STORE_URL": url}).alone is alone
