"""The proxy for a server, as the environment names it."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from core4.client.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy.

    Attributes:
        host: Its host.
        port: Its port.
        authorization: Header `Proxy-Authorization`; None without a user.
    """

    host: str
    port: int
    authorization: str | None = None

    @property
    def url(self) -> str:
        """Its URL, without its user."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy of `HTTPS_PROXY` or `HTTP_PROXY` for a URL; None for a direct connection.

    `NO_PROXY` lists hosts, domains and networks that need none, or `*`. Loopback addresses never
    have one. Variables in lower case count too, and first.

    Raises:
        ConfigurationError: It is no HTTP proxy.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    text = _variable(environ, f"{parts.scheme}_proxy")
    if not text or _is_loopback(host) or _is_excepted(host, _variable(environ, "no_proxy")):
        return None
    return parse(text)


def parse(text: str) -> Proxy:
    """Return the proxy that a URL names.

    Raises:
        ConfigurationError: It is no HTTP proxy.
    """
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port or 80
    except ValueError:
        raise ConfigurationError(f"not a URL of a proxy: {text!r}") from None
    if parts.scheme != "http" or not parts.hostname:
        raise ConfigurationError(f"only proxies of the form http://host:port work: {text!r}")
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return Proxy(parts.hostname, port, authorization)


def _variable(environ: Mapping[str, str], name: str) -> str:
    # In a CGI script HTTP_PROXY is a header of the request, which anybody may send.
    if name == "http_proxy" and "REQUEST_METHOD" in environ:
        return environ.get(name, "")
    return environ.get(name) or environ.get(name.upper(), "")


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _is_excepted(host: str, rules: str) -> bool:
    for rule in (part.strip().lower() for part in rules.split(",")):
        if rule == "*":
            return True
        domain = rule.removeprefix("*").lstrip(".")
        if domain and (host == domain or host.endswith(f".{domain}") or _is_within(host, rule)):
            return True
    return False


def _is_within(host: str, rule: str) -> bool:
    address = _address(host)
    try:
        return address is not None and address in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
