"""The look at a log's newest file: its first entry, none yet, or the kubelet's reason."""

from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.journal.kubelet import Entry, Kubelet

from corejob_journal.recorder.ingest.reading import LogReader
from corejob_kube.errors import UnavailableError

STAMP = 1_795_500_000 * 10**9 + 5


class Texts(Kubelet):
    """Answers with a text instead of entries."""

    def __init__(self, text: bytes) -> None:
        super().__init__()
        self.text = text

    def body(self, params: Any) -> bytes:
        return self.text


def reader(kubelet: Any) -> LogReader:
    pod: Any = SimpleNamespace(child=SimpleNamespace(name="p"), container="job")
    return LogReader(kubelet, "ns", pod)


@pytest.mark.parametrize("full", [True, False])
async def test_the_first_entry_is_a_line_or_a_part_of_one(full: bool) -> None:
    kubelet = Kubelet([Entry(STAMP, b"text", full), Entry(STAMP + 9, b" and more")])
    stamp, text = await reader(kubelet).first_entry() or (0, b"")
    assert (stamp, text) == (STAMP, b"text" if full else b"text and more")
    assert kubelet.requests == [{"container": "job", "timestamps": "true", "limitBytes": "128"}]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'failed to try resolving symlinks in path "/var/log/pods/p/job/0.log": lstat',
        b'failed to open log file "/var/log/pods/p/job/0.log": no such file or directory',
    ],
)
async def test_a_newest_file_that_has_none_yet(text: bytes) -> None:
    assert await reader(Texts(text)).first_entry() is None


async def test_a_log_that_cant_be_read() -> None:
    text = b"unable to retrieve container logs for containerd://5e6f"
    with pytest.raises(UnavailableError, match="unable to retrieve"):
        await reader(Texts(text)).first_entry()
