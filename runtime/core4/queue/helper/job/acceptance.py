"""Jobs for tests of an installation; each does one thing that the service must handle.

They are part of every image that has core4, so a test needs no image of its own.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

from core4.queue.job import CoreJob


class BurstJob(CoreJob):
    """Logs `count` lines as fast as it can."""

    author = "core4"
    tag = ("test",)

    def execute(self, count: int = 300) -> None:
        """Log the lines `line 1 of <count>` and so on."""
        for number in range(1, count + 1):
            self.logger.info("line %d of %d", number, count)


class FailingJob(CoreJob):
    """Always raises."""

    author = "core4"
    tag = ("test",)

    def execute(self, message: str = "this job always fails") -> None:
        """Raise a RuntimeError with this message."""
        raise RuntimeError(message)


class DeferringJob(CoreJob):
    """Defers in its first `times` trials and then completes; always, when None."""

    author = "core4"
    tag = ("test",)

    def execute(self, times: int | None = None) -> None:
        """Defer in the first `times` trials, or always if None.

        Args:
            times: Number of trials that defer.
        """
        if times is None or self.trial <= times:
            self.defer("not yet in trial [%d]", self.trial)


class SegmentJob(CoreJob):
    """Belongs to a segment, sleeps, and completes: for filters over the arguments."""

    author = "core4"
    tag = ("test",)

    def execute(self, segment: int = 0, sleep: float = 0) -> None:
        """Log the segment and sleep."""
        self.logger.info("segment [%s]", segment)
        time.sleep(sleep)


class SleepyJob(CoreJob):
    """Sleeps without a word; can be deaf to SIGTERM."""

    author = "core4"
    tag = ("test",)

    def execute(self, sleep: float = 60, ignore: bool = False) -> None:
        """Sleep.

        Args:
            sleep: Duration in seconds.
            ignore: True to ignore SIGTERM, so that only SIGKILL ends the job.
        """
        if ignore:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.logger.info("sleeping [%s] seconds", sleep)
        time.sleep(sleep)


class MemoryHog(CoreJob):
    """Takes memory, so that it is killed when its limit is lower."""

    author = "core4"
    tag = ("test",)

    def execute(self, mb: int = 256, sleep: float = 0) -> None:
        """Allocate `mb` megabytes in steps of 8, write to each page, and sleep.

        Args:
            mb: Size in megabytes.
            sleep: Seconds for which the memory stays allocated.
        """
        step = 8
        held = []
        for taken in range(step, mb + step, step):
            held.append(bytearray(b"\1" * (step << 20)))
            self.logger.info("holding [%d] MB", taken)
        time.sleep(sleep)


class ChattyJob(CoreJob):
    """Logs at a steady rate."""

    author = "core4"
    tag = ("test",)

    def execute(
        self, rate: float = 100, seconds: float = 10, size: int = 100, burst: int = 0
    ) -> None:
        """Log `rate` lines of `size` characters a second; each begins with its number.

        Args:
            rate: Lines a second.
            seconds: Duration in seconds.
            size: Characters of a line.
            burst: Number of lines, of the same size but without a number, to log at once before.
        """
        for _ in range(burst):
            self.logger.info("x" * size)
        start = time.monotonic()
        total = int(rate * seconds)
        for number in range(1, total + 1):
            self.logger.info("%d %s", number, "x" * max(0, size - len(str(number)) - 1))
            ahead = start + number / rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            self.progress(number / total, "line %d", number)


class PrintingJob(CoreJob):
    """Prints to standard output and error, itself and from a subprocess."""

    author = "core4"
    tag = ("test",)

    def execute(self, count: int = 10) -> None:
        """Print `count` lines each way, and log one line in between."""
        import subprocess  # noqa: PLC0415 - the other jobs of this module do not need it

        for number in range(1, count + 1):
            print(f"stdout {number}")
            print(f"stderr {number}", file=sys.stderr)
        self.logger.info("printed [%d] lines", 2 * count)
        code = f"for i in range(1, {int(count)} + 1): print('subprocess', i)"
        subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code


class OddJob(CoreJob):
    """Logs and prints what is out of the ordinary, or dies at once."""

    author = "core4"
    tag = ("test",)

    def execute(self, die: bool = False) -> None:
        """Log and print progress bars, colours, control characters, long lines and bad UTF-8.

        Args:
            die: True to crash with a segmentation fault instead.
        """
        if die:
            # The first process of a container ignores signals from inside it, except those that
            # the kernel sends.
            ctypes.string_at(0)
        self.logger.info("\r 10%\r 50%\r100%")
        self.logger.info("\x1b[1;31mred\x1b[0m and \x1b[Kerased")
        self.logger.info("lone \udcff, nul \0, ä, \u2028, two\nlines, and no more ")
        self.logger.info("")
        for mebibytes in (1, 3):
            self.logger.info("x" * mebibytes * 2**20)
        os.write(sys.stdout.fileno(), b"\r 10%\r100%\nbad \xff, half \xe2\x82\nno line end")
