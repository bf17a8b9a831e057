"""Which requests go through a proxy."""

import pytest

from core4.client import ConfigurationError
from core4.client.proxies import Proxy, parse, proxy_for

PROXY = {"HTTP_PROXY": "http://u:p%40@proxy:3128", "https_proxy": "other:80"}


@pytest.mark.parametrize(
    ("url", "environ", "found"),
    [
        ("http://a/", PROXY, Proxy("proxy", 3128, "Basic dTpwQA==")),
        ("https://a/", PROXY, Proxy("other", 80)),
        ("http://a/", {}, None),
        ("http://a/", {"HTTP_PROXY": ""}, None),
        ("http://a/", {"HTTPS_PROXY": "http://x"}, None),
        ("http://a/", PROXY | {"http_proxy": "http://lower"}, Proxy("lower", 80)),
        ("http://a/", PROXY | {"REQUEST_METHOD": "GET"}, None),
        ("http://localhost:5001/", PROXY, None),
        ("http://127.9.9.9/", PROXY, None),
        ("http://[::1]/", PROXY, None),
        ("http://a/", PROXY | {"NO_PROXY": "*"}, None),
        ("http://a.b.c/", PROXY | {"NO_PROXY": "x, b.c"}, None),
        ("http://a.b.c/", PROXY | {"no_proxy": ".b.c"}, None),
        ("http://a.b.c/", PROXY | {"no_proxy": "*.c"}, None),
        ("http://10.1.2.3/", PROXY | {"no_proxy": "10.0.0.0/8"}, None),
        ("http://xb.c/", PROXY | {"no_proxy": "b.c,,"}, Proxy("proxy", 3128, "Basic dTpwQA==")),
    ],
)
def test_the_environment_names_it(url, environ, found):
    assert proxy_for(url, environ) == found


@pytest.mark.parametrize("text", ["socks5://a", "http://", "http://a:x", "https://a"])
def test_other_proxies_are_refused(text):
    with pytest.raises(ConfigurationError):
        parse(text)


def test_the_url_of_a_proxy_has_brackets_around_an_ipv6_address():
    assert parse("http://[fd00::1]:80").url == "http://[fd00::1]:80"
