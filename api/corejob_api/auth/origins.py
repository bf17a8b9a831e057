"""Protection against cross-site request forgery.

Browsers send the site of a request's page in `Sec-Fetch-Site`, older ones in `Origin`. Other
clients send neither header and are not affected.
"""

from typing import Final
from urllib.parse import urlsplit

from falcon.asgi import Request, Response

from corejob_api.auth.signin import COOKIE
from corejob_api.http.errors import forbidden

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})
"""`none`: the request was made by the user, by the address bar or a bookmark."""


def is_foreign(req: Request) -> bool:
    """Return True if a browser sends this request for a page of another origin."""
    site = req.get_header("Sec-Fetch-Site")
    if site is not None:
        return site.strip().lower() not in _OWN_SITES
    origin = req.get_header("Origin")
    if origin is None:
        return False
    # A proxy may have changed Host. A page can't set X-Forwarded-Host without a CORS preflight.
    own = {(req.get_header(name) or "").lower() for name in ("Host", "X-Forwarded-Host")}
    try:
        host = urlsplit(origin).netloc.lower()
    except ValueError:
        return True
    return not host or host not in own


class OriginCheck:
    """Refuses unsafe requests of foreign pages, except those of the allowed origins.

    Args:
        allowed: Origins of the CORS setting. `*` allows only requests without credentials that a
            browser adds by itself: neither the cookie nor a remembered password.
    """

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._any = "*" in allowed
        self._allowed = frozenset(allowed) - {"*"}

    def admits(self, req: Request) -> bool:
        """Return True unless a page sends this that is neither ours nor of a named origin."""
        return not is_foreign(req) or req.get_header("Origin") in self._allowed

    async def process_request(self, req: Request, _resp: Response) -> None:
        """Check the origin before the body is read.

        Raises:
            ApiError: 403, a foreign page sent an unsafe request.
        """
        if req.method in _SAFE or self.admits(req):
            return
        if self._any and not _has_what_browsers_add(req):
            return
        raise forbidden(
            f"{req.method} is refused from a page of another origin: add the origin to "
            "corsOrigins, or "
            "send a token in the header Authorization and no cookie"
        )


def _has_what_browsers_add(req: Request) -> bool:
    scheme = (req.get_header("Authorization") or "").strip().partition(" ")[0].lower()
    return scheme == "basic" or bool(req.cookies.get(COOKIE))
