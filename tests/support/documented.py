"""Run schemathesis against a service: valid and invalid requests by its OpenAPI document.

Most generated ids and names are replaced by existing ones. The seed determines all requests:
CORE4_FUZZ_SEED sets it, CORE4_FUZZ_EXAMPLES the number of requests to each operation and mode.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Final

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, strategies
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks
from tests.support.rest import BASE

SEED: Final = int(os.environ.get("CORE4_FUZZ_SEED", "20261128"))
EXAMPLES: Final = int(os.environ.get("CORE4_FUZZ_EXAMPLES", "15"))
_SECONDS: Final = 60
_ENDLESS: Final = BASE + "/event"
_CHECKS: Final = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.allow_header_conformance,
]
_ACCEPTED: Final = ("text/html", "text/plain", "text/csv", "*/*")


@dataclass(frozen=True)
class Corpus:
    """Existing objects of a service, for use in requests.

    Attributes:
        url: Root URL of the service.
        ids: Ids of current and past jobs.
        names: qual_names of the catalogue.
        tokens: Tokens by user: first of `admin`, who has all permissions, then of others.
        fresh: Creates a job and returns its id.
        numbers: Unique numbers, for args that no other job has.
    """

    url: str
    ids: tuple[str, ...]
    names: tuple[str, ...]
    tokens: Mapping[str, str]
    fresh: Callable[[], str]
    numbers: Iterator[int] = field(default_factory=partial(count, 1000))

    def document(self) -> dict[str, Any]:
        """Return the service's OpenAPI document."""
        with _session() as session:
            answer = session.get(f"{self.url}{BASE}/openapi.json", timeout=_SECONDS)
        found: dict[str, Any] = answer.json()
        return found

    def senders(self) -> strategies.SearchStrategy[dict[str, str]]:
        """Return a strategy for a request's `Authorization` and `Accept`, mostly of `admin`."""
        admin, *others = ({"Authorization": f"Bearer {one}"} for one in self.tokens.values())
        wrong: list[dict[str, str]] = [
            {},
            {"Authorization": admin["Authorization"][:-2]},
            {"Authorization": "Basic YWRtaW46"},
            {"Authorization": "Digest x"},
        ]
        accepting = [admin | {"Accept": form} for form in _ACCEPTED]
        return strategies.sampled_from([*[admin] * 12, *others * 2, *accepting, *wrong])


def answers(
    corpus: Corpus, method: str, path: str, mode: GenerationMode, *, examples: int = EXAMPLES
) -> dict[int, int]:
    """Send requests to an operation, and check each response against the document.

    Args:
        corpus: The existing objects.
        method: HTTP method of the operation.
        path: Path of the operation.
        mode: Valid (positive) or invalid (negative) requests.
        examples: Number of requests.

    Returns:
        The number of responses by status code.
    """
    operation = schemathesis.openapi.from_dict(corpus.document())[path][method]
    statuses: dict[int, int] = {}

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        derandomize=False,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(
        case=operation.as_strategy(mode), headers=corpus.senders(), data=strategies.data()
    )
    def send(case: Case[Any], headers: dict[str, str], data: strategies.DataObject) -> None:
        _put_real_values(case, corpus, data)
        answer = _sent(case, corpus, headers)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        case.validate_response(answer, checks=_CHECKS)

    try:
        send()
    except BaseException as error:
        error.add_note(f"again: CORE4_FUZZ_SEED={SEED} CORE4_FUZZ_EXAMPLES={examples}")
        raise
    return statuses


def _put_real_values(case: Case[Any], corpus: Corpus, data: strategies.DataObject) -> None:
    is_real = strategies.sampled_from([True, True, True, False])
    if "job_id" in case.path_parameters and data.draw(is_real):
        is_fresh = case.method == "PUT" and data.draw(strategies.booleans())
        known = strategies.sampled_from(corpus.ids)
        case.path_parameters["job_id"] = corpus.fresh() if is_fresh else data.draw(known)
    if isinstance(case.body, dict) and "qual_name" in case.body and data.draw(is_real):
        case.body["qual_name"] = data.draw(strategies.sampled_from(corpus.names))
        if isinstance(args := case.body.get("args", {}), dict):
            # Without unique args nearly all would be duplicates of jobs in the queue.
            case.body["args"] = {**args, "n": next(corpus.numbers)}


def _sent(case: Case[Any], corpus: Corpus, headers: Mapping[str, str]) -> requests.Response:
    """Send the request and return the response; of an endless stream only the first frame."""
    request = case.as_transport_kwargs(base_url=corpus.url, headers=dict(headers))
    with _session() as session, session.request(**request, stream=True, timeout=_SECONDS) as answer:
        if case.operation.path == _ENDLESS and answer.status_code == 200:
            lines = answer.iter_lines()
            answer._content = b"\n".join([next(lines) for _ in range(3)] + [b""])
        else:
            _ = answer.content  # read the response before the connection closes
        return answer


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session
