"""Address and credentials of the API server in a pod, as client-go reads them.

The official package does the same, but its import takes longer than that of all else.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

TOKEN: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
AUTHORITY: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
_HOST: Final = "KUBERNETES_SERVICE_HOST"
_PORT: Final = "KUBERNETES_SERVICE_PORT"
_REREAD_S: Final = 60.0
"""Seconds after which the token's file is read again: the kubelet replaces it before it expires."""


class CredentialsError(ValueError):
    """There is no configuration of a cluster, or it is not usable."""


@dataclass(slots=True)
class ServiceAccount:
    """The API server as a pod sees it.

    Attributes:
        host: URL of the API server.
        ssl_ca_cert: File of the certificate authority.
        cert_file: None, since a ServiceAccount has a token.
        key_file: None.
        verify_ssl: True.
    """

    host: str
    token_file: Path
    ssl_ca_cert: str
    cert_file: None = None
    key_file: None = None
    verify_ssl: bool = True
    _header: str = field(default="", repr=False)
    _read_at: float = 0.0

    def authorization(self) -> str:
        """Return the `Authorization` header with the current token; keep the last if none is there.

        Raises:
            CredentialsError: The token can't be read, and was never read.
        """
        if not self._header or time.monotonic() - self._read_at >= _REREAD_S:
            try:
                token = self.token_file.read_text(encoding="utf-8").strip()
            except OSError as error:
                if not self._header:
                    raise CredentialsError(f"the ServiceAccount's token: {error}") from error
            else:
                self._header = f"Bearer {token}"
            self._read_at = time.monotonic()
        return self._header


def is_in_pod(environ: Mapping[str, str] = os.environ) -> bool:
    """True if the process runs in a pod."""
    return bool(environ.get(_HOST))


def load(environ: Mapping[str, str] = os.environ) -> ServiceAccount:
    """Return the pod's address and credentials of the API server.

    Raises:
        CredentialsError: The pod has no ServiceAccount, or its environment no port.
    """
    host, port = environ[_HOST], environ.get(_PORT)
    if not port:
        raise CredentialsError(f"{_HOST} is set, but {_PORT} is not")
    if not AUTHORITY.is_file():
        raise CredentialsError(f"the ServiceAccount has no certificate authority {AUTHORITY}")
    address = f"[{host}]" if ":" in host else host
    account = ServiceAccount(f"https://{address}:{port}", TOKEN, str(AUTHORITY))
    account.authorization()
    return account
