"""CONTRIBUTING.md names modules that exist, and rules that the sources keep."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FOLDERS = ("api", "charts", "domain", "journal", "kube", "operator", "process", "runtime", "tests")
PATHS = sorted(set(re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`", TEXT)))


def section(heading: str) -> str:
    return TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("path", PATHS)
def test_named_path_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_each_behaviour_has_a_place() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", section("Where is …"), re.MULTILINE)[1:]
    assert len(rows) > 20
    assert [behaviour for behaviour, where in rows if "`" not in where] == []


SERVICE = ("api", "domain", "journal", "kube", "operator", "process")


@pytest.mark.parametrize("folders", [SERVICE, ("runtime",)], ids=["service", "runtime"])
def test_class_names_are_unique(folders: tuple[str, ...]) -> None:
    names = Counter(
        node.name
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert names
    assert [name for name, count in names.items() if count > 1] == []
