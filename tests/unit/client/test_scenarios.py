"""Both clients in every trouble that a network and a server can make, and the same outcome."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.ports import free_port
from tests.support.waiting import until
from tests.unit.client.conftest import FAST, SHORT, Connect
from tests.unit.client.raw_server import (
    Asked,
    RawServer,
    Reply,
    answered,
    bad,
    good,
    head,
    streamed,
)
from tests.unit.client.story import JOB, Story, document, frame, record

from core4.client import (
    Close,
    ConflictError,
    DeadlineError,
    ForbiddenError,
    JobFailedError,
    Lagged,
    Log,
    NotFoundError,
    NotSignedInError,
    ProtocolError,
    Retries,
    ServerError,
    State,
    StreamLostError,
    Timeouts,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
)

BASE = "/core4/api/v1"


def after(asked: Asked) -> int | None:
    text = asked.headers.get("last-event-id")
    return None if text is None else int(text)


class Script:
    """Answers requests by a list of replies in turn, then by the story itself."""

    def __init__(self, *replies: Reply | Callable[[Asked], Reply], story: Story | None = None):
        self.replies = list(replies)
        self.story = story or Story()

    def __call__(self, asked: Asked) -> Reply:
        if self.replies:
            reply = self.replies.pop(0)
            return reply if isinstance(reply, Reply) else reply(asked)
        return Reply([streamed(self.story.body(after(asked)))], keep=True)


def wires() -> list[bytes]:
    return [streamed(Story().body())[:cut] for cut in range(len(streamed(Story().body())))]


# --- streams --------------------------------------------------------------------------------------


def test_a_stream_cut_at_every_byte_is_resumed_without_loss(client: Any, server: RawServer):
    for wire in wires():
        server.answer = Script(Reply([wire]))
        Story().check(list(client.job(JOB).follow()))


def test_a_stream_cut_again_and_again_is_resumed_as_long_as_it_advances(
    client: Any, server: RawServer
):
    story = Story(
        [("log", f"line {number}") for number in range(30)] + [("state", document("killed"))]
    )

    def one_frame_more(asked: Asked) -> Reply:
        frames = story.frames(after(asked))
        return Reply(
            [streamed(b"".join(frames[:2]))[:-5]]
            if len(frames) > 3
            else [streamed(b"".join(frames))]
        )

    server.answer = one_frame_more
    story.check(list(client.job(JOB).follow()))
    assert len(server.asked) > 25


def test_single_bytes_make_the_same_events(client: Any, server: RawServer):
    wire = streamed(Story().body(), size=1)
    server.answer = Script(Reply([wire[at : at + 1] for at in range(len(wire))]))
    Story().check(list(client.job(JOB).follow()))


def test_comments_and_unknown_frames_are_passed_over(client: Any, server: RawServer):
    frames = Story().frames(None)
    body = b": hello\n\n" + b": keep-alive\n\n".join(frames[:-1]) + frame("new", {}, 3)
    server.answer = Script(Reply([streamed(b"\xef\xbb\xbf" + body + frames[-1])]))
    Story().check(list(client.job(JOB).follow()))
    assert len(server.asked) == 1


def test_huge_lines_come_whole(client: Any, server: RawServer):
    story = Story([("log", "é" * 3_000_000), ("state", document("complete"))])
    server.answer = Script(Reply([streamed(story.body(), size=70_001)]))
    story.check(list(client.job(JOB).follow()))


@pytest.mark.parametrize("size", [None, 1])
def test_a_missing_frame_is_fetched(client: Any, server: RawServer, size: int | None):
    whole = Story().frames(None)
    for missing in range(len(whole) - 1):
        frames = [*whole]
        del frames[missing]
        server.answer = Script(Reply([streamed(b"".join(frames), size)]))
        server.asked.clear()
        if whole[missing].startswith(b"event: gap"):
            # Nothing tells where it is missing.
            with pytest.raises(ProtocolError, match="frames gap came") as caught:
                list(client.job(JOB).follow())
            assert caught.value.last_event_id == "000000000000"
        else:
            Story().check(list(client.job(JOB).follow()))
            assert len(server.asked) == 2


def test_a_doubled_frame_comes_once(client: Any, server: RawServer):
    whole = Story().frames(None)
    for doubled in range(len(whole) - 1):
        if b'"from":null' in whole[doubled]:
            continue  # two gaps may well be equal if nobody knows which lines they lack
        frames = [*whole]
        frames.insert(doubled, frames[doubled])
        server.answer = Script(Reply([streamed(b"".join(frames))]))
        Story().check(list(client.job(JOB).follow()))


@pytest.mark.parametrize(
    "broken",
    [
        frame("log", record(3, "x"), 2),
        frame("log", record(2, "x"), 2).replace(b"000000000002\n", b"two\n"),
        frame("log", {**record(1, "x"), "identifier": "f" * 24}, 1),
        frame("state", {**document("running"), "_id": "f" * 24}, 0),
        frame("gap", {"after": "none"}, 0),
        frame("lagged", {"dropped": 0, "behind": 3}, 2),
        frame("close", {"state": 3, "log": 0}, 0),
        b"event: log\ndata: {\n\n",
        b"event: log\ndata: 1\n\n",
        b"event: log\ndata: \xff\xfe\n\n",
        b"event: log\ndata: {}\n\n",
    ],
)
def test_a_frame_that_breaks_a_promise_is_not_handed_on(
    client: Any, server: RawServer, broken: bytes
):
    server.answer = Script(Reply([streamed(broken)]))
    Story().check(list(client.job(JOB).follow()))
    assert len(server.asked) == 2


def test_a_stream_that_always_breaks_its_promises_is_an_error(client: Any, server: RawServer):
    body = frame("state", document("running"), 0) + frame("log", record(1, "one"), 1)
    server.answer = lambda asked: Reply(
        [streamed((b"" if after(asked) else body) + frame("log", record(9, "nine"), 9))]
    )
    events: list[Any] = []
    with pytest.raises(ProtocolError, match="record 9 comes after record 1") as caught:
        events.extend(client.job(JOB).follow())
    assert caught.value.last_event_id == "000000000001"
    assert len(server.asked) == FAST.violations


def test_a_stream_that_never_closes_is_an_error(connect: Connect, server: RawServer):
    patience = Retries(first_pause=0.001, longest_pause=0.01, stream_budget=0.2)
    body = b"".join(Story().frames(None)[:-1])
    server.answer = lambda asked: Reply(
        [streamed(frame("state", document("complete"), 3) if after(asked) else body)]
    )
    events: list[Any] = []
    with pytest.raises(StreamLostError, match="without its frame close") as caught:
        events.extend(connect(server.url, token="t", retries=patience).job(JOB).follow())
    assert [event.number for event in events if isinstance(event, Log)] == [1, 2, 3]
    assert not any(isinstance(event, Close) for event in events)
    assert caught.value.last_event_id == "000000000003"
    assert {after(asked) for asked in server.asked} == {None, 3}


def test_a_silent_stream_is_resumed(connect: Connect, server: RawServer):
    times = Timeouts(connect=10, read=10, total=10, stream=0.05)
    start = streamed(b"".join(Story().frames(None)[:3]))[: -len(b"0\r\n\r\n")]
    server.answer = Script(Reply([start], hold=True))
    Story().check(list(connect(server.url, token="t", timeouts=times).job(JOB).follow()))


def test_a_busy_server_is_asked_again(client: Any, server: RawServer):
    cut = Reply([streamed(Story().body())[:-200]])
    server.answer = Script(cut, bad(503, "the journal's store does not answer", Retry_After="0"))
    Story().check(list(client.job(JOB).follow()))
    assert len(server.asked) == 3


def test_a_job_that_is_gone_is_an_error_and_no_end(client: Any, server: RawServer):
    server.answer = Script(
        Reply([streamed(Story().body())[:-200]]), bad(404, f"job [{JOB}] not found")
    )
    with pytest.raises(NotFoundError):
        list(client.job(JOB).follow())


def test_a_sign_in_that_ends_meanwhile_is_renewed(connect: Connect, server: RawServer):
    tokens = iter(["one", "two"])

    def answer(asked: Asked) -> Reply:
        if asked.path == f"{BASE}/login":
            assert asked.headers["authorization"] == "Basic YW5uOnA6dw=="
            return good({"token": next(tokens)})
        if asked.headers["authorization"] == "Bearer one" and after(asked) is not None:
            return bad(401, "the token has expired")
        return Reply([streamed(Story().body(after(asked)))[: None if after(asked) else -200]])

    server.answer = answer
    Story().check(list(connect(server.url, user="ann", password="p:w").job(JOB).follow()))
    signs = [asked.headers["authorization"] for asked in server.asked]
    assert signs[1:] == ["Bearer one", "Bearer one", signs[0], "Bearer two"]


def test_a_sign_in_that_can_not_be_renewed_is_an_error(client: Any, server: RawServer):
    server.answer = Script(
        Reply([streamed(Story().body())[:-200]]), bad(401, "the token has expired")
    )
    with pytest.raises(NotSignedInError, match="expired"):
        list(client.job(JOB).follow())
    assert len(server.asked) == 2


def test_filters_leave_holes_that_are_none(client: Any, server: RawServer):
    first = frame("state", document("running"), 0) + frame("log", record(7, "seven"), 7)
    alive = b": keep-alive\nid: 000000000040\n\n"
    rest = (
        frame("state", document("running"), 40)
        + frame("log", record(44, "x"), 44)
        + frame("state", document("complete"), 50)
        + frame("close", {"state": 2, "log": 1}, 50)
    )
    server.answer = Script(Reply([streamed(first + alive)]), Reply([streamed(rest)]))
    events = list(client.job(JOB).follow(level="ERROR", grep="a b"))
    assert [event.number for event in events if isinstance(event, Log)] == [7, 44]
    assert server.asked[0].query == {"level": "ERROR", "grep": "a b"}
    assert after(server.asked[0]) is None
    assert after(server.asked[1]) == 40
    assert events[-1].counts == {"state": 2, "log": 2}


def test_a_tail_begins_anywhere(client: Any, server: RawServer):
    body = (
        frame("state", document("running"), None)
        + frame("log", record(98, "x"), 98)
        + frame("log", record(99, "y"), 99)
        + frame("lagged", {"dropped": 1, "behind": 0}, 99)
        + frame("state", document("complete"), 99)
        + frame("close", {"state": 2, "log": 2, "lagged": 1}, 99)
    )
    server.answer = Script(Reply([streamed(body)]))
    events = list(client.job(JOB).follow(tail=2))
    assert [event.number for event in events if isinstance(event, Log)] == [98, 99]
    assert [event.dropped for event in events if isinstance(event, Lagged)] == [1]


def test_a_caller_goes_on_after_a_record(client: Any, server: RawServer):
    server.answer = Script()
    events = list(client.job(JOB).follow(after="000000000002"))
    assert after(server.asked[0]) == 2
    assert [event.number for event in events if isinstance(event, Log)] == [3]


def test_the_log_alone_has_no_states(client: Any, server: RawServer):
    story = Story([("log", "one"), ("log", "two")])
    server.answer = Script(
        Reply([streamed(frame("log", record(1, "one"), 1))]),
        Reply([streamed(frame("log", record(2, "two"), 2) + frame("close", {"log": 1}, 2))]),
        story=story,
    )
    events = list(client.job(JOB).follow(states=False))
    assert [type(event) for event in events] == [Log, Log, Close]
    assert server.asked[0].path == f"{BASE}/job/log/{JOB}"
    assert server.asked[0].query == {"follow": "true"}
    assert server.asked[0].headers["accept"] == "text/event-stream"


def test_a_deadline_ends_a_stream_with_an_error(client: Any, server: RawServer):
    start = streamed(b"".join(Story().frames(None)[:3]))[: -len(b"0\r\n\r\n")]
    server.answer = lambda asked: Reply([start], hold=True)
    with pytest.raises(DeadlineError):
        list(client.job(JOB).follow(timeout=0.2))
    with pytest.raises(TimeoutError):
        client.job(JOB).wait(timeout=0.1)


def test_a_reader_that_stops_hangs_up(client: Any, server: RawServer):
    start = streamed(Story().body())[: -len(b"0\r\n\r\n")]
    server.answer = lambda asked: Reply([start], hold=True)
    events = client.job(JOB).follow()
    assert isinstance(next(events), State)
    events.close()
    assert server.hung_up.wait(20)


# --- results --------------------------------------------------------------------------------------


def detail(state: str, **more: Any) -> Reply:
    return good(document(state, journal=True, **more))


def waiting(state: str, **more: Any) -> Callable[[Asked], Reply]:
    def answer(asked: Asked) -> Reply:
        if asked.path == f"{BASE}/job/{JOB}":
            return detail(state, **more)
        body = frame("state", document(state, **more), None)
        return Reply([streamed(body + frame("close", {"state": 1, "log": 0}, 0))])

    return answer


def test_a_wait_asks_for_no_log(client: Any, server: RawServer):
    server.answer = waiting("error")
    assert client.job(JOB).wait().state == "error"
    assert server.asked[0].query == {"tail": "0", "level": "100"}


def test_a_result_is_a_complete_job(client: Any, server: RawServer):
    server.answer = waiting("complete")
    assert client.job(JOB).result().is_complete
    server.answer = waiting("error", last_error={"exception": "ValueError('x')"}, reason="Failed")
    with pytest.raises(JobFailedError, match="ended as error: ValueError") as caught:
        client.job(JOB).result()
    assert caught.value.reason == "Failed"
    server.answer = waiting("pending", flag={"removed": True})
    with pytest.raises(JobFailedError, match="ended as removed"):
        client.job(JOB).result()


# --- single requests ------------------------------------------------------------------------------


def test_a_request_that_is_safe_to_repeat_is_sent_again(client: Any, server: RawServer):
    def reset(asked: Asked) -> Reply:
        return Reply()

    server.answer = Script(reset, bad(503, "away", Retry_After="0"), good("a" * 24))
    assert client.enqueue("a.Job", {"n": 1}, sleep=2).id == "a" * 24
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1
    assert server.asked[0].json == {
        "qual_name": "a.Job",
        "args": {"n": 1, "sleep": 2},
        "follow": False,
    }
    server.answer = Script(reset, good(True))
    client.job(JOB).kill()
    assert [asked.method for asked in server.asked[3:]] == ["PUT", "PUT"]


@pytest.mark.parametrize("key", ["", "a\nb", "ä", "k" * 256])
def test_a_bad_key_is_not_sent(client: Any, key: str):
    with pytest.raises(ValueError, match="1 to 255 printable"):
        client.enqueue("a.Job", idempotency_key=key)


def test_a_restart_is_sent_once_unless_the_server_refused_it(client: Any, server: RawServer):
    # On a kept connection, since HTTP libraries repeat a PUT whose connection turns out closed.
    server.answer = Script(detail("error"), Reply())
    client.job(JOB).document()
    with pytest.raises(UnreachableError) as caught:
        client.job(JOB).restart()
    assert caught.value.sent
    assert [asked.method for asked in server.asked] == ["GET", "PUT"]
    server.answer = Script(bad(503, "a quota is contended", Retry_After="0"), good("b" * 24))
    assert client.job(JOB).restart().id == "b" * 24
    server.answer = Script(answered(502, b"<html>", Content_Type="text/html"))
    with pytest.raises(UnavailableError):
        client.job(JOB).restart()


def test_a_remove_whose_answer_was_lost_has_removed(client: Any, server: RawServer):
    gone = bad(404, f"job [{JOB}] not found")
    server.answer = Script(Reply(), gone, detail("error", removed_at="2026-11-24T12:00:00"))
    client.job(JOB).remove()
    server.answer = Script(Reply(), gone, detail("complete"))
    with pytest.raises(NotFoundError):
        client.job(JOB).remove()
    server.answer = Script(gone)
    with pytest.raises(NotFoundError):
        client.job(JOB).remove()


@pytest.mark.parametrize(
    ("status", "kind"), [(403, ForbiddenError), (409, ConflictError), (500, ServerError)]
)
def test_a_verdict_is_not_asked_for_again(client: Any, server: RawServer, status, kind):
    server.answer = lambda asked: bad(status, "no")
    with pytest.raises(kind) as caught:
        client.job(JOB).kill()
    assert (caught.value.text, caught.value.request_id) == ("no", "e" * 24)
    assert len(server.asked) == 1


def test_repetitions_end(client: Any, server: RawServer):
    server.answer = lambda asked: bad(429, "the queue is full", Retry_After="0")
    with pytest.raises(Exception, match="the queue is full"):
        client.enqueue("a.Job")
    assert len(server.asked) == FAST.attempts


def test_a_long_retry_after_is_not_waited_for(client: Any, server: RawServer):
    server.answer = lambda asked: bad(503, "away", Retry_After="3600")
    with pytest.raises(UnavailableError) as caught:
        client.profile()
    assert caught.value.retry_after == 3600
    assert len(server.asked) == 1


def test_an_answer_cut_at_every_byte_is_asked_for_again(client: Any, server: RawServer):
    for whole in (
        b"".join(detail("running").chunks),
        head(200, {"Transfer-Encoding": "chunked"})
        + streamed(b'{"data": {"_id": "%s", "qual_name": "a", "state": "x"}}' % JOB.encode()).split(
            b"\r\n\r\n", 1
        )[1],
    ):
        for cut in range(len(whole)):
            server.answer = Script(Reply([whole[:cut]]), detail("complete"))
            assert client.job(JOB).document().state in {"complete", "running", "x"}


def test_a_redirect_is_not_followed(client: Any, server: RawServer):
    server.answer = lambda asked: answered(302, b"", Location="https://login.example.com/")
    with pytest.raises(UnexpectedAnswerError, match=r"redirects to https://login\.example\.com/"):
        client.profile()
    with pytest.raises(UnexpectedAnswerError, match="redirects"):
        list(client.job(JOB).follow())
    assert len(server.asked) == 2


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"{", b"[]", b"{}", b"\xff", b""])
def test_an_answer_of_something_else_is_an_error(client: Any, server: RawServer, body: bytes):
    server.answer = lambda asked: answered(200, body, Content_Type="text/html")
    with pytest.raises(UnexpectedAnswerError, match="check the URL"):
        client.profile()
    with pytest.raises(UnexpectedAnswerError):
        list(client.job(JOB).follow())


def test_an_endless_answer_has_an_end(connect: Connect, server: RawServer):
    import itertools
    import threading

    pause = threading.Event()

    def drops() -> Iterator[bytes]:
        yield head(200, {"Content-Type": "application/json", "Content-Length": "999999"})
        for _ in itertools.count():
            pause.wait(0.01)
            yield b" "

    server.answer = lambda asked: Reply(drops())
    times = Timeouts(connect=10, read=10, total=2.0, stream=10)
    with pytest.raises(UnreachableError, match="in time"):
        connect(server.url, token="t", timeouts=times).profile()
    # The server's thread may see the last request after the client has left.
    until(lambda: len(server.asked) == FAST.attempts, what="each attempt was seen")


def test_nobody_there(connect: Connect):
    with pytest.raises(UnreachableError, match="can't be reached") as caught:
        connect(f"http://127.0.0.1:{free_port()}", token="t").profile()
    assert not caught.value.sent


def test_connections_are_used_again(client: Any, server: RawServer):
    server.answer = lambda asked: good({"name": "ann"})
    assert [client.profile().name for _ in range(3)] == ["ann"] * 3
    assert {asked.connection for asked in server.asked} == {1}


def test_a_closed_connection_is_not_used_again(client: Any, server: RawServer):
    server.answer = lambda asked: Reply(good({"name": "ann"}).chunks)
    assert [client.profile().name for _ in range(3)] == ["ann"] * 3
    assert [asked.connection for asked in server.asked] != [1, 1, 1]


def test_a_successor_replaces_a_token(client: Any, server: RawServer):
    server.answer = lambda asked: answered(200, {"data": {"name": "ann"}}, Token="next")
    client.profile()
    client.profile()
    signs = [asked.headers["authorization"] for asked in server.asked]
    assert signs == ["Bearer head.body.signature", "Bearer next"]


def test_a_wrong_password_is_tried_once(connect: Connect, server: RawServer):
    server.answer = lambda asked: bad(401, "wrong username or password")
    with pytest.raises(NotSignedInError, match="wrong username"):
        connect(server.url, user="ann", password="x").profile()
    assert [asked.path for asked in server.asked] == [f"{BASE}/login"]


def test_requests_say_who_sends_them(client: Any, server: RawServer):
    server.answer = lambda asked: good({"name": "ann"})
    client.profile()
    headers = server.asked[0].headers
    assert headers["user-agent"].startswith("core4-client/")
    assert headers["accept"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert "cookie" not in headers


def test_shortest_times_are_used(connect: Connect, server: RawServer):
    server.answer = lambda asked: Reply(hold=True)
    times = Timeouts(connect=10, read=0.05, total=10, stream=10)
    with pytest.raises(UnreachableError, match="in time"):
        connect(server.url, token="t", timeouts=times).profile()
    assert SHORT.read > times.read
