"""A run writes its figures part by part, and refuses at once what it can't do."""

import json
from types import SimpleNamespace

import pytest
from tests.bench import cli, parts
from tests.bench.sittings import dated
from tests.cluster.errors import ClusterError

from corejob_kube.errors import UnavailableError

KIND = SimpleNamespace(name="kind")


def part(size, mark):
    rows = [{"name": f"{size}", "size": size, "mark": mark}]
    return dated({"title": "", "rows": rows}, taken="now", commit="abc", load_before=0.1)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command with parts that yield these figures, or raise; return what it wrote."""
    output = tmp_path / "build" / "bench.json"

    def run(*steps, arguments=()):
        def measure(_options, _provider):
            for step in steps:
                if isinstance(step, BaseException):
                    raise step
                yield step

        monkeypatch.setattr(cli, "choose", lambda: KIND)
        monkeypatch.setattr(parts, "measure", measure)
        code = cli.main(["--parts", "starts", "--output", str(output), *arguments])
        return code, json.loads(output.read_text()) if output.exists() else None

    return run


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ClusterError("no cluster"), 1, "error: no cluster\n"),
        (UnavailableError(503, "away", ""), 1, "away"),
        (TimeoutError(), 1, "error: TimeoutError\n"),
        (ExceptionGroup("clients", [ValueError("first")]), 1, "error: first\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_an_error_loses_no_earlier_part(run, capsys, error, code, text):
    found, written = run(("burst", part(300, "new")), error)
    assert found == code
    assert text in capsys.readouterr().err
    assert written["burst"]["rows"][0]["mark"] == "new"


def test_a_fault_of_the_benchmark_loses_no_earlier_part_either(run, tmp_path):
    with pytest.raises(KeyError):
        run(("burst", part(300, "new")), KeyError("x"))
    assert "burst" in json.loads((tmp_path / "build" / "bench.json").read_text())


def test_added_sizes_leave_the_others(run):
    run(("burst", part(300, "old")), ("posts", part(1, "old")))
    _, written = run(("burst", part(1000, "new")), arguments=["--add"])
    assert [row["mark"] for row in written["burst"]["rows"]] == ["old", "new"]
    assert written["posts"]["rows"][0]["mark"] == "old"


def test_without_add_the_old_figures_go(run):
    run(("burst", part(300, "old")), ("posts", part(1, "old")))
    _, written = run(("burst", part(1000, "new")))
    assert [row["mark"] for row in written["burst"]["rows"]] == ["new"]
    assert "posts" not in written


def test_parts_with_simulated_nodes_are_refused_before_the_first_part(run, capsys):
    arguments = ["--parts", "starts", "burst"]
    assert run(("starts", part(1, "new")), arguments=arguments) == (1, None)
    told = capsys.readouterr().err
    assert told.startswith("error: burst: simulated nodes need the local cluster; this one is kind")


def test_too_few_running_jobs_are_refused(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--parts", "queue", "--running", "19"])
    assert "--running: at least 20" in capsys.readouterr().err
