"""Each reason has one explanation: of a waiting job or of an ended one."""

from corejob import reasons
from corejob.names import Reason


def test_each_reason_but_running_is_explained_once() -> None:
    explained = [one.reason for one in (*reasons.WAITING, *reasons.ENDED)]

    assert sorted(explained) == sorted(set(Reason) - {Reason.RUNNING})


def test_kubectl_explains_them_without_markup() -> None:
    assert "`" not in reasons.plain()
    assert "OOMKilled: the container used more memory than its limit" in reasons.plain()
