"""The local cluster's folders, addresses and ports."""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.cache import cache_dir

NODE = "localhost"
POD_SUBNET = "10.244.0.0/24"
# Of simulated pods, which have no network.
SIMULATED_CIDR = "10.245.0.1/16"
CLUSTER_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
# All ports are below the node ports, so that none can be assigned as one, below the ephemeral
# ports, and different from those that another Kubernetes on the machine would use.
API_PORT = 4643
ETCD_PORT = 4679
ETCD_PEER_PORT = 4680
KUBELET_PORT = 4650
KUBELET_HEALTH_PORT = 4648
CONTROLLER_MANAGER_PORT = 4657
SCHEDULER_PORT = 4659
PROXY_HEALTH_PORT = 4656
PROXY_METRICS_PORT = 4649
LOG_SHORT_PORT = 4661
LOG_LONG_PORT = 4662
NODE_PORTS = "5000-32767"
SERVICE_PORT = 5001

# Our names in the kernel and in shared folders.
BRIDGE = "core4-cni0"
CNI_NETWORK = "core4-local"
CGROUP = "core4-local"

# A socket's path must fit into sockaddr_un.
_LONGEST_SOCKET = 107


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths below the data folder of the local cluster."""

    data: Path

    @classmethod
    def default(cls) -> "Layout":
        """Return the layout in the cache: one cluster for each machine."""
        return cls(cache_dir() / "cluster")

    @property
    def kubeconfig(self) -> Path:
        """The cluster administrator's kubeconfig."""
        return self.data / "kubeconfig"

    @property
    def state(self) -> Path:
        """The record of started processes."""
        return self.data / "state.json"

    @property
    def sysctls(self) -> Path:
        """The kernel settings before the cluster changed them."""
        return self.data / "sysctls.json"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.data / "pki"

    @property
    def config(self) -> Path:
        """Configuration files and the components' kubeconfigs."""
        return self.data / "config"

    @property
    def log(self) -> Path:
        """The folder with a log file for each process."""
        return self.data / "log"

    @property
    def audit_log(self) -> Path:
        """The API server's record of all writes."""
        return self.log / "audit.log"

    @property
    def cni(self) -> Path:
        """The folder with the configuration of the pods' network and nothing else."""
        return self.data / "cni"

    @property
    def containerd(self) -> Path:
        """containerd's root and state."""
        return self.data / "containerd"

    @property
    def socket(self) -> Path:
        """containerd's socket."""
        return self.containerd / "containerd.sock"

    @property
    def pod_logs(self) -> Path:
        """The folder in which the kubelet writes the logs of pods."""
        return self.data / "podlogs"

    @property
    def volumes(self) -> Path:
        """The parent folder of hostPath volumes."""
        return self.data / "volumes"

    @property
    def saved_volumes(self) -> Path:
        """The folder to which volumes are moved while all else is deleted."""
        return self.data.with_name(f"{self.data.name}.volumes")

    def socket_fits(self) -> bool:
        """True if the kernel accepts the path of the socket, and that of the ttrpc socket."""
        return len(f"{self.socket}.ttrpc") <= _LONGEST_SOCKET

    def make(self) -> None:
        """Create the folders."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o711)
        for path in (self.pki, self.config, self.log, self.cni, self.containerd, self.volumes):
            path.mkdir(exist_ok=True)
        self.pki.chmod(0o700)
