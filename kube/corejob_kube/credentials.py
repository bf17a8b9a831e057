"""Address and credentials of the API server, by the rules of the official package.

They come from the ServiceAccount in a pod, and from the user's kubeconfig elsewhere.
"""

import inspect
import os

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config


async def load() -> Configuration:
    """Return the client configuration.

    Raises:
        kubernetes.aio.config.ConfigException: There is neither a ServiceAccount nor a kubeconfig.
    """
    configuration = Configuration()
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        load_incluster_config(client_configuration=configuration)
    else:
        # The package reads the variable once, when it is imported.
        path = os.environ.get("KUBECONFIG") or None
        await load_kube_config(path, client_configuration=configuration)
    return configuration


async def authorization(configuration: Configuration) -> str | None:
    """Return the current `Authorization` header, or None without a token.

    ServiceAccount tokens rotate; the configuration's hook reloads them.
    """
    hook = configuration.refresh_api_key_hook
    if hook is not None:
        result = hook(configuration)
        if inspect.isawaitable(result):
            await result
    settings = await configuration.auth_settings()
    token = settings.get("BearerToken") or {}
    return token.get("value") or None
