"""The local cluster's folders, addresses and ports."""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.cache import cache_dir

NODE = "localhost"
POD_SUBNET = "10.244.0.0/24"
CLUSTER_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
# All below the node ports, so that none can be drawn as somebody's node port, and below the
# ephemeral ports; and none that another Kubernetes on the machine would want.
API_PORT = 4643
ETCD_PORT = 4679
ETCD_PEER_PORT = 4680
KUBELET_PORT = 4650
KUBELET_HEALTH_PORT = 4648
CONTROLLER_MANAGER_PORT = 4657
SCHEDULER_PORT = 4659
PROXY_HEALTH_PORT = 4656
PROXY_METRICS_PORT = 4649
NODE_PORTS = "5000-32767"
SERVICE_PORT = 5001

# Names of ours in the kernel and in folders that others use too.
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
        """The layout in the cache: one cluster for a machine."""
        return cls(cache_dir() / "cluster")

    @property
    def kubeconfig(self) -> Path:
        """The cluster administrator's kubeconfig."""
        return self.data / "kubeconfig"

    @property
    def state(self) -> Path:
        """What was started."""
        return self.data / "state.json"

    @property
    def sysctls(self) -> Path:
        """Kernel settings as they were before."""
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
        """A log file for each process."""
        return self.data / "log"

    @property
    def cni(self) -> Path:
        """The configuration of the pods' network (a folder with nothing else in it)."""
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
        """The logs of pods, made by the kubelet."""
        return self.data / "podlogs"

    @property
    def volumes(self) -> Path:
        """Folders for hostPath volumes."""
        return self.data / "volumes"

    @property
    def saved_volumes(self) -> Path:
        """Where the volumes are while all else is cleared away."""
        return self.data.with_name(f"{self.data.name}.volumes")

    def socket_fits(self) -> bool:
        """Whether the kernel accepts the socket's path, its ttrpc twin's included."""
        return len(f"{self.socket}.ttrpc") <= _LONGEST_SOCKET

    def make(self) -> None:
        """Make the folders."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o711)
        for path in (self.pki, self.config, self.log, self.cni, self.containerd, self.volumes):
            path.mkdir(exist_ok=True)
        self.pki.chmod(0o700)
