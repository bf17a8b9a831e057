"""TLS of the connections to the API server."""

import ssl

from corejob_kube.credentials import ClientConfiguration


def context(configuration: ClientConfiguration) -> ssl.SSLContext | bool:
    """Return aiohttp's `ssl` argument: a context with the certificates; False for plain HTTP."""
    if not configuration.host.startswith("https"):
        return False
    tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    # Cluster CAs often lack extensions that VERIFY_X509_STRICT (default since 3.13) requires.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if configuration.cert_file:
        tls.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return tls
