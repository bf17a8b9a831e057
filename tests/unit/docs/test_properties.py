"""The tables of properties in the docs have the names and defaults of `corejob.properties`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from corejob.properties import TABLE, TRIAL, Property

DOCS = Path(__file__).resolve().parents[3] / "docs"


def defaults(page: str, heading: str) -> Iterator[tuple[str, str]]:
    """Return name and default of each field in the section's table; one row may have several."""
    text = (DOCS / page).read_text("utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    for line in re.findall(r"^\| (`.+) \|$", text, re.MULTILINE):
        names, _, values, *_ = line.split(" | ")
        yield from zip(re.findall(r"`(\w+)`", names), values.split(", "), strict=False)


@pytest.mark.parametrize("prop", [*TABLE, TRIAL], ids=lambda prop: prop.rest)
def test_rest_names_the_default(prop: Property) -> None:
    assert dict(defaults("rest.md", "The job document"))[prop.rest] == json.dumps(prop.default)


@pytest.mark.parametrize("prop", TABLE, ids=lambda prop: prop.rest)
def test_writing_jobs_names_the_default(prop: Property) -> None:
    assert dict(defaults("writing-jobs.md", "Properties"))[prop.rest] == str(prop.default)
