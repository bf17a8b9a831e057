"""Limits of a CoreJob that the API server enforces by the CRDs, and the REST API beforehand."""

from typing import Final

MAX_JOB_NAME: Final = 52
"""Characters of a CoreJob's name: a Job's adds `-<trial>`, and a pod's label has at most 63."""
MAX_ARGS: Final = 256
"""Number of keyword arguments."""
MAX_ARGS_JSON: Final = 200 * 1024
"""Bytes of the keyword arguments as JSON."""
