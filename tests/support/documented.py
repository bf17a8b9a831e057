"""schemathesis against a running service: requests that its OpenAPI document describes, or nearly.

Ids and names that there are take the places of most of those that are made up. Everything follows
from a seed: CORE4_FUZZ_SEED is another one, CORE4_FUZZ_EXAMPLES how many requests of a sort.
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
    """What there is at a service.

    Attributes:
        url: Its root.
        ids: Ids of jobs, current and past.
        names: qual_names.
        tokens: Of `admin`, who may do all, and of others.
        fresh: Makes a job; its id.
        numbers: Each once, for args that no other job has.
    """

    url: str
    ids: tuple[str, ...]
    names: tuple[str, ...]
    tokens: Mapping[str, str]
    fresh: Callable[[], str]
    numbers: Iterator[int] = field(default_factory=partial(count, 1000))

    def document(self) -> dict[str, Any]:
        """Its OpenAPI document."""
        with _session() as session:
            answer = session.get(f"{self.url}{BASE}/openapi.json", timeout=_SECONDS)
        found: dict[str, Any] = answer.json()
        return found

    def senders(self) -> strategies.SearchStrategy[dict[str, str]]:
        """Headers of who sends a request; mostly of who may do all."""
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
    """Send requests to an operation, and hold each answer against the document.

    Args:
        corpus: What is at the service.
        method: Of the operation.
        path: Of the operation.
        mode: As the document says, or not.
        examples: How many requests.

    Returns:
        How many answers had which status.
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
            # Else nearly all would be in the queue already.
            case.body["args"] = {**args, "n": next(corpus.numbers)}


def _sent(case: Case[Any], corpus: Corpus, headers: Mapping[str, str]) -> requests.Response:
    """The answer; of a stream without an end its first frame."""
    request = case.as_transport_kwargs(base_url=corpus.url, headers=dict(headers))
    with _session() as session, session.request(**request, stream=True, timeout=_SECONDS) as answer:
        if case.operation.path == _ENDLESS and answer.status_code == 200:
            lines = answer.iter_lines()
            answer._content = b"\n".join([next(lines) for _ in range(3)] + [b""])
        else:
            _ = answer.content  # it is read to its end
        return answer


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session
