"""A cluster that the user names. It is used, but never started or stopped."""

import os
import platform
import subprocess
from pathlib import Path

from tests.cluster import binaries, portforward
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.output import say
from tests.cluster.provider import ClusterStatus

# Not KUBECONFIG, since the usual environment must never select a cluster by accident.
VARIABLE = "CORE4_KUBECONFIG"


class ExistingCluster:
    """The cluster of the kubeconfig in CORE4_KUBECONFIG."""

    name = "kubeconfig"
    node_port: int | None = None
    image_pull_policy = "IfNotPresent"

    def __init__(self, named: str = "") -> None:
        """Use the kubeconfig that the variable names.

        Args:
            named: the kubeconfig to use without the variable: the recorded one of `up`.
        """
        self._named = named

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig that the user named."""
        return Path(os.environ.get(VARIABLE) or self._named).expanduser().resolve()

    def unavailable(self) -> str | None:
        """Return which of the variable and its file is missing, or None."""
        if not (os.environ.get(VARIABLE) or self._named):
            return f"{VARIABLE} names no kubeconfig"
        return None if self.kubeconfig.is_file() else f"{self.kubeconfig} is no file"

    def left(self) -> bool:
        """True if a port is forwarded to the cluster."""
        return portforward.is_recorded()

    def distant(self) -> str | None:
        """Return why pods may run on other machines; None if this machine is the only node."""
        host = r"{.items[*].metadata.labels.kubernetes\.io/hostname}"
        listing = self._kubectl("get", "nodes", f"--output=jsonpath={host}")
        if listing.returncode != 0:
            return f"the nodes of {self.kubeconfig} can't be listed"
        others = [name for name in listing.stdout.split() if name != platform.node()]
        return f"pods may be on {', '.join(others[:3])}" if others else None

    def binary(self, name: str) -> Path:
        """Build a program if needed, and return its path."""
        return binaries.kubectl() if name == "kubectl" else binaries.installed(name)

    def volume_host_path(self, namespace: str) -> Path | None:
        """Return None, since the cluster has a storage class."""
        del namespace
        return None

    def up(self) -> None:
        """Check that the cluster answers.

        Raises:
            ClusterError: the cluster does not answer.
        """
        answer = self._kubectl("get", "--raw", "/readyz")
        if answer.returncode != 0:
            raise ClusterError(
                f"the cluster of {self.kubeconfig} does not answer: start it, or name another"
                f" kubeconfig in {VARIABLE}.\n{answer.stderr.strip()}"
            )
        say(f"using the cluster of {self.kubeconfig}")

    def down(self) -> None:
        """Stop the port forwarding on this machine, and leave the cluster as it is."""
        portforward.stop()
        which = str(self.kubeconfig) if os.environ.get(VARIABLE) or self._named else VARIABLE
        say(f"the cluster of {which} is left as it is, with the service if that is in it")

    def status(self) -> ClusterStatus:
        """Return a status that is running if the cluster answers."""
        # Any version does, so that this question builds nothing.
        program = binaries.built("kubectl")
        if program is None:
            word = "can't be asked: kubectl is not built yet; `make up` does it"
            return ClusterStatus(running=False, lines=[f"{self.kubeconfig} {word}"])
        answers = self._kubectl("get", "--raw", "/readyz", program=program).returncode == 0
        word = "answers" if answers else "does not answer"
        return ClusterStatus(answers, [f"{self.kubeconfig} {word}"])

    def load(self, archive: Path, image: str) -> None:
        """Refuse, since images can't be loaded into such a cluster.

        Raises:
            ClusterError: always; the message says what to do instead.
        """
        raise ClusterError(
            f"{image} cannot be loaded into a cluster that is not ours. Push {archive} to a"
            " registry that the cluster pulls from, and name the image: CORE4_IMAGE=…"
        )

    def _kubectl(
        self, *arguments: str, program: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        # Packets to a cluster that is gone may be dropped silently, so set a timeout.
        where = [f"--kubeconfig={self.kubeconfig}", "--request-timeout=20s"]
        return run([program or self.binary("kubectl"), *where, *arguments], check=False)
