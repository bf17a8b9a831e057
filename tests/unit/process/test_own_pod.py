"""A process's knowledge of its pod, inside and outside of one."""

from pathlib import Path

import pytest

from corejob_process import own_pod


def test_the_namespace_is_read_from_the_pod_s_file(tmp_path: Path) -> None:
    file = tmp_path / "namespace"
    file.write_text("jobs\n")

    assert own_pod.namespace(file) == "jobs"


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_outside_of_a_pod_the_namespace_must_be_set(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "namespace"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ValueError, match="CORE4_NAMESPACE is not set"):
        own_pod.namespace(file)
