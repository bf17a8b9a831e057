"""Each kind of answer has an error class of its own, with the server's words and what to do."""

import json

import pytest

from core4.client import answers, errors, results
from core4.client.requests import Response
from core4.client.retry import Retries


def error(status, text, **headers):
    body = json.dumps({"_id": "f" * 24, "code": status, "error": text}).encode()
    return answers.error(Response(status, headers, body))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequestError),
        (401, errors.NotSignedInError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (405, errors.NotAllowedError),
        (408, errors.UnavailableError),
        (409, errors.ConflictError),
        (413, errors.TooLargeError),
        (418, errors.UnexpectedAnswerError),
        (429, errors.TooManyError),
        (500, errors.ServerError),
        (502, errors.UnavailableError),
        (503, errors.UnavailableError),
        (504, errors.UnavailableError),
        (599, errors.ServerError),
    ],
)
def test_each_status_has_an_error_class(status, kind):
    found = error(status, "a sentence")
    assert type(found) is kind
    assert (found.status, found.text, found.request_id) == (status, "a sentence", "f" * 24)
    assert str(found).startswith(f"a sentence ({status}, request {'f' * 24})")
    assert found.by_core4


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("Missing argument qual_name", "qual_name"),
        ("parameter [per_page] expected as_type [int]", "per_page"),
        ("property [attempts] expected [int > 0], got [0]", "attempts"),
        ("header [Idempotency-Key] expects 1 to 255 printable characters", "Idempotency-Key"),
        ("parameter [args]: [args.points[0].x] is NaN", "args.points[0].x"),
        ("args of job [a.B]: [args.n]: 'x' is not of type 'integer'", "args.n"),
        ("something else", None),
    ],
)
def test_fields(text, field):
    found = error(400, text)
    assert isinstance(found, errors.BadRequestError)
    assert found.field == field


def test_duplicates():
    found = error(400, 'job [a.B] exists with args {"n":1}')
    assert isinstance(found, errors.DuplicateError)
    assert answers.duplicate_of(found.text) == ("a.B", {"n": 1})
    assert answers.duplicate_of('job [a.B] exists with args {"n": … 1}') is None
    assert answers.duplicate_of("something else") is None
    assert "remove it" in str(found)
    found.existing_id = "a" * 24
    assert f"follow job {'a' * 24}" in str(found)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), (" 0 ", 0.0), ("", None), ("soon", None), ("-1", None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 21 Oct 2015 07:28:00 -0000", 0.0)],
)  # fmt: skip
def test_retry_after(text, seconds):
    assert error(503, "away", **{"retry-after": text}).retry_after == seconds


def test_answers_of_others():
    page = answers.error(Response(503, {"content-type": "text/html"}, b"<h1>Bad Gateway</h1>"))
    assert isinstance(page, errors.UnavailableError)
    assert not page.by_core4
    assert "text/html" in page.text
    assert "Bad Gateway" in page.text


def test_pauses_are_random_within_bounds_that_double():
    retries, away = Retries(), errors.UnreachableError("x", sent=False)
    assert [retries.pause(n, away, lambda: 1.0) for n in range(1, 8)] == [0.5, 1, 2, 4, 8, 8, 8]
    assert retries.pause(3, away, lambda: 0.0) == 0
    assert retries.pause(10_000, away, lambda: 1.0) == 8
    busy = error(503, "away", **{"retry-after": "30"})
    assert retries.pause(1, busy, lambda: 0.0) == 30
    assert retries.pause(1, busy, lambda: 1.0) == 30.5


def test_documents_of_other_versions():
    document = results.JobDocument.of(
        {"_id": "a", "qual_name": "x.Y", "state": "new", "waiting": {"position": 3},
         "started_at": "2026-11-24T12:00:03", "sources": ["a.csv"], "last_error": {"new": 1},
         "killed_at": "yesterday"}
    )  # fmt: skip
    assert document.raw["waiting"] == {"position": 3}
    assert document.started_at is not None
    assert document.started_at.isoformat() == "2026-11-24T12:00:03+00:00"
    assert document.killed_at is None
    assert document.sources == ("a.csv",)
    assert document.last_error == results.LastError()
    assert not document.is_final
    assert document.flag == results.Flag()
    assert "raw" not in repr(document)


def test_trials_of_a_detail():
    found = {
        "trial": 1, "state": "failed", "reason": "CodeError", "exit_code": 0,
        "started_at": "2026-11-24T12:00:03", "finished_at": None, "node": None, "pod": "p",
        "log_from": "000000000001", "log_to": "000000000312", "new": 1,
    }  # fmt: skip
    raw = {"_id": "a", "qual_name": "x.Y", "state": "new", "trials": [found]}
    [trial] = results.JobDocument.of(raw).trials
    assert (trial.trial, trial.state, trial.exit_code, trial.pod) == (1, "failed", 0, "p")
    assert (trial.log_from, trial.log_to) == (1, 312)
    assert trial.started_at is not None
    assert (trial.finished_at, trial.raw["new"]) == (None, 1)
    assert results.JobDocument.of({**raw, "trials": [{"trial": 1, "state": "x"}]}).trials[0] == (
        results.Trial({"trial": 1, "state": "x"}, trial=1, state="x")
    )
    with pytest.raises(AttributeError):
        trial.trial = 2  # type: ignore[misc]


def test_documents_are_frozen():
    document = results.JobDocument.of({"_id": "a", "qual_name": "x.Y", "state": "new"})
    with pytest.raises(AttributeError):
        document.state = "x"  # type: ignore[misc]
