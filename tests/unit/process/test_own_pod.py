"""What a process knows of its pod, inside and outside of one."""

import socket
from pathlib import Path

import pytest

from corejob_process import own_pod

LONG = "core4-operator-" + "x" * 60


def test_the_namespace_is_the_pod_s_or_another_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "namespace"
    file.write_text("jobs\n")
    monkeypatch.setattr(own_pod, "_NAMESPACE_FILE", file)

    assert own_pod.namespace({}) == "jobs"
    assert own_pod.namespace({"CORE4_NAMESPACE": ""}) == "jobs"
    assert own_pod.namespace({"CORE4_NAMESPACE": "other"}) == "other"


def test_outside_of_a_pod_the_namespace_must_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_pod, "_NAMESPACE_FILE", tmp_path / "none")

    with pytest.raises(ValueError, match="CORE4_NAMESPACE is not set"):
        own_pod.namespace({})
    assert own_pod.namespace({"CORE4_NAMESPACE": "jobs"}) == "jobs"


def test_a_pod_s_name_is_whole_however_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: LONG[:63])

    assert own_pod.name({"CORE4_POD_NAME": LONG}) == LONG


@pytest.mark.parametrize("environ", [{}, {"CORE4_POD_NAME": ""}])
def test_outside_of_a_pod_it_is_the_host_s(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "laptop")

    assert own_pod.name(environ) == "laptop"
