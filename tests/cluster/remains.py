"""Find and remove the remains of a killed cluster: processes, mounts, cgroups and files.

They are recognised by the data folder's path or by our names, without the record of started
processes.
"""

import contextlib
import os
import re
import subprocess
import time
from pathlib import Path

from tests.cluster import kwok, processes
from tests.cluster.binaries import COMPONENTS
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.layout import CGROUP, CNI_NETWORK

_CGROUPS = Path("/sys/fs/cgroup")
_PATIENCE = 30.0
# Without kubectl, which a user may run.
_SERVERS = tuple(name for name in COMPONENTS if name != "kubectl")
_SHIMS = ("containerd-shim-runc-v2", "containerd-shim")
_NODE_AGENTS = ("containerd", "kubelet")
# The data folder of a local cluster, by the configuration of its node agents.
_NODE_CONFIG = re.compile(
    r"^(?:--config=)?(/.+/cluster)/config/(?:containerd\.toml|kubelet\.json)$"
)
_MOUNTS = Path("/proc/self/mountinfo")
# Paths of the kubelet and the CNI library that can't be configured.
_LOG_LINKS = Path("/var/log/containers")
_CNI_RESULTS = Path("/var/lib/cni/results")
_DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")


def find_processes(data: Path) -> list[int]:
    """Return the pids of our processes: named like a component, with a path below `data`."""
    return processes.using(data, [*_SERVERS, "containerd", *kwok.NAMES])


def other_clusters(data: Path) -> list[Path]:
    """Return the data folders of running local clusters with another cache than this one.

    They have the same bridge, cgroup and rules, since these have fixed names.
    """
    found = {
        Path(match[1])
        for pid, argv in processes.all_processes()
        if Path(argv[0]).name in _NODE_AGENTS and _shares_network(pid)
        for argument in argv[1:]
        if (match := _NODE_CONFIG.search(argument))
    }
    return sorted(found - {data})


def kill_containers(data: Path) -> None:
    """Kill the shims of our containerd and their containers.

    This bypasses containerd, since nothing must be kept: it is fast and also works when containerd
    has ended.
    """
    shims = processes.using(data, _SHIMS)
    children = processes.descendants(shims)
    processes.kill(shims)
    processes.kill(children)
    if other_clusters(data):
        # Their pods are in the same cgroup.
        return
    deadline = time.monotonic() + _PATIENCE
    # A container may fork while it is killed.
    while (left := _cgroup_processes()) and time.monotonic() < deadline:
        processes.kill(left)


def foreign_kubernetes(data: Path) -> str | None:
    """Return the name and pid of a Kubernetes node agent here that is not ours, or None."""
    own = set(find_processes(data))
    for pid, argv in processes.all_processes():
        name = Path(argv[0]).name
        foreign = name in ("kubelet", "k3s", "k0s", "rke2", "microk8s") and pid not in own
        if foreign and _shares_network(pid):
            return f"{name} (process {pid})"
    return None


def _shares_network(pid: int) -> bool:
    """False for a node inside a container (kind), which has network and cgroups of its own."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink()
    return False


def mounts_below(folder: Path) -> list[Path]:
    """Return the mount points at or below a folder, latest first."""
    points = []
    for line in _MOUNTS.read_bytes().splitlines():
        # Blanks and some other characters are octal escapes, all others are as they are.
        raw = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), line.split(b" ")[4])
        point = os.fsdecode(raw)
        if point == str(folder) or point.startswith(f"{folder}/"):
            points.append(Path(point))
    return points[::-1]


def unmount(folder: Path) -> None:
    """Unmount everything at or below a folder.

    Raises:
        ClusterError: a mount remains.
    """
    for lazily in ([], ["-l"]):
        for point in mounts_below(folder):
            run(["umount", *lazily, point], check=False)
    if left := mounts_below(folder):
        raise ClusterError(f"cannot unmount: {', '.join(map(str, left))}")


def delete(folder: Path) -> None:
    """Delete a folder that contains no mounts.

    It is renamed here and deleted in the background, since unpacked images are many thousands of
    files, which take half a minute on a busy disk.

    Raises:
        ClusterError: something is mounted below the folder.
    """
    if mounts_below(folder):
        raise ClusterError(f"something is mounted below {folder}: not deleted")
    if not folder.exists():
        return
    folder.rename(folder.with_name(f"{folder.name}.trash-{time.time_ns()}"))
    trash = folder.parent.glob(f"{folder.name}.trash-*")
    subprocess.Popen(
        ["rm", "-rf", *map(str, trash)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ).returncode = 0


def make_cgroups() -> None:
    """Create the parent cgroup of the kubelet's pods, with all controllers."""
    if (_CGROUPS / "cgroup.controllers").exists():
        names = (_CGROUPS / "cgroup.controllers").read_text().split()
        (_CGROUPS / CGROUP).mkdir(exist_ok=True)
        for parent in (_CGROUPS, _CGROUPS / CGROUP):
            for name in names:
                with contextlib.suppress(OSError):
                    (parent / "cgroup.subtree_control").write_text(f"+{name}")
        return
    for parent in _hierarchies():
        (parent / CGROUP).mkdir(exist_ok=True)
        # A new cpuset cgroup has no processors and memory, and then accepts no processes.
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (parent / name).exists():
                (parent / CGROUP / name).write_text((parent / name).read_text())


def remove_cgroups() -> None:
    """Remove the cgroup, retrying since the kernel may notice late that it is empty."""
    deadline = time.monotonic() + _PATIENCE
    while left := [path for parent in _hierarchies() if (path := parent / CGROUP).exists()]:
        for top in left:
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)


def remove_files(data: Path) -> None:
    """Remove links and records outside the data folder."""
    for link in _LOG_LINKS.glob("*") if _LOG_LINKS.is_dir() else ():
        if link.is_symlink() and str(link.readlink()).startswith(f"{data}/"):
            link.unlink()
    for address in data.glob("containerd/state/io.containerd.runtime.v2.task/*/*/address"):
        # A killed shim leaves its socket behind.
        socket = Path(address.read_text().removeprefix("unix://"))
        if socket.is_relative_to("/run/containerd/s"):
            socket.unlink(missing_ok=True)
    for result in () if other_clusters(data) else _CNI_RESULTS.glob(f"{CNI_NETWORK}-*-eth0"):
        sandbox = result.name.removeprefix(f"{CNI_NETWORK}-").removesuffix("-eth0")
        (_CNI_RESULTS / f"cni-loopback-{sandbox}-lo").unlink(missing_ok=True)
        result.unlink(missing_ok=True)
    if foreign_kubernetes(data) is None:
        for name in ("kubelet.sock", "kubelet_internal_checkpoint"):
            (_DEVICE_PLUGINS / name).unlink(missing_ok=True)
        made = (_DEVICE_PLUGINS, _DEVICE_PLUGINS.parent, _CNI_RESULTS, _CNI_RESULTS.parent)
        for folder in (*made, _LOG_LINKS):
            # This removes the folder only if it is empty.
            with contextlib.suppress(OSError):
                folder.rmdir()


def _hierarchies() -> list[Path]:
    if (_CGROUPS / "cgroup.controllers").exists() or not _CGROUPS.is_dir():
        return [_CGROUPS]
    return [path for path in _CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]


def _cgroup_processes() -> list[int]:
    pids: set[int] = set()
    for parent in _hierarchies():
        for path in (parent / CGROUP).glob("**/cgroup.procs"):
            with contextlib.suppress(OSError):
                pids.update(int(line) for line in path.read_text().split())
    return sorted(pids)
