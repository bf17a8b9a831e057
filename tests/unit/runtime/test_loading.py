"""The runner with a job that it can't load."""

import json

import pytest

SOURCES = {
    "missing module": ("nowhere.to.be.found.Job", "", "ModuleNotFoundError"),
    "missing class": ("some_jobs.Other", "", "has no class [Other]"),
    "no dot": ("Job", "", "no dot"),
    "no job": ("some_jobs.Job", "class Job: author = 'test'", "no subclass"),
    "no class": ("some_jobs.Job", "def Job(): pass", "no subclass"),
    "no author": ("some_jobs.Job", "class Job(CoreJob): pass", "names no author"),
    "inherited author": (
        "some_jobs.Job",
        "class A(CoreJob): author = 'a'\nclass Job(A): pass",
        "names no author",
    ),
    "module that raises": ("some_jobs.Job", "raise ValueError('at import')", "at import"),
    "module that exits": ("some_jobs.Job", "sys.exit(0)", "SystemExit"),
    "syntax error": ("some_jobs.Job", "def :", "SyntaxError"),
    "the base class": ("core4.queue.job.CoreJob", "", "names no author"),
}


@pytest.mark.parametrize(("name", "source", "reason"), SOURCES.values(), ids=SOURCES.keys())
def test_class_that_can_not_be_loaded(runner, name, source, reason):
    runner.write(source)
    result = runner.run(name, attempts=3, attemptsLeft=3)
    assert result.code == 78
    (record,) = result.of("log")
    assert record["level"] == "CRITICAL"
    assert name in record["message"]
    assert reason in record["message"]
    assert result.done["state"] == result.termination["state"] == "error"
    assert result.termination["lastError"]["exception"]
    assert result.termination["lastError"]["traceback"][-1]


def test_traceback_is_that_of_the_module(runner):
    runner.write("import json\njson.loads('no JSON')")
    result = runner.run()
    lines = "".join(result.done["lastError"]["traceback"])
    assert "some_jobs.py" in lines
    assert "JSONDecodeError" in result.done["lastError"]["exception"]


def test_output_of_the_import_is_kept(runner):
    runner.write("print('importing')\nraise ValueError")
    assert runner.run().output() == ["importing"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"qualName": 3}', '{"args": []}', '{"trial": true}', '"x"'],
)
def test_bad_job_description(runner, text):
    result = runner.run(env={"CORE4_JOB": text})
    assert result.code == 78
    assert result.done["state"] == "error"
    (record,) = result.of("log")
    assert "job description" in record["message"] or "no dot" in record["message"]


def test_no_job_description(runner):
    result = runner.run(env={"CORE4_JOB": None})
    assert result.code == 78
    assert "neither CORE4_JOB nor CORE4_JOB_FILE" in result.of("log")[0]["message"]


def test_job_file(runner, tmp_path):
    runner.write_job("self.logger.info('%s', kwargs)")
    path = tmp_path / "job.json"
    document = {"id": "1", "qualName": "some_jobs.Job", "args": {"text": "ä" * 100_000}}
    path.write_text(json.dumps(document, ensure_ascii=False))
    result = runner.run(env={"CORE4_JOB": None, "CORE4_JOB_FILE": str(path)})
    assert result.code == 0
    assert result.messages == [str(document["args"])]
    gone = runner.run(env={"CORE4_JOB": None, "CORE4_JOB_FILE": str(tmp_path / "gone")})
    assert gone.code == 78


def test_unknown_keys_are_ignored(runner):
    result = runner.run_body("pass", futureKey={"x": 1})
    assert result.code == 0
