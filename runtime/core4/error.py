"""Exceptions that jobs and the runner exchange."""


class CoreJobDeferred(BaseException):
    """The job ends this trial and asks for another one later.

    It is a BaseException, so that a job's `except Exception` does not catch a deferral.
    """


class CoreJobKilled(BaseException):
    """The process got SIGTERM; raised in the job so that its `finally` blocks run."""


class JobDefinitionError(Exception):
    """The job can't be started, since its description or its class is invalid."""
