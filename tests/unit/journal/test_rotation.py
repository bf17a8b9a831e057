"""A lagging reader notices a log file that was rotated away before it was read."""

import pytest

from corejob_journal.recorder.ingest.lines import LogLine
from corejob_journal.recorder.ingest.rotation import NodeClock, Rotation

SECOND = 10**9


@pytest.fixture(autouse=True)
def in_time() -> None:
    """Leave the limits as they are: these tests have no clock."""


def lines(*stamps: float) -> list[LogLine]:
    return [LogLine(round(stamp * SECOND), b"text") for stamp in stamps]


def entry(second: float, text: bytes = b"text") -> tuple[int, bytes]:
    return round(second * SECOND), text


def looking(*, late: float = 98.0) -> Rotation:
    """A reader of a file up to second 90, next to a newer file that begins at second 100."""
    rotation = Rotation(80.0)
    assert rotation.arrived(lines(late), 100.5)
    rotation.looked(entry(100), 90 * SECOND, 100.5)
    return rotation


@pytest.mark.parametrize(
    ("lag", "since", "due"), [(1.9, 60, False), (2.1, 0.9, False), (2.1, 1, True)]
)
def test_only_a_reader_that_lags_looks_and_not_too_often(
    lag: float, since: float, due: bool
) -> None:
    now = 1000.0
    rotation = Rotation(now - since)
    assert rotation.arrived(lines(now - lag, now), now) is due


def test_the_next_file_follows_the_one_that_was_read() -> None:
    rotation = looking()
    assert rotation.missed(lines(91, 95)) is None
    assert rotation.open_end
    assert rotation.missed(lines(99, 100, 101, 500)) is None
    assert not rotation.open_end


def test_a_file_that_was_left_out() -> None:
    rotation = looking()
    assert rotation.missed(lines(91, 95, 120, 121)) == 2
    # Reported once.
    assert rotation.missed(lines(130)) is None


def test_lines_that_overtake_each_other_are_no_loss() -> None:
    rotation = looking()
    assert rotation.missed(lines(100.1, 100.2, 100, 100.3, 300)) is None


def test_a_third_file_seen_before_the_second_was_read_changes_nothing() -> None:
    rotation = looking()
    rotation.looked(entry(110), 92 * SECOND, 111)
    assert rotation.missed(lines(93, 110, 111.5)) == 1


def test_a_reader_that_was_blind_for_a_file_s_life_is_not_sure() -> None:
    rotation = looking(late=97.0)
    assert rotation.missed(lines(98, 100, 101)) == 1
    assert rotation.missed(lines(102)) is None


def test_looks_end_the_time_in_doubt() -> None:
    rotation = Rotation(80.0)
    assert rotation.arrived(lines(90), 92.5)
    rotation.looked(entry(85), 90 * SECOND, 92.5)
    assert rotation.arrived(lines(91), 94)
    rotation.looked(entry(93), 91 * SECOND, 94)
    assert rotation.missed(lines(92, 93, 94)) is None


def test_silence_is_no_time_in_doubt() -> None:
    rotation = Rotation(0.0)
    assert not rotation.arrived(lines(10), 10.5)
    assert rotation.sure(1000.0)
    assert rotation.arrived(lines(997.5), 1000.0)
    assert rotation.sure(1000.0)
    assert not rotation.sure(1000.6)
    assert not rotation.arrived(lines(1000), 1001.0)
    assert rotation.sure(1001.0)


def test_the_newest_file_is_the_one_that_is_read() -> None:
    rotation = Rotation(80.0)
    assert rotation.arrived(lines(98), 100.5)
    rotation.looked(entry(100), 100 * SECOND, 100.5)
    assert not rotation.open_end
    assert rotation.missed(lines(500)) is None


def test_the_next_file_begins_with_the_rest_of_a_line() -> None:
    """The kubelet joins it to the file before, so the time of the first entry never comes."""
    rotation = looking()
    text = b"x" * 1000
    following = [LogLine(100 * SECOND + n, text) for n in range(1, 70)]
    assert rotation.missed(lines(99)) is None
    assert rotation.missed(following[:60]) is None
    assert rotation.open_end
    assert rotation.missed(following[60:]) is None
    assert not rotation.open_end


def test_a_file_that_begins_with_the_rest_of_a_line_is_no_proof_of_those_before() -> None:
    rotation = looking(late=97)
    assert rotation.missed(lines(99, 100.1)) == 1
    # The kubelet repeats the file.
    rotation.looked(entry(100), round(100.1 * SECOND), 101.5)
    assert rotation.missed(lines(100, 100.1)) is None


def test_a_look_that_failed_tells_nothing() -> None:
    rotation = looking()
    rotation.failed(102)
    assert rotation.open_end
    assert not rotation.due(102.5)
    rotation.looked(None, 95 * SECOND, 104)
    assert rotation.open_end
    assert not rotation.due(104.5)
    fine = Rotation(80.0)
    assert fine.arrived(lines(90), 100)
    fine.failed(100)
    assert not fine.open_end


def test_an_empty_newest_file_after_unknown_ones() -> None:
    rotation = Rotation(80.0)
    assert rotation.arrived(lines(90), 100)
    rotation.looked(None, 89 * SECOND, 100)
    assert rotation.open_end
    assert rotation.missed(lines(90, 91, 100.1, 100.2)) == 2
    assert not rotation.open_end


def test_an_empty_newest_file_that_turns_out_to_be_the_one_that_is_read() -> None:
    rotation = Rotation(80.0)
    assert rotation.arrived(lines(90), 100)
    rotation.looked(None, 89 * SECOND, 100)
    rotation.looked(entry(88), 91 * SECOND, 101.1)
    assert not rotation.open_end
    assert rotation.missed(lines(92, 101.2)) is None


def test_an_empty_newest_file_without_doubt() -> None:
    rotation = Rotation(80.0)
    assert rotation.arrived(lines(98), 100.5)
    rotation.looked(None, 97 * SECOND, 100.5)
    assert not rotation.open_end


def test_pieces_of_a_long_line_are_one_line() -> None:
    rotation = looking()
    pieces = [LogLine(100 * SECOND, b"a", part, last=part == 2) for part in range(3)]
    assert rotation.missed([*pieces, *lines(200)]) is None


def test_the_next_connection_has_to_begin_with_the_next_file() -> None:
    assert looking().again(110).missed(lines(100, 101)) is None
    assert looking().again(110).missed(lines(105, 106)) == 0
    assert looking(late=97).again(110).missed(lines(100, 101)) == 0


@pytest.mark.parametrize(
    ("text", "missed"),
    [(b"x" * 97, None), (b"end", None), (b"y" * 97, 1), (b"other", 1)],
)
def test_a_file_that_begins_in_the_middle_of_the_line_before_it(
    text: bytes, missed: int | None
) -> None:
    rotation = Rotation(80.0)
    assert rotation.arrived(lines(98), 100.5)
    rotation.looked(entry(100, text), 90 * SECOND, 100.5)
    long = LogLine(97 * SECOND, b"x" * 40_000 + b"end")
    assert rotation.missed([long, *lines(105)]) == missed


def clock_of(*differences: float) -> NodeClock:
    """Return a clock after waits for lines that arrived with these differences."""
    clock = NodeClock()
    for number, difference in enumerate(differences):
        clock.waited(lines(number)[0], 1.0, number + difference)
    return clock


def test_a_node_whose_clock_is_behind_is_not_late() -> None:
    rotation = Rotation(0.0, clock_of(*[3.0] * 5))
    assert not rotation.arrived(lines(1000), 1003.1)
    assert rotation.arrived(lines(1000), 1005.1)


def test_a_node_whose_clock_is_ahead_may_be_late() -> None:
    rotation = Rotation(0.0, clock_of(*[-10.0] * 5))
    assert not rotation.arrived(lines(1010), 1000.5)
    assert rotation.arrived(lines(1010), 1008)
    # Before there is an estimate too.
    assert Rotation(0.0).arrived(lines(1010), 1008)


def test_the_file_that_a_late_reader_missed_is_found_whatever_the_node_s_clock() -> None:
    for skew in (0.0, 10.0, -10.0):
        rotation = Rotation(1000.0, clock_of(*[-skew] * 5))
        missed = None
        for written in (1000, 1001, 1002, 1003, 1008, 1009):
            now = written + 8.0 if written < 1008 else written + 4.0
            arrived = lines(written + skew)
            if rotation.arrived(arrived, now):
                first = 1004 if now < 1008 + 4 else 1008
                rotation.looked(entry(first + skew), round((written - 1 + skew) * SECOND), now)
            if rotation.missed(arrived) is not None:
                missed = written
        assert missed == 1008


def test_a_stall_of_the_connection_is_no_clock_that_is_behind() -> None:
    assert clock_of(9.0, 9.0, 0.0, 9.0, 9.0).time_of(lines(5)[0]) == 5.0
    assert not clock_of(*[3.0] * 4).is_known
    clock = NodeClock()
    for _ in range(9):
        clock.waited(lines(1)[0], 0.01, 100.0)  # the lines were there already
    assert not clock.is_known
