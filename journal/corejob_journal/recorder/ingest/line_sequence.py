"""Take lines in sequence: find missing numbers again, recognise files that are repeated."""

import asyncio
import logging
from contextlib import aclosing
from typing import Final

from corejob_journal.recorder.ingest import protocol
from corejob_journal.recorder.ingest.followed_pod import FollowedPod
from corejob_journal.recorder.ingest.lines import LogLine
from corejob_journal.recorder.ingest.log_ingest import LogIngest
from corejob_journal.recorder.ingest.reading import LogGoneError, LogReader
from corejob_kube.client import Kube
from corejob_kube.errors import KubeError

log = logging.getLogger(__name__)

_VAIN_REREADS: Final = 3
_LOOK_AGAIN_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds between looks at a newest file that has no entry yet, or can't be read."""


class LineSequence:
    """Takes the lines of one log into its `LogIngest`, and handles those out of sequence.

    Args:
        kube: The API server.
        namespace: The namespace of the pod.
        pod: The pod.
        reader: The reader of its log.
        ingest: The lines of the log.
    """

    def __init__(
        self, kube: Kube, namespace: str, pod: FollowedPod, reader: LogReader, ingest: LogIngest
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._pod = pod
        self._reader = reader
        self._ingest = ingest
        self._vain_rereads = 0

    async def take(self, lines: list[LogLine]) -> None:
        """Take lines, in their order."""
        ingest, start = self._ingest, 0
        while (start := ingest.take(lines, start)) < len(lines):
            line = lines[start]
            if not ingest.may_begin_file(line):
                await self._clear_up(line)
            elif await self._begins_newest_file(line):
                start += 1
            else:
                ingest.accept(line)

    async def _clear_up(self, line: LogLine) -> None:
        """Handle a line that is out of sequence: numbers are missing before it, or it goes back."""
        ingest = self._ingest
        if not ingest.goes_back(line):
            await self._reread(line)
        elif await self._was_taken(line):
            ingest.read_anew()
        else:
            ingest.go_back(line)

    async def _was_taken(self, line: LogLine) -> bool:
        """True if a line that goes back is a repetition, and not new after a clock was set back."""
        number = protocol.parse(line.body).n
        if number:
            return number <= self._ingest.last_n
        first = await self._awaited_first_entry()
        # The kubelet repeats the newest file; by now there may be an even newer one.
        return first is not None and (
            first[0] == line.stamp or first[0] > self._ingest.position.stamp
        )

    async def _begins_newest_file(self, line: LogLine) -> bool:
        first = await self._readable_first_entry()
        return first is not None and first[0] == line.stamp

    async def _awaited_first_entry(self) -> tuple[int, bytes] | None:
        """Return the `first_entry`; wait for it, since a file that has just begun has none."""
        first = await self._readable_first_entry()
        for pause in _LOOK_AGAIN_S:
            if first is not None:
                break
            await asyncio.sleep(pause)
            first = await self._readable_first_entry()
        return first

    async def _readable_first_entry(self) -> tuple[int, bytes] | None:
        """Return the `first_entry`; None also if it can't be read."""
        try:
            return await self.first_entry()
        except KubeError as error:
            log.debug("no look at the log of %s: %s", self._pod.newest.child.name, error)
            return None

    async def first_entry(self) -> tuple[int, bytes] | None:
        """Return the first entry of the log's newest file; None if it has none yet.

        Raises:
            KubeError: It can't be read.
        """
        return await self._reader.first_entry()

    async def _reread(self, line: LogLine) -> None:
        """Search the whole log for the numbers missing before this line; name those not found."""
        number = protocol.parse(line.body).n
        before = self._ingest.last_n
        if self._vain_rereads < _VAIN_REREADS:
            reader = LogReader(self._kube, self._namespace, self._pod.newest)
            try:
                everything = reader.read(since=None, follow=False, surely=self._ingest.surely)
                async with aclosing(everything) as chunks:
                    async for lines in chunks:
                        self._ingest.fill(lines, number)
            except (KubeError, LogGoneError) as error:
                log.debug("no second reading of %s: %s", self._pod.newest.child.name, error)
            self._vain_rereads = 0 if self._ingest.last_n > before else self._vain_rereads + 1
        self._ingest.jump(number)
