"""Find the job classes of a package."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, field
from types import ModuleType

from core4.queue.job import CoreJob


@dataclass
class Found:
    """The result of a search.

    Attributes:
        jobs: The job classes, sorted by module and name.
        errors: Modules that could not be imported, each with the reason.
        notes: Job classes that are left out, each with the reason.
    """

    jobs: list[type[CoreJob]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find(names: list[str]) -> Found:
    """Import packages or modules with all their submodules, and return their jobs."""
    found = Found()
    seen: set[str] = set()
    for name in names:
        _visit(name, found, seen)
    return found


def _visit(name: str, found: Found, seen: set[str]) -> None:
    if name in seen:
        return
    seen.add(name)
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        found.errors.append(f"{name}: can't import it: {type(error).__name__}: {error}")
        return
    _collect(module, found)
    for info in sorted(pkgutil.iter_modules(getattr(module, "__path__", [])), key=lambda i: i.name):
        # Importing `__main__` would run the package's command.
        if info.name != "__main__":
            _visit(f"{name}.{info.name}", found, seen)


def _collect(module: ModuleType, found: Found) -> None:
    classes = [value for value in vars(module).values() if _is_job(value, module)]
    for job_class in sorted(classes, key=lambda item: item.__name__):
        if "author" in vars(job_class):
            found.jobs.append(job_class)
        elif not job_class.__name__.startswith("_"):
            # It is probably a base class of jobs.
            found.notes.append(f"{job_class.qual_name()}: left out, it names no author itself")


def _is_job(value: object, module: ModuleType) -> bool:
    """True if a module's value is a job class that the module defines."""
    return (
        isinstance(value, type)
        and issubclass(value, CoreJob)
        and value is not CoreJob
        and value.__module__ == module.__name__
    )
