#!/usr/bin/env python3
"""runc for a machine whose root lacks capabilities, as in some virtual machines.

Docker gives `--privileged` containers all capabilities, but runc fails to set one that it lacks
itself. This wrapper first removes those from the container's configuration. It is for
`dockerd --add-runtime`.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BITS = {"CAP_SYS_RESOURCE": 24, "CAP_SYS_BOOT": 22, "CAP_SYS_TIME": 25, "CAP_SYSLOG": 34}
# Options that name a configuration: a folder with the given file, or the file itself.
_OPTIONS = {"--bundle": "config.json", "-b": "config.json", "--process": "", "-p": ""}


def lacking(status: str) -> set[str]:
    """Return those of `_BITS` outside a process's bounding set, by its /proc/<pid>/status."""
    line = next(line for line in status.splitlines() if line.startswith("CapBnd:"))
    bounds = int(line.split()[1], 16)
    return {name for name, bit in _BITS.items() if not bounds >> bit & 1}


def configurations(words: list[str]) -> Iterator[Path]:
    """Yield the configuration files that runc would read."""
    for number, word in enumerate(words):
        name, _, value = word.partition("=")
        if name in _OPTIONS:
            value = value or (words[number + 1] if number + 1 < len(words) else "")
            yield Path(value, _OPTIONS[name])


def strip(document: dict[str, Any], names: set[str]) -> None:
    """Remove capabilities from the configuration of a bundle or of a process."""
    sets = document.get("process", document).get("capabilities") or {}
    for kind, given in sets.items():
        sets[kind] = [name for name in given if name not in names]


def main() -> None:
    """Strip the configurations, then execute runc."""
    names = lacking(Path("/proc/self/status").read_text())
    for path in configurations(sys.argv[1:]):
        if names and path.is_file():
            document = json.loads(path.read_text())
            strip(document, names)
            path.write_text(json.dumps(document))
    os.execvp("runc", ["runc", *sys.argv[1:]])


if __name__ == "__main__":
    main()
