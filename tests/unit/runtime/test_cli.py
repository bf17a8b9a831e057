"""The command line: templates of a package, and running a job locally."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from core4 import __version__
from core4.catalogue.yaml import document

PACKAGE = {
    "__init__.py": "",
    "__main__.py": "raise SystemExit('not to be run')",
    "first.py": '''
        from core4.queue.job import CoreJob
        class Base_Job(CoreJob):
            """Common to all."""
        class Plain(Base_Job):
            author = "me"
        class Full(CoreJob):
            """Does a lot.

            In more than one line: with "quotes", # and é.
            """
            author = "me: & co"
            schedule = "0  3 * * *"
            tag = ["a", "yes"]
            attempts = 3
            error_time = 60
            wall_time = 100
            force = True
            worker = "node-1"
    ''',
    "sub/__init__.py": "from ..first import Full",
    "sub/deep.py": '''
        from core4.queue.job import CoreJob
        class Deep(CoreJob):
            author = "you"
            doc = 1
    ''',
}  # fmt: skip


def core4(path, *args):
    return subprocess.run(
        [sys.executable, "-m", "core4", *args],
        cwd=path,
        capture_output=True,
        text=True,
        check=False,
        timeout=45,
    )


def write(path, files, package="pack_age"):
    for name, source in files.items():
        file = path / package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source))


def test_templates(tmp_path):
    write(tmp_path, PACKAGE)
    done = core4(tmp_path, "templates", "pack_age", "--image", "jobs:1", "--namespace", "demo")
    assert done.returncode == 0
    assert done.stderr == ("note: pack_age.first.Base_Job: left out, it names no author itself\n")
    full, plain, deep = yaml.safe_load_all(done.stdout)
    assert full == {
        "apiVersion": "core4.io/v1",
        "kind": "CoreJobTemplate",
        "metadata": {"name": "pack-age.first.full", "namespace": "demo"},
        "spec": {
            "qualName": "pack_age.first.Full",
            "author": "me: & co",
            "doc": 'Does a lot.\n\nIn more than one line: with "quotes", # and é.',
            "tag": ["a", "yes"],
            "schedule": "0 3 * * *",
            "runtime": "core4",
            "properties": {
                "attempts": 3,
                "errorTimeSeconds": 60,
                "wallTimeSeconds": 100,
                "force": True,
                "worker": "node-1",
            },
            "template": {"spec": {"containers": [{"name": "job", "image": "jobs:1"}]}},
        },
    }
    assert plain["spec"]["qualName"] == "pack_age.first.Plain"
    assert "doc" not in plain["spec"]
    assert "properties" not in plain["spec"]
    assert deep["metadata"]["name"] == "pack-age.sub.deep.deep"


def test_templates_go_on_after_errors(tmp_path):
    files = {
        "broken.py": "import nowhere",
        "exits.py": "raise SystemExit(0)",
        "bad.py": '''
            from core4.queue.job import CoreJob
            class Bad(CoreJob):
                author = "me"
                attempts = 0
                schedule = "61 * * * *"
            class _Hidden(CoreJob):
                author = "me"
            class Twin(CoreJob):
                author = "me"
            class TWIN(CoreJob):
                author = "me"
        ''',
    }  # fmt: skip
    write(tmp_path, PACKAGE | files)
    done = core4(tmp_path, "templates", "pack_age", "pack_age.sub", "missing")
    assert done.returncode == 1
    names = [item["spec"]["qualName"] for item in yaml.safe_load_all(done.stdout)]
    assert names == [
        "pack_age.bad.TWIN", "pack_age.first.Full", "pack_age.first.Plain",
        "pack_age.sub.deep.Deep",
    ]  # fmt: skip
    for text in (
        "pack_age.broken: can't import it: ModuleNotFoundError",
        "pack_age.exits: can't import it: SystemExit",
        "pack_age.bad.Bad: [attempts] is 0",
        "pack_age.bad.Bad: [schedule] is '61 * * * *'",
        "pack_age.bad._Hidden: the name can't be a Kubernetes name",
        "pack_age.bad.Twin: its resource would have the name of [pack_age.bad.TWIN]'s",
        "missing: can't import it: ModuleNotFoundError",
    ):
        assert f"error: {text}" in done.stderr


def test_templates_fit_the_definition(tmp_path):
    import jsonschema

    path = Path(__file__).parents[3] / "crds" / "corejobtemplates.yaml"
    schema = yaml.safe_load(path.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    write(tmp_path, PACKAGE)
    done = core4(tmp_path, "templates", "pack_age", "core4.queue.helper.job")
    assert done.returncode == 0
    found = list(yaml.safe_load_all(done.stdout))
    assert len(found) > 10
    for item in found:
        jsonschema.validate(item, schema)
        # A rule of the definition that JSON schema can't express.
        assert item["metadata"]["name"] == item["spec"]["qualName"].lower().replace("_", "-")


def test_templates_of_nothing(tmp_path):
    write(tmp_path, {"__init__.py": ""}, package="empty")
    done = core4(tmp_path, "templates", "empty")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: no job found in empty\n"


@pytest.mark.parametrize(
    "text",
    [
        "", "no", "1", "null", "2026-11-24", "a: b", "# x", "- x", "'", '"', "\\", "{}", "é😀",
        "a\nb", "a\n\nb", "a\n  b", "  a\nb", "a\nb\n", "a \nb", "a\tb\nc", "a\r\nb", "\0", "\x85",
        "\u2028", "\ufeff", "\x7f", "a\n\u2029b", "---\nx", "a\n---\nb", "a\n...\n", "%\n%",
        "x" * 999, "\n", " ", "a\n# b", "a\x1b[1m",
    ],
)  # fmt: skip
def test_yaml_of_any_text(text):
    value = {"key": text, "deep": {"list": [text, {"a": text, "b": [text]}]}, text or "x": 1}
    assert yaml.safe_load(document(value)) == value


def test_yaml_of_other_values():
    value: dict[str, Any] = {
        "a": None,
        "b": True,
        "c": [],
        "d": {},
        "e": 1.5,
        "f": [[1, 2], []],
        "on": -1,
    }
    assert yaml.safe_load(document(value)) == value


def test_execute(tmp_path):
    source = '''
        import sys
        from core4.queue.job import CoreJob
        class Job(CoreJob):
            author = "me"
            def execute(self, how, **kwargs):
                print("printed", kwargs)
                self.progress(0.5, "half")
                self.cookie.set("a", 1)
                self.set_source("/x/y.csv")
                if how == "fail": raise ValueError("no good")
                if how == "defer": self.defer("later")
                if how == "exit": sys.exit(2)
    '''  # fmt: skip
    write(tmp_path, {"jobs.py": source})
    done = core4(tmp_path, "execute", "pack_age.jobs.Job", "how=ok", "n=1", 'd={"x": [1]}', "t=a=b")
    assert done.returncode == 0
    assert done.stdout == "printed {'n': 1, 'd': {'x': [1]}, 't': 'a=b'}\n"
    log = re.sub(r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", "", done.stderr).splitlines()
    seconds = log[-1].split("[")[-1].split("]")[0]
    assert int(seconds) < 60
    assert log == [
        "INFO     start execution",
        "DEBUG    progress [50%] - half",
        "cookie [a] = 1",
        "source [y.csv]",
        f"INFO     done execution with [complete] after [{seconds}] sec.",
    ]
    for how, code, text in (
        ("fail", 1, "and [0] attempts to go: ValueError('no good')"),
        ("defer", 75, "to go: later"),
        ("exit", 1, "SystemExit(2)"),
    ):
        done = core4(tmp_path, "execute", "pack_age.jobs.Job", f"how={how}")
        assert (done.returncode, text in done.stderr) == (code, True)


def test_execute_what_can_not_be_executed(tmp_path):
    for args in (["nowhere.Job"], ["core4.queue.helper.job.example.DummyJob", "no equals sign"]):
        done = core4(tmp_path, "execute", *args)
        assert done.returncode == 78
        assert "can't load job class" in done.stderr


def test_version_and_help(tmp_path):
    assert core4(tmp_path, "--version").stdout == f"core4 {__version__}\n"
    assert "templates" in core4(tmp_path, "--help").stdout
    assert core4(tmp_path).returncode == 2
