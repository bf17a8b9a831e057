#!/usr/bin/env python3
"""runc for a machine whose root lacks capabilities, as that of some virtual machines does.

Docker gives `--privileged` containers all that there are, and runc fails to set one that it lacks
itself. So those are taken out of the container's configuration first. For `dockerd --add-runtime`.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BITS = {"CAP_SYS_RESOURCE": 24, "CAP_SYS_BOOT": 22, "CAP_SYS_TIME": 25, "CAP_SYSLOG": 34}
# Options that name a configuration, and the file in the folder that they name.
_OPTIONS = {"--bundle": "config.json", "-b": "config.json", "--process": "", "-p": ""}


def lacking(status: str) -> set[str]:
    """The capabilities that a process can't have, by its /proc/<pid>/status."""
    line = next(line for line in status.splitlines() if line.startswith("CapBnd:"))
    bounds = int(line.split()[1], 16)
    return {name for name, bit in _BITS.items() if not bounds >> bit & 1}


def configurations(words: list[str]) -> Iterator[Path]:
    """The files that runc would read."""
    for number, word in enumerate(words):
        name, _, value = word.partition("=")
        if name in _OPTIONS:
            value = value or (words[number + 1] if number + 1 < len(words) else "")
            yield Path(value, _OPTIONS[name])


def strip(document: dict[str, Any], names: set[str]) -> None:
    """Take capabilities out of a bundle's configuration, or of a process's."""
    sets = document.get("process", document).get("capabilities") or {}
    for kind, given in sets.items():
        sets[kind] = [name for name in given if name not in names]


def main() -> None:
    """Do so, and become runc."""
    names = lacking(Path("/proc/self/status").read_text())
    for path in configurations(sys.argv[1:]):
        if names and path.is_file():
            document = json.loads(path.read_text())
            strip(document, names)
            path.write_text(json.dumps(document))
    os.execvp("runc", ["runc", *sys.argv[1:]])


if __name__ == "__main__":
    main()
