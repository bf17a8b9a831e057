"""Load the job: its description from the environment, and its class by name."""

from __future__ import annotations

import json
import os
import sys

from core4.error import CoreJobKilled, JobDefinitionError
from core4.queue.job import CoreJob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def read_document(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the job's JSON from CORE4_JOB or the file that CORE4_JOB_FILE names.

    Raises:
        JobDefinitionError: There is no description, or it is invalid.
    """
    text: str | bytes | None = environ.get("CORE4_JOB")
    if text is None:
        path = environ.get("CORE4_JOB_FILE")
        if path is None:
            raise JobDefinitionError("neither CORE4_JOB nor CORE4_JOB_FILE is set")
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs start-up
                text = file.read()
        except OSError as error:
            raise JobDefinitionError(f"can't read the job description: {error}") from error
    try:
        document = json.loads(text)
    except ValueError as error:
        raise JobDefinitionError(f"the job description is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise JobDefinitionError("the job description is no JSON object")
    return document


def load_class(qual_name: str) -> type[CoreJob]:
    """Import the job's class.

    Raises:
        JobDefinitionError: The class does not exist or is not a job. If the module raised an
            exception, that is the error's cause.
    """
    module_name, dot, class_name = qual_name.rpartition(".")
    if not dot:
        raise JobDefinitionError("the name has no dot: expected module.Class")
    try:
        __import__(module_name)
    except CoreJobKilled:
        raise
    except BaseException as error:  # a module may call sys.exit
        raise JobDefinitionError(f"{type(error).__name__}: {error}") from error
    found = getattr(sys.modules[module_name], class_name, None)
    if found is None:
        raise JobDefinitionError(f"module [{module_name}] has no class [{class_name}]")
    if not (isinstance(found, type) and issubclass(found, CoreJob)):
        raise JobDefinitionError(f"[{class_name}] is no subclass of core4.queue.job.CoreJob")
    if not isinstance(found.__dict__.get("author"), str):
        raise JobDefinitionError("the class names no author")
    return found


def use_working_directory() -> None:
    """Add the working directory to the end of the module search path.

    `python -m core4` has it there anyway; the installed command `core4` does not.
    """
    try:
        directory = os.getcwd()  # noqa: PTH109 - pathlib costs start-up
    except OSError:
        # The directory was deleted, or this user may not read it.
        return
    if "" not in sys.path and directory not in sys.path:
        sys.path.append(directory)
