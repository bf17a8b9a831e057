"""The exceptions that have a meaning between a job and what runs it."""


class CoreJobDeferred(BaseException):
    """The job gives up this trial and wants another one later.

    No `Exception`, so that a job's `except Exception` can't turn a deferral into something else.
    """


class CoreJobKilled(BaseException):
    """The process was told to stop; raised in the job so that its `finally` blocks run."""


class JobDefinitionError(Exception):
    """The job can't be started at all: its description or its class is wrong."""
