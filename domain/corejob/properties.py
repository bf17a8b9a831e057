"""The properties of a job: the one source of their names, defaults and rules.

The REST API validates by this table (docs/rest.md), and the CRDs' schema is generated from it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Rule(StrEnum):
    """The values that a property accepts."""

    POSITIVE = "int > 0"
    POSITIVE_OR_NULL = "int > 0 or null"
    COUNT = "int >= 0"
    INTEGER = "int"
    BOOLEAN = "bool"
    NODE_OR_NULL = "a node's name or null"


@dataclass(frozen=True, slots=True)
class Property:
    """One settable property.

    Attributes:
        rest: Its name in `args` of an enqueue and in the job document.
        field: Its name in `spec` of CoreJob and, for those in `TABLE`, in `spec.properties` of
            CoreJobTemplate.
        rule: The values that it accepts.
        default: The value where neither the enqueue nor the template sets one.
        doc: One sentence for the schema and the docs.
    """

    rest: str
    field: str
    rule: Rule
    default: int | bool | str | None
    doc: str


TABLE: Final = (
    Property(
        "attempts",
        "attempts",
        Rule.POSITIVE,
        1,
        "Number of failing trials until state error; 1: no retry.",
    ),
    Property(
        "error_time",
        "errorTimeSeconds",
        Rule.POSITIVE,
        600,
        "Seconds until the next trial after a failure.",
    ),
    Property(
        "defer_time",
        "deferTimeSeconds",
        Rule.POSITIVE,
        300,
        "Seconds until the next trial after a deferral.",
    ),
    Property(
        "defer_max",
        "deferMaxSeconds",
        Rule.POSITIVE,
        3600,
        "Seconds after the first start until a deferring job turns inactive.",
    ),
    Property(
        "wall_time",
        "wallTimeSeconds",
        Rule.POSITIVE_OR_NULL,
        None,
        "Seconds of a trial after which the running job is flagged nonstop; it is not stopped.",
    ),
    Property(
        "zombie_time",
        "zombieTimeSeconds",
        Rule.POSITIVE,
        1800,
        "Seconds without progress after which a running job is flagged zombie; it is not stopped.",
    ),
    Property("priority", "priority", Rule.INTEGER, 0, "Jobs of higher priority start first."),
    Property(
        "force",
        "force",
        Rule.BOOLEAN,
        False,
        "Start before all other jobs and regardless of the limits.",
    ),
    Property(
        "max_parallel",
        "maxParallel",
        Rule.POSITIVE_OR_NULL,
        None,
        "Maximum number of running jobs of this qualName in the namespace; "
        "null: the operator's setting (15).",
    ),
    Property(
        "progress_interval",
        "progressIntervalSeconds",
        Rule.POSITIVE,
        5,
        "Minimum seconds between two progress updates.",
    ),
    Property(
        "worker",
        "worker",
        Rule.NODE_OR_NULL,
        None,
        "Name of the node that must run the job: its label kubernetes.io/hostname.",
    ),
)

TRIAL: Final = Property(
    "trial",
    "carriedTrials",
    Rule.COUNT,
    0,
    "Number of started trials; for a new job, the number to start counting from.",
)
"""Not in the table: it belongs to one job, so no template sets it; restarts count on from it."""

BY_REST: Final = {prop.rest: prop for prop in (*TABLE, TRIAL)}
DEFAULTS: Final[dict[str, Any]] = {prop.field: prop.default for prop in TABLE}
MOST_TRIALS: Final = 10**9
"""Maximum of `trial`; later trials must fit too, into a column of the store and a Job's name."""
_MAX_INT: Final = 2**31 - 1
_RANGES: Final = {
    Rule.POSITIVE: (1, _MAX_INT),
    Rule.POSITIVE_OR_NULL: (1, _MAX_INT),
    Rule.COUNT: (0, MOST_TRIALS),
    Rule.INTEGER: (-_MAX_INT, _MAX_INT),
}
MAX_WORKER_LENGTH: Final = 63
WORKER_PATTERN: Final = "^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"
"""The form of a label's value, since Kubernetes finds the node by a label."""
_REMEDIES: Final = {
    Rule.NODE_OR_NULL: ": the label kubernetes.io/hostname of a node has at most "
    f"{MAX_WORKER_LENGTH} letters, digits, - _ and ., and begins and ends with a letter or digit; "
    "`kubectl get nodes` lists the names"
}
_MOST_SHOWN: Final = 200


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "an integer"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def problem(prop: Property, value: object) -> str | None:
    """Return why `value` is not valid for `prop`, as a sentence for people; None if it is."""
    if value is None and prop.rule in {Rule.POSITIVE_OR_NULL, Rule.NODE_OR_NULL}:
        return None
    if prop.rule is Rule.BOOLEAN:
        fits = isinstance(value, bool)
    elif prop.rule is Rule.NODE_OR_NULL:
        fits = isinstance(value, str) and _is_node(value)
    else:
        least, most = _RANGES[prop.rule]
        fits = type(value) is int and least <= value <= most
    if fits:
        return None
    remedy = _REMEDIES.get(prop.rule, "")
    return f"property [{prop.rest}] expected [{prop.rule}], got [{_shown(value)}]{remedy}"


def _is_node(name: str) -> bool:
    # fullmatch, since `$` of Python also stands before a line end.
    return len(name) <= MAX_WORKER_LENGTH and re.fullmatch(WORKER_PATTERN, name) is not None


def split_args(args: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the `args` of an enqueue into properties and keyword arguments (docs/rest.md).

    Args:
        args: The `args` that the client sent.

    Returns:
        The properties by their field name in `spec`, and the job's keyword arguments. A property
        with the value null counts as not given.

    Raises:
        ValueError: A property has a bad value; the message names it.
    """
    fields: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in args.items():
        prop = BY_REST.get(name)
        if prop is None:
            rest[name] = value
        elif value is not None:
            reason = problem(prop, value)
            if reason is not None:
                raise ValueError(reason)
            fields[prop.field] = value
    return fields, rest


def effective(spec: Mapping[str, Any], template_properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return all properties by field name, from the job, else its template, else the default."""
    values = dict(DEFAULTS)
    for source in (template_properties, spec):
        for field in values:
            value = source.get(field)
            if value is not None:
                values[field] = value
    return values
