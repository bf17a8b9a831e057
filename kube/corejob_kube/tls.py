"""How connections to the API server are encrypted."""

import ssl

from kubernetes.aio.client import Configuration


def context(configuration: Configuration) -> ssl.SSLContext | bool:
    """What aiohttp wants as `ssl`: by the configuration's certificates; False for plain HTTP."""
    if not configuration.host.startswith("https"):
        return False
    tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    # Cluster CAs are made by tools that leave out what VERIFY_X509_STRICT (3.13) wants.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if configuration.cert_file:
        tls.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return tls
