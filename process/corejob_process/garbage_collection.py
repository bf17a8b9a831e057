"""The garbage collector of a process whose cache has many objects."""

import gc
from typing import Final

_THRESHOLDS: Final = (50_000, 20, 100)
"""Objects of an event are freed by their counts; few are in cycles. But a search for cycles walks
over new objects, and some searches over the whole cache and all streams: with Python's thresholds
40% of a fan-out to 5,000 streams, and 5% of the operator.
"""


def collect_rarely() -> None:
    """Let the garbage collector search rarely, and never among the present objects."""
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
