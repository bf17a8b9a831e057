"""Jobs that behave like those of the original server's acceptance tests."""

import time

from core4.queue.job import CoreJob

LINES = 300
WORDS = (
    "Grüße",
    "Ångström",
    "✅ \U0001f600",
    "a\u2028b\u2029c",
    "\u0085",
    "d\u0085e",
    "\r",
    "10%\r20%",
    "tab\there\t",
    "",
    " ",
    "\x0b\x0c\x1c\x1d\x1e",
    "two\nlines\n\nand a third",
    'event: close\ndata: {"quote": "\\u2028"}',
)


class BurstJob(CoreJob):
    """Logs 300 lines at once."""

    author = "hans"

    def execute(self, **kwargs):
        _lines(self, 0, LINES)


class LateBurstJob(CoreJob):
    """Logs 300 lines after five seconds."""

    author = "hans"

    def execute(self, **kwargs):
        time.sleep(5)
        _lines(self, 0, LINES)


class TwoBurstsJob(CoreJob):
    """Logs 300 lines, sleeps in its first trial until it is killed, and logs 300 more."""

    author = "hans"

    def execute(self, **kwargs):
        _lines(self, 0, LINES)
        if self.trial == 1:
            time.sleep(600)
        _lines(self, LINES, 2 * LINES)


class FailingJob(CoreJob):
    """Fails in each of its three attempts."""

    author = "hans"
    attempts = 3
    error_time = 3

    def execute(self, **kwargs):
        raise RuntimeError("this is meant to fail")


class EndlessDeferringJob(CoreJob):
    """Defers without end."""

    author = "hans"
    defer_time = 3
    defer_max = 20

    def execute(self, **kwargs):
        self.defer("not yet")


class TwiceDeferringJob(CoreJob):
    """Defers twice, and finishes."""

    author = "hans"
    defer_time = 3

    def execute(self, **kwargs):
        if self.trial <= 2:
            self.defer("not yet")


class ZeroDivisionJob(CoreJob):
    """Divides by zero."""

    author = "hans"

    def execute(self, **kwargs):
        self.logger.info("%d", 1 / 0)


class SegmentJob(CoreJob):
    """Sleeps in a segment."""

    author = "hans"

    def execute(self, segment=0, sleep=600, **kwargs):
        time.sleep(sleep)


class WordsJob(CoreJob):
    """Logs characters that break some clients."""

    author = "hans"

    def execute(self, **kwargs):
        for word in WORDS:
            self.logger.info(word)


class ArgumentsJob(CoreJob):
    """Logs each of its arguments as Python shows it."""

    author = "hans"
    error_time = 1

    def execute(self, fail=0, **kwargs):
        for name in sorted(kwargs):
            self.logger.info("%s=%r", name, kwargs[name])
        if self.trial <= fail:
            raise RuntimeError("once more")


def _lines(job, start, stop):
    for number in range(start, stop):
        job.logger.info("hello world: %d", number)
