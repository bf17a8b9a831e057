"""Sizes of the objects that etcd stores, read from the local cluster's etcd."""

import base64
import json
import urllib.request
from collections import defaultdict
from typing import Any, Final

from tests.cluster.layout import ETCD_PORT

_URL: Final = f"http://127.0.0.1:{ETCD_PORT}/v3/kv/range"
_PREFIXES: Final = {
    "corejobs": "/registry/core4.io/corejobs",
    "events": "/registry/events",
    "jobs": "/registry/jobs",
    "pods": "/registry/pods",
}
"""Where the API server stores each kind."""


def sizes(namespace: str, names: set[str]) -> dict[str, int]:
    """Return the bytes of all objects that belong to jobs, by kind.

    Args:
        namespace: Their namespace.
        names: Names of the CoreJobs; of an object that belongs to one, its name contains it.
    """
    total: dict[str, int] = defaultdict(int)
    for kind, prefix in _PREFIXES.items():
        for row in _range(f"{prefix}/{namespace}/"):
            key = base64.b64decode(row["key"]).decode()
            if any(name in key for name in names):
                total[kind] += len(key) + len(base64.b64decode(row["value"]))
    return dict(total)


def _range(prefix: str) -> list[dict[str, Any]]:
    # etcd's end of a range: the prefix with its last character incremented.
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    body = json.dumps({"key": _encoded(prefix), "range_end": _encoded(end)}).encode()
    with urllib.request.urlopen(_URL, data=body, timeout=30) as response:
        rows: list[dict[str, Any]] = json.load(response).get("kvs", [])
    return rows


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
