"""The node's address and ports, and the clean-up of network state in the kernel."""

import contextlib
import json
import re
import shutil
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.cluster import cache, processes
from tests.cluster.commands import environment, run
from tests.cluster.errors import ClusterError
from tests.cluster.layout import BRIDGE, CNI_NETWORK, Layout

# Settings that the CNI bridge and kube-proxy change, then those of the kubelet.
_SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
_PROC_SYS = Path("/proc/sys")
# The key of the boot in the record of the settings.
_BOOT = "boot"
# Chains of the portmap plug-in that all CNI networks of the machine share.
_SHARED_CHAINS = ("CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-MASQ", "CNI-HOSTPORT-SETMARK")


def node_ip() -> str:
    """Return this machine's address that pods can reach: the source of outgoing traffic.

    Raises:
        ClusterError: the machine has no IPv4 address besides loopback.
    """
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with probe, contextlib.suppress(OSError):
        # This is a documentation address; connecting a datagram socket sends no packet.
        probe.connect(("192.0.2.254", 9))
        return str(probe.getsockname()[0])
    links = json.loads(run(["ip", "-json", "-4", "address"]).stdout)
    addresses = [row for link in links for row in link["addr_info"] if row["scope"] == "global"]
    if not addresses:
        raise ClusterError(
            "this machine has no IPv4 address besides loopback; the node needs one. For example:"
            " ip link add core4-dummy type dummy && ip address add 198.18.0.1/32 dev core4-dummy"
            " && ip link set core4-dummy up"
        )
    return str(addresses[0]["local"])


def name_servers(resolv_conf: Path = Path("/etc/resolv.conf")) -> list[str]:
    """Return the machine's name servers for the pods, since the cluster has no DNS of its own.

    Servers on loopback are left out, since pods can't reach them. If no other is left, return
    127.0.0.1, so that look-ups in pods fail at once instead of after a timeout.
    """
    text = resolv_conf.read_text(encoding="utf-8") if resolv_conf.exists() else ""
    servers = re.findall(r"^nameserver\s+(\d+\.\d+\.\d+\.\d+)", text, re.MULTILINE)
    return [server for server in servers if not server.startswith("127.")][:3] or ["127.0.0.1"]


def ports_in_use(ports: tuple[int, ...]) -> list[int]:
    """Return the ports on which a process listens."""
    used = []
    for port in ports:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                used.append(port)
    return used


def require_free(ports: Sequence[int], user: str, *, forwarded: bool = False) -> None:
    """Check that ports of this machine are free: no process listens, and no rule redirects them.

    Args:
        ports: port numbers.
        user: name of the user of the ports, for the message.
        forwarded: True if they may be node ports, which are iptables rules without a process that
            listens.

    Raises:
        ClusterError: some are in use; the message names them and, if known, their processes.
    """
    taken = [port for port in ports if not _can_bind(port)]
    if not forwarded:
        taken += ports_in_use(tuple(port for port in ports if port not in taken))
    if not taken:
        return
    shown = ", ".join(f"{port}{_by_whom(port)}" for port in taken)
    raise ClusterError(
        f"{user} needs ports of this machine that are in use: {shown}. End what listens there,"
        " then try again."
    )


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        # Ignore connections of an earlier listener that are still closing.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            return True
        except OSError:
            return False
    return True


def _by_whom(port: int) -> str:
    """Return the process that listens on a port, in brackets; empty if it can't be seen."""
    if _can_bind(port):
        return " (a rule of iptables, such as another cluster's node port)"
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    for pid, argv in processes.all_processes() if sockets else ():
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                if str(descriptor.readlink()) in sockets:
                    return f" ({Path(argv[0]).name}, process {pid})"
    return ""


def _listening(port: int) -> Iterator[str]:
    """Yield the inodes of the sockets that listen on a port."""
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{name}").read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                # 0A is the state LISTEN.
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def save_sysctls(layout: Layout) -> None:
    """Save kernel settings that the cluster will change, once in its lifetime."""
    if not layout.sysctls.exists():
        values = {_BOOT: processes.boot_id()}
        for name in _SYSCTLS:
            with contextlib.suppress(OSError):
                values[name] = (_PROC_SYS / name).read_text().strip()
        cache.write(layout.sysctls, json.dumps(values))


def restore_sysctls(layout: Layout) -> None:
    """Restore the saved kernel settings, unless the machine has been started anew since then."""
    try:
        values = json.loads(layout.sysctls.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if values.get(_BOOT, processes.boot_id()) != processes.boot_id():
        return
    for name in values.keys() & set(_SYSCTLS):
        # A container may see a setting that it can't write.
        with contextlib.suppress(OSError):
            if (_PROC_SYS / name).read_text().strip() != values[name]:
                (_PROC_SYS / name).write_text(values[name])


def remove_links() -> None:
    """Delete the bridge and the pods' links to it."""
    if shutil.which("ip", path=environment()["PATH"]) is None:
        return
    shown = run(["ip", "-json", "link", "show", "master", BRIDGE], check=False)
    if shown.returncode != 0:
        return
    for link in json.loads(shown.stdout or "[]"):
        # The link is gone already if its pod's namespace has just ended.
        run(["ip", "link", "delete", link["ifname"]], check=False)
    run(["ip", "link", "delete", BRIDGE], check=False)


def remove_rules() -> None:
    """Delete our iptables chains, since a leftover rule would redirect the next cluster's ports."""
    for program in ("iptables", "ip6tables"):
        if shutil.which(f"{program}-save", path=environment()["PATH"]) is None:
            continue
        saved = run([f"{program}-save"], check=False)
        script = removal_script(saved.stdout) if saved.returncode == 0 else ""
        if script:
            run([f"{program}-restore", "--noflush"], stdin=script)


def removal_script(saved: str, network: str = CNI_NETWORK) -> str:
    """Return iptables-restore input that deletes the rules of Kubernetes and of one CNI network.

    Args:
        saved: output of iptables-save.
        network: name of the CNI network, which the plug-ins write into their rules' comments.

    Returns:
        Commands for `iptables-restore --noflush`; empty if there is nothing to delete.
    """
    script = []
    for table, body in re.findall(r"^\*(\S+)\n(.*?)^COMMIT", saved, re.DOTALL | re.MULTILINE):
        if commands := _removals(body.splitlines(), network):
            script += [f"*{table}", *commands, "COMMIT"]
    return "\n".join([*script, ""]) if script else ""


def _removals(lines: list[str], network: str) -> list[str]:
    chains = [line[1:].split()[0] for line in lines if line.startswith(":")]
    rules = [line for line in lines if line.startswith("-A ")]
    ours = [rule for rule in rules if f'name: \\"{network}\\"' in rule]
    doomed = {chain for chain in chains if chain.startswith("KUBE-")}
    doomed |= {target for rule in ours if (target := _target(rule)).startswith("CNI-")}
    doomed -= set(_SHARED_CHAINS)
    left = [rule for rule in rules if rule not in ours and rule.split()[1] not in doomed]
    if not any(rule.startswith("-A CNI-HOSTPORT-DNAT ") for rule in left):
        doomed |= set(_SHARED_CHAINS).intersection(chains)
    deleted = [
        f"-D{rule.removeprefix('-A')}"
        for rule in rules
        if rule.split()[1] not in doomed and (rule in ours or _target(rule) in doomed)
    ]
    ordered = [chain for chain in chains if chain in doomed]
    return [*deleted, *(f"-F {name}" for name in ordered), *(f"-X {name}" for name in ordered)]


def _target(rule: str) -> str:
    match = re.search(r" -[jg] (\S+)", rule)
    return match[1] if match else ""
