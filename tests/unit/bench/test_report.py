"""The pages with figures: what is generated is fresh, and each section is known."""

import json
import re

import pytest
from tests.bench import markdown
from tests.bench.parts import PARTS
from tests.bench.plots import draw, shown
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


def posts(*clients):
    kinds = ("POST /job", "raw create")
    rows = [
        {"name": f"{count} clients: {kind}", "clients": count, "jobs/s": 10.0}
        for count in clients
        for kind in kinds
    ]
    return {"posts": {"title": "", "rows": rows}}


def test_a_plot_that_is_not_shown_any_more_is_deleted(tmp_path):
    assert [path.name for path in draw(posts(1, 16, 64), tmp_path)] == ["posts.svg"]
    assert draw({}, tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_two_sizes_are_not_drawn_as_a_line():
    assert shown(posts(1, 16)) == []
    assert [plot.name for plot in shown(posts(1, 16, 64))] == ["posts"]


def test_each_part_tells_its_own_date_commit_and_load():
    one = {"taken": "2026-11-29T10:00:00Z", "commit": "abc", "load_before": 0.3, "of": [1]}
    two = one | {"taken": "2026-11-30T10:00:00Z", "commit": "def", "of": [16, 64]}
    part = posts(1, 16, 64)["posts"]
    alone = markdown.section("posts", {"posts": part | {"sittings": [one]}})
    assert alone.endswith("\n\nTaken 2026-11-29 (abc); load of the machine before: 0.3.\n")
    both = markdown.section("posts", {"posts": part | {"sittings": [one, two]}})
    assert "\n1: taken 2026-11-29 (abc); load of the machine before: 0.3.  \n" in both
    assert both.endswith("\n16, 64: taken 2026-11-30 (def); load of the machine before: 0.3.\n")
    virtual = markdown.section("posts", {"posts": part | {"sittings": [one | {"stolen": 0.028}]}})
    assert virtual.endswith("; load of the machine before: 0.3; taken away by its host: 3%.\n")
