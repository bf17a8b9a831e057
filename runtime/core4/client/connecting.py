"""Rules of connections that both transports follow."""

from __future__ import annotations

import ssl
from typing import Final

from core4.client.errors import ConfigurationError

IDLE_S: Final = 4.0
"""Seconds for which an unused connection is kept; the service closes it after 5."""


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a context that verifies the server, by the system's authorities or by these.

    Raises:
        ConfigurationError: The file can't be used.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigurationError(f"can't use the certificates in {ca_file}: {error}") from None
