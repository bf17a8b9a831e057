"""The one exception of this package."""


class ClusterError(Exception):
    """Something that the user has to know and can act on; the message says both."""
