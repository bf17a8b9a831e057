"""The table of aims: each figure with its size, and what was not measured says so."""

from tests.bench.summary import rows


def measured(figures, start):
    (found,) = [row for row in rows(figures) if row[0].startswith(start)]
    return found


def part(**values):
    sitting = {"taken": "", "commit": "", "load_before": 0.1, "of": []}
    return {**values, "sittings": [sitting]}


def posts(*clients):
    found = []
    for count in clients:
        found += [
            {"name": f"{count} clients: POST /job", "clients": count, "p50 ms": 50.5},
            {"name": "  core4 / raw", "clients": count, "jobs/s": f"x0.{count}"},
        ]
    return {"posts": part(rows=found)}


def test_posts_without_the_16_clients_of_the_aim():
    assert measured(posts(1, 64), "`POST /job`")[2] == (
        "1: x0.1, 64: x0.64; p50 at 16 clients: not measured"
    )
    assert measured(posts(16), "`POST /job`")[2] == "16: x0.16; p50 at 16 clients: 50.5 ms"


def test_the_state_killed_is_compared_with_nothing_and_the_ends_with_the_same_ends():
    stream, ended, gone = (
        f"PUT /job/kill -> {what}"
        for what in ("`killed` on the stream", "container ended", "pod gone")
    )
    figures = {
        "kills": part(
            series=[{"name": stream, "p50": 39.5, "p90": 92.8}],
            comparisons=[
                {"of": ended, "to": "", "difference": {"p50": 94.3}},
                {"of": gone, "to": "", "difference": {"p50": -124.8}},
            ],
        )
    }
    assert measured(figures, "kill → `killed`")[1:3] == ["-", "p50 40 ms, p90 93 ms"]
    assert measured(figures, "kill → container ended")[2] == "p50 +94 ms"
    assert measured(figures, "kill → pod gone")[2] == "p50 -125 ms"


def test_what_was_not_measured():
    assert {row[2] for row in rows({})} == {"not measured"}
