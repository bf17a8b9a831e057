"""``python -m tests.bench.report [JSON]``: write tables and plots of the figures into the docs.

It keeps the figures without their single values in docs/bench/figures.json, from which the tables
between the markers of the pages are generated, so that no number is copied by hand.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench.markdown import section
from tests.bench.plots import draw
from tests.bench.sittings import each_dated
from tests.cluster.deploy import ROOT

FOLDER: Final = ROOT / "docs" / "bench"
FIGURES: Final = FOLDER / "figures.json"
PAGES: Final = (ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "scaling.md")
_MARKED: Final = re.compile(
    r"(?P<start><!-- bench (?P<name>[a-z]+): start -->\n).*?(?P<end><!-- bench (?P=name): end -->)",
    re.DOTALL,
)
# Single values: kept in build/bench.json only.
_DROPPED: Final = ("ms", "by actor")


def main(argv: Sequence[str] | None = None) -> int:
    """Take in new figures, if a file is named, and write the pages anew."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.report", description=__doc__)
    parser.add_argument("json", type=Path, nargs="?", help="figures of python -m tests.bench")
    options = parser.parse_args(argv)
    if options.json:
        told = json.loads(options.json.read_text(encoding="utf-8"))
        figures = _without(each_dated(told), _DROPPED)
        FOLDER.mkdir(parents=True, exist_ok=True)
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        draw(figures, FOLDER)
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8"), figures), encoding="utf-8")
        sys.stdout.write(f"written: {page}\n")
    return 0


def filled(text: str, figures: dict[str, Any]) -> str:
    """Return a page with all its generated sections."""

    def replaced(match: re.Match[str]) -> str:
        return f"{match['start']}{section(match['name'], figures)}{match['end']}"

    return _MARKED.sub(replaced, text)


def _without(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    if isinstance(value, list):
        return [_without(item, names) for item in value]
    return value


if __name__ == "__main__":
    sys.exit(main())
