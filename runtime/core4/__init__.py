"""What runs inside a job's pod: the job base class, its runner and a command line.

The package needs the standard library only, and imports little of that: a pod pays for every
module before its job starts. Modules on that path do not import `typing` or `dataclasses`; what
only annotations need stands under `if TYPE_CHECKING`.
"""
