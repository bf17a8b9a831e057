"""Only the steady lines have a number, by which their arrivals are found."""

from tests.bench.followers import numbered


def test_lines_of_the_history_and_of_the_job_s_frame_are_left_out():
    lines = [("start execution", 1.0), ("xxxx", 2.0), ("1 xx", 3.0), ("2 xx", 3.5), ("x 3", 4.0)]
    assert numbered(lines) == {1: 3.0, 2: 3.5}
