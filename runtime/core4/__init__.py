"""The code that runs in a job's pod: the job base class, its runner and a command line.

The package needs only the standard library and imports little of it, since each import delays the
start of a job. Modules on that path do not import `typing` or `dataclasses`; names that only
annotations need are imported under `if TYPE_CHECKING`.
"""

__version__ = "2.0.0"
