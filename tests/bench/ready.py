"""From the start of a process to its readiness: a pod is deleted, and its successor is watched."""

import time
from typing import Any, Final

import requests
from prometheus_client.parser import text_string_to_metric_families
from tests.bench import procfs
from tests.bench.usage import API, OPERATOR, RECORDER
from tests.support.release import Release
from tests.support.waiting import until

_SECONDS: Final = 120.0
_TICK: Final = 0.05
_COMPONENTS: Final = {
    "api": {"api": API, "recorder": RECORDER},
    "operator": {"operator": OPERATOR},
}
"""Processes of the pod of each component, with the ports of their health."""


def starts(release: Release, component: str) -> dict[str, float]:
    """Replace a component's pod; return the seconds until each of its processes was ready."""
    old = release.pod(component)
    release.kubectl("delete", "pod", old, "--wait=false")
    address = until(
        lambda: _address(release, component, old),
        what=f"the next pod of {component} has an address",
        seconds=_SECONDS,
        every=_TICK,
    )
    ready: dict[str, float] = {}
    processes = _COMPONENTS[component]
    with requests.Session() as session:
        session.trust_env = False
        deadline = time.monotonic() + _SECONDS
        while len(ready) < len(processes):
            assert time.monotonic() < deadline, f"not ready: {set(processes) - set(ready)}"
            for name in processes.keys() - ready.keys():
                root = f"http://{address}:{processes[name]}"
                if _answers(session, root):
                    ready[name] = time.time() - _started(session, root)
            time.sleep(_TICK)
    release.wait_ready()
    return ready


def _address(release: Release, component: str, old: str) -> str:
    pods = release.kubectl.items("pods", "-l", f"app.kubernetes.io/component={component}")
    addresses = [pod["status"].get("podIP", "") for pod in pods if pod["metadata"]["name"] != old]
    return next(filter(None, addresses), "")


def _answers(session: requests.Session, root: str) -> bool:
    try:
        return session.get(f"{root}/readyz", timeout=1).status_code == 200
    except requests.RequestException:
        return False


def _started(session: requests.Session, root: str) -> float:
    """Return the start time of the process by its own metrics, and this machine's clocks."""
    text = session.get(f"{root}/metrics", timeout=10).text
    values: dict[str, Any] = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return float(values["process_start_time_seconds"]) + _cut_off()


def _cut_off() -> float:
    """Return the fraction of a second that a start time lacks; the kernel must be the process's."""
    up = time.clock_gettime(time.CLOCK_BOOTTIME)
    return boot_fraction(time.time(), up, procfs.boot_second(procfs.stat()))


def boot_fraction(now: float, up: float, boot_second: int) -> float:
    """Return what was cut off the time of the boot, from which starts of processes are counted.

    Args:
        now: The present time.
        up: Seconds since the boot.
        boot_second: Time of the boot in whole seconds.
    """
    return now - up - boot_second
