"""schemathesis against a release on the cluster: no fault, and every response fits the document.

The same as `tests/unit/api/test_openapi_fuzzed.py`, with fewer requests, since some create real
jobs.
"""

from collections.abc import Iterator
from itertools import count

import pytest
from schemathesis.generation import GenerationMode
from tests.support import documented
from tests.support.documented import Corpus
from tests.support.jobs import FAILING, SEGMENT
from tests.support.release import Release
from tests.support.rest import BASE

pytestmark = pytest.mark.cluster

EXAMPLES = 16


@pytest.fixture(scope="module")
def corpus(release: Release) -> Iterator[Corpus]:
    numbers = count(7_000)

    def fresh() -> str:
        """Return a job that waits for its second trial: it takes each of the commands."""
        job_id = rest.enqueue(FAILING, attempts=2, error_time=600, message=f"{next(numbers)}")
        rest.wait_state(job_id, "failed")
        return job_id

    with release.rest() as rest:
        token = rest.data("GET", "login")["token"]
        past, current = (rest.enqueue(SEGMENT, segment=next(numbers)) for _ in range(2))
        failed = rest.enqueue(FAILING, attempts=1)
        rest.wait_journaled(past)
        rest.wait_state(failed, "error")
        ids = (past, current, failed)
        # With generated args a job may wait without end for a node that does not exist.
        names = ("no.such.Job",)
        yield Corpus(release.root, ids, names, {"admin": token}, fresh)


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
def test_a_release_answers_as_its_document_says(corpus: Corpus, mode: GenerationMode) -> None:
    statuses: dict[str, dict[int, int]] = {}
    for path, operations in corpus.document()["paths"].items():
        for method, operation in operations.items():
            if mode is GenerationMode.POSITIVE or operation["parameters"]:
                found = documented.answers(corpus, method.upper(), path, mode, examples=EXAMPLES)
                statuses[f"{method.upper()} {path}"] = found
    if mode is GenerationMode.POSITIVE:
        enqueues = {f"POST {BASE}/job", f"POST {BASE}/job/enqueue"}
        assert {name for name, found in statuses.items() if 200 not in found} == enqueues
