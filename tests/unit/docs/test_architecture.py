"""docs/architecture.md names the tasks that the processes supervise."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
TABLE = TEXT.split("\n## Tasks\n")[1].split("\n## ")[0]
NAMES = sorted(
    {
        name.strip()
        for folder in ("api", "journal", "kube", "operator", "process")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(
            r"supervision\.start\(\s*f?\"([^\"{]+)", path.read_text(encoding="utf-8")
        )
    }
)


@pytest.mark.parametrize("name", NAMES)
def test_each_supervised_task_is_in_the_table(name: str) -> None:
    assert re.search(rf"`{re.escape(name)}[` ]", TABLE)


def test_there_are_tasks() -> None:
    assert len(NAMES) > 10


def test_the_glossary_has_at_least_twenty_terms() -> None:
    glossary = TEXT.split("\n## Glossary\n")[1].split("\n## ")[0]
    assert len(re.findall(r"^\| \*\*", glossary, re.MULTILINE)) >= 20
