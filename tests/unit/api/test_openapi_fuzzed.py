"""schemathesis against the running process: no fault, and every response fits the document."""

from collections.abc import Iterator
from unittest.mock import MagicMock

import pytest
from schemathesis.generation import GenerationMode
from tests.support import documented
from tests.support.documented import Corpus
from tests.unit.api.fuzzed_service import served

from corejob_api.http.routing import BASE, Route
from corejob_api.routes import table

ROUTES = table(MagicMock(), MagicMock())


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    with served(tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.mark.parametrize("route", ROUTES, ids=name)
def test_a_request_that_the_document_describes_has_a_documented_answer(
    corpus: Corpus, route: Route
) -> None:
    mode = GenerationMode.POSITIVE
    statuses = documented.answers(corpus, route.method, BASE + route.path, mode)
    assert 200 in statuses, f"seed {documented.SEED}: nothing got as far as an answer: {statuses}"


@pytest.mark.parametrize(
    "route", [one for one in ROUTES if one.arguments or "{" in one.path], ids=name
)
def test_a_request_that_the_document_forbids_has_a_documented_answer(
    corpus: Corpus, route: Route
) -> None:
    mode = GenerationMode.NEGATIVE
    documented.answers(corpus, route.method, BASE + route.path, mode)
