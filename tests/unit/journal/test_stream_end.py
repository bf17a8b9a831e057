"""A connection that is silent after its container's end is cut; one that is busy is not."""

from typing import Any

import pytest
from tests.support.signals import Signal, poll
from tests.unit.journal.conftest import JOB, Recorder
from tests.unit.journal.fake_cluster import FakeCluster
from tests.unit.journal.test_recorder_following import texts

from corejob_journal.recorder.ingest import stream_end
from corejob_journal.recorder.ingest.stream_end import StreamEnd
from corejob_journal.store import StoreUnavailable

WAIT = stream_end._END_WAIT_S


async def test_only_silence_counts() -> None:
    now, cuts = [100.0], []
    end = StreamEnd(lambda: cuts.append(now[0]), now=lambda: now[0])
    with end:
        end.container_ended()
        now[0] += 10 * WAIT  # the reader waits for the store
        end._check()
    now[0] += WAIT - 1
    end._check()
    with end:
        pass  # a line
    now[0] += WAIT - 1
    end._check()
    assert not cuts
    now[0] += 1
    end._check()
    assert len(cuts) == 1
    end.close()


async def test_a_closed_one_watches_no_more() -> None:
    end = StreamEnd(lambda: None)
    end.close()
    end.container_ended()
    assert end._timer is None


async def test_a_reader_that_waits_for_the_store_keeps_its_connection(
    cluster: FakeCluster, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kubelet still serves the old file, which a new connection would not get."""
    checks, checked, check = [0], Signal(), StreamEnd._check

    def counted(self: StreamEnd) -> None:
        checks[0] += 1
        check(self)
        checked.notify()

    monkeypatch.setattr(StreamEnd, "_check", counted)
    await cluster.add_job(JOB)
    log = await cluster.add_pod(JOB, runtime="container")
    await log.write("line 1")
    await recorder.until_count(1)

    async def away(_operations: Any) -> Any:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patches:
        patches.setattr(recorder.supervisor.commits._writer, "commit", away)
        await log.write("line 2", *[f"{text}{' ' * 400}" for text in texts(3, 12000)])
        log.first = 11990
        (follower,) = recorder.supervisor._followers.values()
        await poll(lambda: follower._appender.is_full)
        # Not before, nor afterwards: on a busy machine the next chunk may take longer to come.
        patches.setattr(stream_end, "_END_WAIT_S", 0.2)
        await cluster.end_pod(f"{JOB}-1", 0)
        await checked.wait_for(lambda: checks[0] >= 3)
    status = await cluster.finalised(JOB)
    assert [text.strip() for text in await recorder.messages()] == texts(1, 12000)
    assert status["lost"] is False
