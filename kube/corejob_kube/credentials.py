"""Address and credentials of the API server.

They come from the ServiceAccount in a pod, and elsewhere from the user's kubeconfig, by the rules
of the official package.
"""

import inspect
import os
from typing import Any, Protocol

from corejob_kube import service_account
from corejob_kube.service_account import CredentialsError, ServiceAccount

__all__ = ["ClientConfiguration", "CredentialsError", "authorization", "load"]


class ClientConfiguration(Protocol):
    """Address of an API server, and the files for TLS: as in the package's `Configuration`."""

    @property
    def host(self) -> str:
        """URL of the API server."""

    @property
    def ssl_ca_cert(self) -> str | None:
        """File of the certificate authority; None is the system's."""

    @property
    def cert_file(self) -> str | None:
        """File of the client's certificate, or None."""

    @property
    def key_file(self) -> str | None:
        """File of the client's key, or None."""

    @property
    def verify_ssl(self) -> bool:
        """False if the server's certificate is not checked."""


async def load() -> ClientConfiguration:
    """Return address and credentials.

    Raises:
        CredentialsError: There is neither a ServiceAccount nor a kubeconfig.
    """
    if service_account.is_in_pod():
        return service_account.load()
    return await _of_kubeconfig()


async def _of_kubeconfig() -> ClientConfiguration:
    # Imported late: no pod needs the package, whose import takes a second of a slow machine.
    from kubernetes.aio.client import Configuration  # noqa: PLC0415
    from kubernetes.aio.config import ConfigException, load_kube_config  # noqa: PLC0415

    configuration: ClientConfiguration = Configuration()
    # The package reads the variable once, when it is imported.
    path = os.environ.get("KUBECONFIG") or None
    try:
        await load_kube_config(path, client_configuration=configuration)
    except ConfigException as error:
        raise CredentialsError(str(error)) from error
    return configuration


async def authorization(access: Any) -> str | None:
    """Return the current `Authorization` header, or None without a token.

    Tokens are replaced while we run: a ServiceAccount reads its file again, a configuration has a
    hook that reloads them.
    """
    if isinstance(access, ServiceAccount):
        return access.authorization()
    hook = access.refresh_api_key_hook
    if hook is not None:
        result = hook(access)
        if inspect.isawaitable(result):
            await result
    settings = await access.auth_settings()
    token = settings.get("BearerToken") or {}
    value: str | None = token.get("value") or None
    return value
