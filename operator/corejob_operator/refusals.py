"""Tells from a refused Job whether its definition is at fault, or somebody else says no.

A definition never gets better by itself; a quota, a policy, a webhook or an API server that is
away may. The bodies that the real API server gives are in tests/unit/operator/refusals.json.
"""

import re
from typing import Final

from corejob_kube.errors import GoneError, KubeError, NotFoundError, QuotaContendedError

_WEBHOOK: Final = "admission webhook "
"""A webhook chooses its code, reason and causes freely, but not the beginning of its message."""
_UNDECODABLE: Final = re.compile(r'\A\w+ in version "[^"]*" cannot be handled as a \w+: ')
_INVALID: Final = re.compile(r'\A[\w.]+ "[^"]*" is invalid: ')
_NO_ANSWER: Final = frozenset({401, 429, 502, 503, 504})
_QUANTITY: Final = re.compile(
    r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?"
)
_MOST_WORDS: Final = 1000


def blames_definition(error: KubeError) -> bool:
    """True if the API server could not decode the Job, or its schema does not allow it.

    False for everybody else that may refuse: ValidatingAdmissionPolicies (a 422 as well, but their
    causes name no field), webhooks, quotas, missing rights, a namespace that is being deleted, an
    API server that is away.
    """
    if error.message.startswith(_WEBHOOK):
        return False
    if error.status == 400:
        return _UNDECODABLE.match(error.message) is not None
    causes = error.details.get("causes")
    if error.status != 422 or not isinstance(causes, list):
        return False
    return any(isinstance(cause, dict) and cause.get("field") for cause in causes)


def is_answer(error: KubeError) -> bool:
    """True if somebody has looked at the Job and said no; False if the answer is about else.

    That is an API server that is away or overloaded, a namespace that is gone, a contended quota. A
    webhook may answer with any code; one that is away is a 500 that names it.
    """
    if error.message.startswith(_WEBHOOK):
        return True
    elsewhere = isinstance(error, NotFoundError | QuotaContendedError | GoneError)
    return not elsewhere and error.status not in _NO_ANSWER


def words(error: KubeError) -> str:
    """The API server's words for people, bounded: field and complaint, without the Job's name."""
    text = _INVALID.sub("", _UNDECODABLE.sub("", error.message)).removeprefix("json: ")
    return text if len(text) <= _MOST_WORDS else text[: _MOST_WORDS - 1] + "…"


def is_quantity(text: str) -> bool:
    """True if Kubernetes takes a text as an amount, such as `500m` or `2Gi`."""
    return _QUANTITY.fullmatch(text) is not None
