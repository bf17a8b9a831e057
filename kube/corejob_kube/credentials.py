"""Where the API server is, and how we say who we are: the official package's rules.

In a pod: the ServiceAccount. Elsewhere: the user's kubeconfig.
"""

import inspect
import os

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config


async def load() -> Configuration:
    """The configuration.

    Raises:
        kubernetes.aio.config.ConfigException: There is neither.
    """
    found = Configuration()
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        load_incluster_config(client_configuration=found)
    else:
        await load_kube_config(client_configuration=found)
    return found


async def authorization(configuration: Configuration) -> str | None:
    """The `Authorization` header, fresh: ServiceAccount tokens rotate, and the hook renews them."""
    hook = configuration.refresh_api_key_hook
    if hook is not None:
        result = hook(configuration)
        if inspect.isawaitable(result):
            await result
    settings = await configuration.auth_settings()
    token = settings.get("BearerToken") or {}
    return token.get("value") or None
