"""Links between the documents, and the paths that they name."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md")],
    key=lambda path: path.relative_to(ROOT).as_posix(),
)


def text(path: Path) -> str:
    """Return the page without its code blocks."""
    return re.sub(
        r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(path: Path) -> Iterator[tuple[str, str]]:
    """Return file and anchor of each link within the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text(path)):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            yield file, anchor


def broken(path: Path) -> Iterator[str]:
    for file, anchor in links(path):
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield f"{file}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken(page)) == []


def named_modules(path: Path) -> set[str]:
    """Return the Python files that a page names, each by the end of its path."""
    return set(re.findall(r"`([\w/.]+\.py)`", text(path)))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_named_modules_exist(page: Path) -> None:
    folders = (
        "api",
        "domain",
        "image",
        "journal",
        "kube",
        "operator",
        "process",
        "runtime",
        "tests",
    )
    files = [f"/{file.as_posix()}" for name in folders for file in (ROOT / name).rglob("*.py")]
    missing = {
        name for name in named_modules(page) if not any(f.endswith(f"/{name}") for f in files)
    }
    assert missing == set()
