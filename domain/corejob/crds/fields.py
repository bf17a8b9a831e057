"""Parts that the schemas of both CustomResourceDefinitions are made of.

Validation is OpenAPI plus CEL, so that the API server refuses a bad resource and names the field
(Kubernetes: "CustomResourceDefinitions, validation rules").
"""

from collections.abc import Mapping
from typing import Any, Final

from corejob.names import GROUP, VERSION
from corejob.properties import MAX_WORKER_LENGTH, TABLE, WORKER_PATTERN, Property, Rule

Schema = dict[str, Any]

_SEGMENT: Final = "[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?"
QUAL_NAME_PATTERN: Final = f"^{_SEGMENT}(\\.{_SEGMENT})+$"
ID_PATTERN: Final = "^[0-9a-f]{24}$"
UNTRACKED: Final[Mapping[str, Any]] = {"x-kubernetes-map-type": "atomic"}
"""Part of the schema of an object that is written as a whole, or by the service only.

The API server notes the writer of the whole, not of each field (Kubernetes: "Server-Side Apply").
Otherwise `managedFields` is half of the object, and the most costly part of each write.
"""


def text(doc: str, **more: Any) -> Schema:
    """Return the schema of a text field."""
    return {"type": "string", "description": doc, **more}


def whole(doc: str, **more: Any) -> Schema:
    """Return the schema of an integer field."""
    return {"type": "integer", "format": "int64", "description": doc, **more}


def time(doc: str) -> Schema:
    """Return the schema of a time field, RFC 3339 in UTC."""
    return text(doc, format="date-time")


def flag(doc: str) -> Schema:
    """Return the schema of a boolean field."""
    return {"type": "boolean", "description": doc}


def anything(doc: str) -> Schema:
    """Return the schema of an object with any fields."""
    return {"type": "object", "description": doc, "x-kubernetes-preserve-unknown-fields": True}


def rule(expression: str, message: str, **more: Any) -> Schema:
    """Return a CEL validation rule.

    A rule of a field costs the API server much less than one of the object around it: CEL makes a
    map of all properties of an object each time that an expression reads one of them.
    """
    return {"rule": expression, "message": message, **more}


def _property(prop: Property) -> Schema:
    default = "" if prop.default is None else f" Default: {str(prop.default).lower()}."
    doc = prop.doc + default
    if prop.rule is Rule.BOOLEAN:
        return flag(doc)
    if prop.rule is Rule.NODE_OR_NULL:
        return text(doc, nullable=True, pattern=WORKER_PATTERN, maxLength=MAX_WORKER_LENGTH)
    if prop.rule is Rule.INTEGER:
        return whole(doc, minimum=-(2**31) + 1, maximum=2**31 - 1)
    nullable = {"nullable": True} if prop.rule is Rule.POSITIVE_OR_NULL else {}
    return whole(doc, minimum=1, maximum=2**31 - 1, **nullable)


def property_fields() -> dict[str, Schema]:
    """Return the fields of all properties that a template can set, by name."""
    return {prop.field: _property(prop) for prop in TABLE}


def conditions(doc: str, *, kind: str, reason: str, message: str) -> Schema:
    """Return the schema of `status.conditions`.

    Args:
        doc: Description of the list.
        kind: Description of the field `type`.
        reason: Description of the field `reason`.
        message: Description of the field `message`.
    """
    return {
        "type": "array",
        "description": doc,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": text(kind),
                "status": text("True, False or Unknown.", enum=["True", "False", "Unknown"]),
                "observedGeneration": whole(
                    "Generation of the spec that the condition was computed from."
                ),
                "lastTransitionTime": time("Time of the last change of status."),
                "reason": text(reason),
                "message": text(message),
            },
        },
    }


def column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> Schema:
    """Return a column of `kubectl get`; a wide one is shown by `-o wide` only."""
    column: Schema = {"name": name, "type": kind, "jsonPath": path}
    return column | ({"priority": 1} if wide else {})


def definition(
    kind: str, plural: str, short: list[str], schema: Schema, columns: list[Schema]
) -> Schema:
    """Return a CustomResourceDefinition.

    Args:
        kind: Kind of the resource.
        plural: Its plural, for the URL.
        short: Its short names for kubectl.
        schema: Schema of the whole resource.
        columns: Columns of `kubectl get`.
    """
    version: Schema = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "labels": {"app.kubernetes.io/part-of": "core4"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": short,
                "categories": ["core4"],
            },
            "versions": [version],
        },
    }
