"""Orders that a page of another site makes a browser send, with what the browser remembers.

Browsers say by `Sec-Fetch-Site`, older ones by `Origin`, which site a request comes from. Programs
send neither, and go on as they are.
"""

from typing import Final
from urllib.parse import urlsplit

from falcon.asgi import Request, Response

from corejob_api.errors import forbidden
from corejob_api.signin import COOKIE

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})
"""`none`: the user, by the address bar or a bookmark."""


def is_foreign(req: Request) -> bool:
    """Whether a browser sends this for a page of another origin."""
    site = req.get_header("Sec-Fetch-Site")
    if site is not None:
        return site.strip().lower() not in _OWN_SITES
    origin = req.get_header("Origin")
    if origin is None:
        return False
    # A proxy may have changed Host. A page can't set the other header without being asked (CORS).
    own = {(req.get_header(name) or "").lower() for name in ("Host", "X-Forwarded-Host")}
    try:
        host = urlsplit(origin).netloc.lower()
    except ValueError:
        return True
    return not host or host not in own


class Origins:
    """Refuses orders of foreign pages, but for those of the origins that may call.

    Args:
        allowed: As in the setting of CORS. `*` allows only what a browser doesn't add by itself:
            no cookie and no remembered password.
    """

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._any = "*" in allowed
        self._allowed = frozenset(allowed) - {"*"}

    def admits(self, req: Request) -> bool:
        """Whether no page sends this but our own and those of the named origins."""
        return not is_foreign(req) or req.get_header("Origin") in self._allowed

    async def process_request(self, req: Request, _resp: Response) -> None:
        """Before a body is read.

        Raises:
            ApiError: 403.
        """
        if req.method in _SAFE or self.admits(req):
            return
        if self._any and not _has_what_browsers_add(req):
            return
        raise forbidden(
            f"{req.method} is not taken from a page of another origin: name it in the setting "
            "corsOrigins, or send a token in the header Authorization and no cookie"
        )


def _has_what_browsers_add(req: Request) -> bool:
    scheme = (req.get_header("Authorization") or "").strip().partition(" ")[0].lower()
    return scheme == "basic" or bool(req.cookies.get(COOKIE))
