"""The small key-value store that all jobs of one qual_name share."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from core4.queue.context import Reports

# A line of the protocol may have 1 MiB; values of a small store stay well below.
MAX_VALUE_BYTES = 65_536


class Cookie:
    """A job's view of its cookie: the values at the trial's start and the job's own changes.

    Values are JSON; any other value raises TypeError or ValueError. Each change is reported at
    once, so it survives the trial's failure.
    """

    def __init__(self, values: dict[str, Any], reports: Reports) -> None:
        self._values = dict(values)
        self._reports = reports

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of the key, or the default if there is none."""
        return self._values.get(key, default)

    def set(self, key: str | None = None, value: Any = None, /, **values: Any) -> None:
        """Set one key (`set("page", 3)`) or several (`set(page=3, last="x")`); None deletes."""
        if key is not None:
            values = {key: value, **values}
        for name, item in values.items():
            self._put(name, item)

    def inc(self, key: str, step: float = 1) -> Any:
        """Add to a number, which starts at 0, and return the sum."""
        self._put(key, self._values.get(key, 0) + step)
        return self._values[key]

    def delete(self, key: str) -> None:
        """Remove the key; no error if there is none."""
        if key in self._values:
            self._put(key, None)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._put(key, value)

    def __delitem__(self, key: str) -> None:
        if key not in self._values:
            raise KeyError(key)
        self._put(key, None)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Cookie({self._values!r})"

    def _put(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"expected a text as cookie key, got {key!r}")
        # Keep a copy as a later trial will read it, not an object that the job may still change.
        text = json.dumps(value, allow_nan=False)
        if len(key) + len(text) > MAX_VALUE_BYTES:
            raise ValueError(f"the cookie's [{key[:100]}] is longer than {MAX_VALUE_BYTES} bytes")
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = json.loads(text)
        self._reports.cookie(key, self._values.get(key))
