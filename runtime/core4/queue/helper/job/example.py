"""The example job."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from core4.queue.job import CoreJob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class DummyJob(CoreJob):
    """This is just a job-dummy for testing purposes."""

    author = "mra"

    def execute(
        self,
        sleep: float | None = None,
        logging: bool = False,
        loop_time: float = 0.5,
        **_kwargs: Any,
    ) -> None:
        """Sleep, print lines and report progress.

        Args:
            sleep: Duration in seconds; 3 if 0 or missing.
            logging: True to log the lines as well.
            loop_time: Seconds between two lines.
        """
        seconds = sleep or 3
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(f"expected a number of seconds to sleep, got {seconds!r}")
        self.logger.info("just sleeping [%s] seconds", seconds)
        start = time.monotonic()
        line = 0
        while not line or time.monotonic() - start < seconds:
            line += 1
            now = datetime.now(UTC).replace(tzinfo=None)
            print(f"line {line} at {now}")
            if logging:
                self.logger.info("line %d at %s", line, now)
            self.progress((time.monotonic() - start) / seconds, "running")
            time.sleep(loop_time)
