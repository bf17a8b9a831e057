"""The pages with figures: what is generated is fresh, and each section is known."""

import json
import re

import pytest
from tests.bench import markdown
from tests.bench.parts import PARTS
from tests.bench.plots import draw
from tests.bench.report import FIGURES, FOLDER, PAGES, filled

SECTION = re.compile(r"<!-- bench ([a-z]+): start -->")
FIGURE = json.loads(FIGURES.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_are_those_of_the_figures(page):
    text = page.read_text(encoding="utf-8")
    assert text == filled(text, FIGURE), "run: python -m tests.bench.report"


def test_each_part_has_its_section_and_each_section_is_known():
    found = [name for page in PAGES for name in SECTION.findall(page.read_text(encoding="utf-8"))]
    assert len(found) == len(set(found))
    assert set(PARTS) <= set(found)
    assert all(markdown.section(name, FIGURE) for name in found)


def test_each_plot_of_a_measured_part_is_drawn_and_shown(tmp_path):
    drawn = {path.name for path in draw(FIGURE, tmp_path)}
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert drawn == set(re.findall(r"\]\(bench/([a-z]+\.svg)\)", text))
    assert drawn == {path.name for path in FOLDER.glob("*.svg")}
