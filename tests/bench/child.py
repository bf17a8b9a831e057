"""Baselines that run as processes of their own, so that their usage is measured separately."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from tests.cluster.commands import environment
from tests.cluster.deploy import ROOT
from tests.support.kubectl import Kubectl


@contextlib.contextmanager
def started(kubectl: Kubectl, module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module of ours with a namespace and more arguments; kill it at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, kubectl.namespace, *arguments],
        cwd=ROOT,
        env=environment() | {"KUBECONFIG": str(kubectl.provider.kubeconfig)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
