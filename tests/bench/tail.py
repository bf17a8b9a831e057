"""``python -m tests.bench.tail NAMESPACE POD…``: follows the logs of pods and drops them.

The baseline of the recorder: the same requests by the same client, which only counts the lines. It
is a process of its own, so that its usage is measured separately. It prints one JSON document when
all pods have ended; KUBECONFIG names the cluster.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvloop
from tests.bench import procfs

from corejob_kube.client import Kube
from corejob_kube.resources import PODS


@dataclass(slots=True)
class Tail:
    """The lines received from one pod.

    Attributes:
        lines: Number of lines received.
        number: Number in the last line, which is how many were written.
        ended: Time at which the connection ended.
        behind: Time and delay of the last line of each chunk.
    """

    lines: int = 0
    number: int = 0
    ended: float = 0.0
    behind: list[tuple[float, float]] = field(default_factory=list)


def main(pods: Sequence[str]) -> int:
    """Follow all pods until they end."""
    namespace, *names = pods
    before = _cpu()
    tails = uvloop.run(_follow_all(namespace, names))
    found = {
        "cpu": _cpu() - before,
        # Not ru_maxrss, which a child inherits from its parent.
        "mib": procfs.mib(Path("/proc/self/status").read_text(encoding="ascii"), "VmHWM"),
        "pods": {name: asdict(tail) for name, tail in zip(names, tails, strict=True)},
    }
    sys.stdout.write(json.dumps(found))
    return 0


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _follow_all(namespace: str, pods: Sequence[str]) -> list[Tail]:
    async with await Kube.load(user_agent="core4-bench") as kube:
        return await asyncio.gather(*(_follow(kube, namespace, pod) for pod in pods))


async def _follow(kube: Kube, namespace: str, pod: str) -> Tail:
    tail, held = Tail(), b""
    path = PODS.path(namespace, pod, "log")
    async with kube.stream(path, params={"follow": "true"}, idle=None) as content:
        async for chunk in content.iter_any():
            now = time.time()
            whole, end, rest = chunk.rpartition(b"\n")
            if not end:
                held += chunk
                continue
            tail.lines += whole.count(b"\n") + 1
            line = whole[whole.rfind(b"\n") + 1 :]
            told = json.loads(line if b"\n" in whole else held + line)
            tail.number = told["n"]
            tail.behind.append((told["time"], now - told["time"]))
            held = rest
    tail.ended = time.time()
    return tail


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
