"""The cluster's API server is killed and started again while jobs log."""

import pytest
from tests.cluster import processes
from tests.cluster.layout import Layout
from tests.cluster.provider import Provider
from tests.support.jobs import CHATTY
from tests.support.rest import Rest
from tests.support.sse import Stream

pytestmark = [pytest.mark.cluster, pytest.mark.local, pytest.mark.alone]

JOBS = 20
RATE = 10
SECONDS = 40
WHOLE = list(range(1, RATE * SECONDS + 1))


def numbers(stream: Stream) -> list[int]:
    """Return the numbers of the lines that a ChattyJob has written."""
    firsts = [text.partition(" ")[0] for text in stream.messages if text.endswith("xxx")]
    return [int(first) for first in firsts if first.isdecimal()]


def test_an_api_server_that_is_restarted_while_jobs_log(rest: Rest, provider: Provider):
    properties = {"rate": RATE, "seconds": SECONDS, "max_parallel": JOBS}
    streams = [rest.run(CHATTY, size=90 + n, **properties) for n in range(JOBS)]
    for stream in streams:
        stream.line("10 ", seconds=120)
    server = processes.StateFile(Layout.default().state).read()["kube-apiserver"]
    # Until the server is gone, `up` would find it alive and start no other.
    processes.kill([server.pid])
    assert not server.alive(), "it is still dying"
    provider.up()
    for stream in streams:
        # The same connection as before: only the recorder's connections broke.
        stream.to_close(180)
        assert numbers(stream) == WHOLE
        job_id = stream.frames[0].data["_id"]
        assert stream.states[-1] == "complete"
        assert rest.messages(job_id) == stream.messages
        stream.hang_up()
