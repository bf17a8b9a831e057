"""The user of a request."""

from falcon.asgi import Request

from corejob_api.auth.users import User
from corejob_api.http import call


def current_user(req: Request) -> User:
    """Return the signed-in user.

    Raises:
        TypeError: The resource is public, so nobody is signed in.
    """
    user = call.of(req).user
    if not isinstance(user, User):
        raise TypeError("a public resource has no user")
    return user
