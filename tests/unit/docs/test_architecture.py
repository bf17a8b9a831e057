"""docs/architecture.md names the tasks of the processes, and the writers of a CoreJob's status."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from corejob.crds.job import job_crd

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
TABLE = TEXT.split("\n## Tasks\n")[1].split("\n## ")[0]
OWNERSHIP = TEXT.split("\n## Ownership\n")[1].split("\n## ")[0]


def names_of_tasks(path: Path) -> Iterator[str]:
    """Yield the name of each task that a module starts, up to its first variable part."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match call:
            case ast.Call(func=ast.Attribute(attr="start", value=value), args=[name, *_]):
                if ast.unparse(value).endswith("supervision"):
                    yield from constant_beginning(name)
            case ast.Call(func=ast.Attribute(attr="create_task"), keywords=keywords):
                for keyword in keywords:
                    if keyword.arg == "name":
                        yield from constant_beginning(keyword.value)


def constant_beginning(name: ast.expr) -> Iterator[str]:
    match name:
        case ast.Constant(value=str(text)) | ast.JoinedStr(values=[ast.Constant(value=text), *_]):
            yield str(text).strip()


NAMES = sorted(
    {
        name
        for folder in ("api", "journal", "kube", "operator", "process")
        for path in (ROOT / folder).rglob("*.py")
        for name in names_of_tasks(path)
    }
)


@pytest.mark.parametrize("name", NAMES)
def test_each_named_task_is_in_the_table(name: str) -> None:
    assert re.search(rf"`{re.escape(name)}[` ]", TABLE)


def test_there_are_tasks() -> None:
    assert len(NAMES) > 30


def fields_of(writer: str) -> set[str]:
    """Return the fields of a CoreJob's status in the row of a writer."""
    rows = re.findall(rf"^\| `status\.(.*) \| {writer} \|$", OWNERSHIP, re.MULTILINE)
    quoted = re.findall(r"`([^`]+)`", f"`{rows[0]}") if len(rows) == 1 else []
    return {field for words in quoted for field in words.split()}


def test_each_field_of_the_status_has_one_writer() -> None:
    schema = job_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    fields = set(schema["properties"]["status"]["properties"])
    times = {field for field in fields if field.endswith("Time")}
    recorder = fields_of("recorder")
    # The operator's row says: all its times but this one.
    operator = fields_of("operator") - {"journaledTime"} | times - recorder

    assert operator | recorder == fields
    assert operator & recorder == set()


def test_the_glossary_has_at_least_twenty_terms() -> None:
    glossary = TEXT.split("\n## Glossary\n")[1].split("\n## ")[0]
    assert len(re.findall(r"^\| \*\*", glossary, re.MULTILINE)) >= 20
