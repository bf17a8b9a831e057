"""Record all changes of a kind of resource with `kubectl get --watch`."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.commands import environment
from tests.support.kubectl import Kubectl

# No tab, since kubectl formats tabs as columns.
_SEPARATOR = "|"


class Watch:
    """The changes of one kind so far."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self) -> list[list[str]]:
        """Return a row of the chosen fields' values for each change; a missing value is ""."""
        whole, _, _ = self._path.read_text(encoding="utf-8").rpartition("\n")
        return [line.split(_SEPARATOR) for line in whole.splitlines()]


@contextlib.contextmanager
def watched(kubectl: Kubectl, kind: str, *fields: str) -> Iterator[Watch]:
    """Watch a kind while the context lasts.

    Args:
        kubectl: kubectl in the namespace.
        kind: the kind of resource.
        fields: JSON paths without braces, such as `.metadata.name`.
    """
    columns = f'{{"{_SEPARATOR}"}}'.join(f"{{{field}}}" for field in fields)
    output = f'jsonpath={columns}{{"\\n"}}'
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows"
        with path.open("w", encoding="utf-8") as file:
            argv = kubectl.argv("get", kind, "--watch", "-o", output)
            process = subprocess.Popen(
                argv,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.DEVNULL,
            )
        try:
            yield Watch(path)
            assert process.poll() is None, f"the watch of {kind} has ended"
        finally:
            process.terminate()
            process.wait()
