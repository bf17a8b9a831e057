"""New lines in a stream that breaks off and starts again: none is repeated, none lost."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corejob_journal.recorder.ingest import protocol
from corejob_journal.recorder.ingest.lines import LogLine
from corejob_journal.recorder.ingest.log_ingest import LogIngest
from corejob_journal.store.records import Append, LogPosition, NewRecord, StreamState

NS = 10**9
START = 1_795_500_000 * NS


BEGIN = LogPosition()


def state(position: LogPosition = BEGIN, token: int = 0) -> StreamState:
    return StreamState(1, 1, "a" * 24, 1, "uid", token, position, False, False, False)


def numbered(n: int, **fields: Any) -> bytes:
    event = {"core4": 1, "n": n, "type": "log", "time": 1.0, "message": f"line {n}", **fields}
    return json.dumps(event).encode()


def line(index: int, body: bytes, at: int | None = None) -> LogLine:
    return LogLine(START + (index if at is None else at), body)


class Server:
    """Serves a log as the kubelet does, from a whole second on."""

    def __init__(self, log: list[LogLine]) -> None:
        self.log = log

    def connect(self, since: int | None) -> list[LogLine]:
        return [each for each in self.log if since is None or each.stamp >= since * NS]


def take(ingest: LogIngest, lines: list[LogLine]) -> None:
    """Take lines; the last one does not begin a file."""
    start = ingest.take(lines)
    if start < len(lines):
        assert ingest.may_begin_file(lines[start])
        ingest.accept(lines[start])
        start = ingest.take(lines, start)
    assert start == len(lines)


def records(appends: list[Append]) -> list[NewRecord]:
    return [record for append in appends for record in append.records]


@given(
    gaps=st.lists(st.sampled_from([0, 1, 1000, NS // 3, NS]), min_size=1, max_size=40),
    jitter=st.lists(st.integers(0, NS // 4), min_size=40, max_size=40),
    cuts=st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=8),
    speaks=st.sampled_from(["numbers", "text", "both"]),
)
def test_every_line_once_in_order(
    gaps: list[int], jitter: list[int], cuts: list[tuple[int, bool]], speaks: str
) -> None:
    """With any timestamps (equal ones, two threads out of order) and any breaks."""
    at, log, n = 0, [], 0
    for index, gap in enumerate(gaps):
        at += gap
        if speaks == "numbers" or (speaks == "both" and index % 2):
            n += 1
            body = numbered(n, message=str(index))
        else:
            body = str(index).encode()
        log.append(LogLine(START + max(0, at - jitter[index]), body))
    server, stored, ingest = Server(log), [], LogIngest(state())
    for length, restart in [*cuts, (len(log), False)]:
        served = server.connect(ingest.since)
        ingest.resume()
        # The log grows with each round; the connection breaks off within it.
        take(ingest, served[:length])
        appends = ingest.flush()
        stored += records(appends)
        if restart and appends:
            ingest = LogIngest(state(appends[-1].position, appends[-1].next_token))
    served = server.connect(ingest.since)
    ingest.resume()
    take(ingest, served)
    stored += records(ingest.flush())
    assert [record.message for record in stored] == [str(index) for index in range(len(log))]


def test_tokens_make_a_chain() -> None:
    ingest = LogIngest(state(token=7))
    ingest.take([line(1, b"a")])
    (first,) = ingest.flush()
    ingest.take([line(2, b"b")])
    (second,) = ingest.flush()
    assert first.expected_token == 7
    assert second.expected_token == first.next_token
    assert ingest.flush() == []


def test_gap_stops_until_it_is_filled() -> None:
    ingest = LogIngest(state())
    log = [line(n, numbered(n)) for n in range(1, 7)]
    assert ingest.take([log[0], log[4], log[5]]) == 1
    ingest.fill(log, 5)
    ingest.jump(5)
    assert ingest.take([log[0], log[4], log[5]], 1) == 3
    (append,) = ingest.flush()
    assert [record.n for record in append.records] == [1, 2, 3, 4, 5, 6]
    assert not append.gaps


def test_lines_still_missing_are_named_at_their_place() -> None:
    ingest = LogIngest(state())
    log = {n: line(n, numbered(n)) for n in (1, 3, 6)}
    assert ingest.take([log[1], log[6]]) == 1
    ingest.fill([log[1], log[3]], 6)
    ingest.jump(6)
    assert ingest.take([log[1], log[6]], 1) == 2
    appends = ingest.flush()
    assert [[record.n for record in append.records] for append in appends] == [[1], [3], [6]]
    named = [(gap.first_n, gap.last_n) for append in appends for gap in append.gaps]
    assert named == [(2, 2), (4, 5)]


def test_two_speakers_lose_nothing() -> None:
    """A container with two processes that both count from 1."""
    ingest = LogIngest(state())
    assert ingest.take([line(i, numbered(n)) for i, n in enumerate([1, 2, 1, 3, 2])]) == 5
    (append,) = ingest.flush()
    assert [record.message for record in append.records] == [f"line {n}" for n in (1, 2, 1, 3, 2)]
    assert [record.n for record in append.records] == [1, 2, None, 3, None]


def test_impossible_times_are_the_kubelets() -> None:
    ingest = LogIngest(state())
    ingest.take([line(0, numbered(1, time=1e300)), line(0, numbered(2, time=0))])
    (append,) = ingest.flush()
    assert [record.epoch for record in append.records] == [START / 1e9] * 2


def test_cookie_with_a_monstrous_key() -> None:
    ingest = LogIngest(state())
    ingest.take([line(0, numbered(1, type="cookie", key="k" * 5000, value=1))])
    (append,) = ingest.flush()
    assert not append.cookies
    assert "is not kept" in append.records[0].message


def test_position_counts_the_window() -> None:
    ingest = LogIngest(state())
    ingest.take([line(0, b"a"), line(0, b"b"), line(1, b"c"), line(0, b"d", at=2 * NS)])
    assert ingest.position == LogPosition(START + 2 * NS, 1, 0, 0)
    take(ingest, [line(0, b"e", at=2 * NS), line(0, b"f", at=2 * NS - 5)])
    assert ingest.position == LogPosition(START + 2 * NS, 3, 0, 0)
    assert ingest.since == START // NS + 1


def texts(ingest: LogIngest) -> list[str]:
    return [record.message for record in records(ingest.flush())]


def test_file_that_the_kubelet_begins_anew_within_a_second() -> None:
    ingest = LogIngest(state())
    log = [line(0, str(n).encode(), at=n * NS // 10) for n in range(12)]
    assert ingest.take([*log[:9], *log[4:], *log[2:]]) == 27
    assert texts(ingest) == [str(n) for n in range(12)]


def test_file_that_the_kubelet_begins_anew_several_times_before_the_next_line() -> None:
    """Once for each rotation while the connection was stalled."""
    ingest = LogIngest(state())
    log = [line(0, str(n).encode(), at=n * NS // 10) for n in range(12)]
    again = [*log[:9], *log[4:9], *log[2:9], *log[4:]]
    assert ingest.take(again) == len(again)
    assert texts(ingest) == [str(n) for n in range(12)]


def test_file_that_begins_in_the_middle_of_a_line_and_that_the_kubelet_begins_anew() -> None:
    """Its first entry was taken with the line of the file before."""
    log = [line(0, str(n).encode(), at=n * NS // 10) for n in range(12)]
    rest = LogLine(log[3].stamp + 5, b"rest of 3")
    again = [*log[:6], rest, *log[4:7], rest, *log[4:]]
    ingest = LogIngest(state())
    assert ingest.take(again) == len(again)
    assert texts(ingest) == [str(n) for n in range(12)]
    # If nothing follows it yet, another request has to find out.
    ingest = LogIngest(state())
    assert ingest.take(again[:7]) == 6
    assert ingest.may_begin_file(rest)
    assert ingest.take(again, 7) == len(again)
    assert texts(ingest) == [str(n) for n in range(12)]


def test_connection_that_begins_in_the_middle_of_a_line() -> None:
    log = [line(0, str(n).encode(), at=n * NS // 10) for n in range(12)]
    ingest = LogIngest(state())
    ingest.take(log[:9])
    ingest.resume()
    ingest.take([LogLine(log[3].stamp + 5, b"rest of 3"), *log[4:]])
    (append,) = ingest.flush()
    assert [record.message for record in append.records] == [str(n) for n in range(12)]
    assert not append.gaps


def test_last_line_that_was_overtaken_is_kept() -> None:
    ingest = LogIngest(state())
    ingest.take([line(0, b"a"), line(20, b"b")])
    ingest.resume()
    ingest.take_rest([line(10, b"rest")])
    assert texts(ingest) == ["a", "b", "rest"]


def test_file_that_the_kubelet_begins_anew_after_more_than_a_second() -> None:
    ingest = LogIngest(state())
    log = [line(0, numbered(n), at=n * NS) for n in range(1, 7)]
    again = [*log[:5], *log]
    assert ingest.take(again) == 5
    assert ingest.goes_back(again[5])
    ingest.read_anew()
    assert ingest.take(again, 5) == 11
    assert [record.n for record in records(ingest.flush())] == [1, 2, 3, 4, 5, 6]


def test_clock_that_was_set_back() -> None:
    ingest = LogIngest(state())
    log = [line(0, str(n).encode(), at=at * NS) for n, at in enumerate([10, 11, 3, 4, 5, 12, 13])]
    assert ingest.take(log) == 2
    ingest.go_back(log[2])
    assert ingest.take(log, 2) == 7
    assert texts(ingest) == [str(n) for n in range(7)]
    # From now on timestamps are compared again.
    assert ingest.take([line(0, b"8", at=2 * NS)]) == 0


def test_lines_of_two_outputs_that_overtake_each_other_are_not_read_anew() -> None:
    ingest = LogIngest(state())
    log = [line(at, str(n).encode()) for n, at in enumerate([10, 30, 20, 40, 20, 50])]
    assert ingest.take(log) == 6
    assert texts(ingest) == [str(n) for n in range(6)]


@pytest.mark.parametrize("at", [1_795_870_321_617.0, 1e300, -1e300, 0.0])
def test_impossible_times_of_a_progress_are_the_kubelets(at: float) -> None:
    ingest = LogIngest(state())
    ingest.take([line(0, numbered(1, type="progress", value=0.5, time=at))])
    progress = ingest.contents.progress
    assert progress is not None
    assert progress.time == START / 1e9


def test_a_line_that_cant_be_taken_is_kept_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not end the log: the next follower would meet it again."""

    def record(*_arguments: Any) -> NewRecord:
        raise RuntimeError

    ingest = LogIngest(state())
    with monkeypatch.context() as patches:
        patches.setattr(protocol, "record", record)
        assert ingest.take([line(0, numbered(1))]) == 1
    assert ingest.take([line(1, numbered(2))]) == 1
    (append,) = ingest.flush()
    assert [(record.n, record.levelno) for record in append.records] == [(1, 30), (2, 20)]
    assert append.records[0].message == numbered(1).decode()


def test_the_end_of_a_run_is_no_end_if_the_container_may_be_restarted() -> None:
    run = [line(0, numbered(1)), line(1, numbered(2, type="done", state="complete"))]
    ingest = LogIngest(state(), restarts=True)
    ingest.take(run)
    (append,) = ingest.flush()
    assert (append.done, append.ended) == (False, True)
    ingest.take([line(2, numbered(1))])
    (append,) = ingest.flush()
    assert not append.ended  # of the next run
    once = LogIngest(state())
    once.take(run)
    assert once.done


def test_a_file_that_begins_within_the_window_hides_no_new_line() -> None:
    """One output stream has overtaken the other, so a new line is older than the last one."""
    ingest = LogIngest(state())
    log = [line(10 * n, str(n).encode()) for n in range(10)]
    ingest.take(log)
    ingest.resume()
    ingest.take([*log[6:], line(85, b"new"), line(110, b"newer")])
    (append,) = ingest.flush()
    assert [record.message for record in append.records[10:]] == ["new", "newer"]
    assert not append.gaps


def test_a_process_that_only_knows_the_window_s_count_names_the_doubt() -> None:
    before = LogIngest(state())
    log = [line(10 * n, str(n).encode()) for n in range(10)]
    before.take(log)
    (append,) = before.flush()
    ingest = LogIngest(state(append.position, append.next_token))
    ingest.resume()
    ingest.take([*log[6:], line(85, b"new"), line(110, b"newer")])
    (append,) = ingest.flush()
    assert [gap.cause for gap in append.gaps] == ["Rotated"]
    whole = LogIngest(state(append.position, append.next_token))
    whole.resume()
    whole.take([*log, line(110, b"newer"), line(120, b"newest")])
    assert not whole.flush()[0].gaps


def set_back(count: int) -> list[LogLine]:
    """Return a log whose clock was an hour ahead for three lines, and then right."""
    hour, right = 3600 * NS, range(count)
    return [
        *(line(0, f"ahead {n}".encode(), at=hour + n * NS // 10) for n in range(3)),
        *(line(0, f"right {n}".encode(), at=n * NS // 5) for n in right),
    ]


@given(
    taken=st.integers(4, 13),
    restart=st.booleans(),
    rotated=st.integers(0, 13),
)
def test_a_log_whose_clock_was_set_back_is_read_on_where_it_was(
    taken: int, restart: bool, rotated: int
) -> None:
    log = set_back(10)
    ingest = LogIngest(state())
    assert ingest.take(log[:taken]) == 3
    assert ingest.goes_back(log[3])
    ingest.go_back(log[3])
    assert ingest.take(log[:taken], 3) == taken
    appends = ingest.flush()
    if restart:
        ingest = LogIngest(state(appends[-1].position, appends[-1].next_token))
    assert ingest.ahead == log[2].stamp
    left = log[min(rotated, taken) :]
    served = [each for each in left if each.stamp >= (ingest.since or 0) * NS]
    ingest.resume()
    if not any(each.stamp >= ingest.ahead for each in left):
        ingest.set_back_rotated()
    assert ingest.take(served) == len(served)
    appends += ingest.flush()
    messages = [record.message for record in records(appends)]
    assert messages == [each.body.decode() for each in log]


def test_a_file_without_the_last_line_before_the_clock_was_set_back_is_named() -> None:
    position = LogPosition(START, 1, ahead=START + 3600 * NS)
    ingest = LogIngest(state(position, 1))
    ingest.resume()
    ingest.take([line(0, b"a", at=NS), line(0, b"b", at=3601 * NS)])
    (append,) = ingest.flush()
    assert [gap.cause for gap in append.gaps] == ["ClockSetBack"]
    assert [record.message for record in append.records] == ["b"]
    assert not ingest.ahead
