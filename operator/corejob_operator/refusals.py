"""Distinguishes bad definitions from other refusals of a Job.

A bad definition is permanent; a quota, a policy, a webhook or an unavailable API server may be
temporary. Answers of a real API server are in tests/unit/operator/refusals.json.
"""

import re
from typing import Final

from corejob_kube.errors import GoneError, KubeError, NotFoundError, QuotaContendedError

_UNDECODABLE: Final = re.compile(r'\A\w+ in version "[^"]*" cannot be handled as a \w+: ')
_INVALID: Final = re.compile(r'\A[\w.]+ "[^"]*" is invalid: ')
_NO_ANSWER: Final = frozenset({401, 429, 502, 503, 504})
_QUANTITY: Final = re.compile(
    r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?"
)
_MOST_CHARS: Final = 1000


def blames_definition(error: KubeError) -> bool:
    """True if the API server could not decode the Job, or its validation refused a field.

    False for all other refusals: ValidatingAdmissionPolicies (a 422 as well, but their causes name
    no field), webhooks, quotas, missing rights, a namespace that is being deleted, an unavailable
    API server.
    """
    if error.by_webhook:
        return False
    if error.status == 400:
        return _UNDECODABLE.match(error.message) is not None
    causes = error.details.get("causes")
    if error.status != 422 or not isinstance(causes, list):
        return False
    return any(isinstance(cause, dict) and cause.get("field") for cause in causes)


def is_answer(error: KubeError) -> bool:
    """True if the error refuses the object itself; False if it would refuse any object now.

    False for an unavailable or overloaded API server, a namespace that is gone, a contended quota.
    A webhook may refuse with any code; an unavailable webhook is a 500 that names it.
    """
    if error.by_webhook:
        return True
    elsewhere = isinstance(error, NotFoundError | QuotaContendedError | GoneError)
    return not elsewhere and error.status not in _NO_ANSWER


def complaint(error: KubeError) -> str:
    """Return the API server's message: field and complaint, without the Job's name, cut."""
    text = _INVALID.sub("", _UNDECODABLE.sub("", error.message)).removeprefix("json: ")
    return text if len(text) <= _MOST_CHARS else text[: _MOST_CHARS - 1] + "…"


def is_quantity(text: str) -> bool:
    """True if a text is a valid Kubernetes quantity, such as `500m` or `2Gi`."""
    return _QUANTITY.fullmatch(text) is not None
