"""The exception of this package."""


class ClusterError(Exception):
    """An error that the user can act on; the message says what is wrong and what to do."""
