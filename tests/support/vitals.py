"""Health of a service: its containers, their restarts, memory and logs, and its readiness."""

import re
from dataclasses import dataclass
from typing import Any

from tests.support.kubectl import Kubectl

_SERVICE = "app.kubernetes.io/name=core4"
_MEMORY = re.compile(r"^Vm(HWM|RSS):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a container's process, in MiB.

    Attributes:
        now: Memory in use now.
        peak: Maximum since the peaks were last reset.
    """

    now: float
    peak: float


@dataclass(frozen=True, slots=True)
class Containers:
    """The containers of a service by name, with their status in Kubernetes."""

    kubectl: Kubectl

    def lives(self) -> dict[str, Any]:
        """Pod and restarts of each container; two equal values mean that nothing ended in between.

        Readiness is left out: a probe may time out on a busy machine.
        """
        return {
            container["name"]: {
                "pod": pod["metadata"]["name"],
                "restarts": container["restartCount"],
            }
            for pod in self._pods()
            for container in pod["status"].get("containerStatuses", ())
        }

    def unready(self) -> list[str]:
        """Pods that the kubelet reports as not ready."""
        return [pod["metadata"]["name"] for pod in self._pods() if not _is_ready(pod)]

    def memory(self, *, then_forget: bool = False) -> dict[str, Memory]:
        """Memory of each container.

        Args:
            then_forget: Reset the peaks afterwards.
        """
        script = "cat /proc/1/status" + ("; echo 5 > /proc/1/clear_refs" if then_forget else "")
        found = {}
        for name, pod in self._places().items():
            text = self._shell(pod, name, script)
            kib = {kind: int(number) for kind, number in _MEMORY.findall(text)}
            found[name] = Memory(kib["RSS"] / 1024, kib["HWM"] / 1024)
        return found

    def traceback(self) -> str:
        """Return the first traceback in the logs with the lines around it; "" if there is none."""
        log = self.kubectl("logs", "-l", _SERVICE, "--all-containers", "--prefix", "--tail=-1")
        place = log.find("Traceback")
        return "" if place < 0 else log[max(0, place - 500) : place + 3000]

    def _shell(self, pod: str, container: str, script: str) -> str:
        return self.kubectl("exec", pod, f"--container={container}", "--", "sh", "-c", script)

    def _places(self) -> dict[str, str]:
        return {name: life["pod"] for name, life in self.lives().items()}

    def _pods(self) -> list[dict[str, Any]]:
        return self.kubectl.items("pods", "-l", _SERVICE)


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
