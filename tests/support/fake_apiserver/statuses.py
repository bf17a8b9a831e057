"""Error responses of the API server."""

from typing import Any

from aiohttp import web

Body = dict[str, Any]


class ApiError(Exception):
    """A request that the API server refuses."""

    def __init__(self, code: int, message: str, reason: str = "Refused") -> None:
        super().__init__(message)
        self.body: Body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }

    def response(self) -> web.Response:
        """Return the response."""
        return failure(self.body)


def failure(body: Body) -> web.Response:
    """Return the response of a Status, such as one recorded from a real API server."""
    return web.json_response(body, status=body["code"])


def refuse(code: int, message: str, reason: str = "Refused") -> web.Response:
    """Return an error response."""
    return ApiError(code, message, reason).response()


def quota_contended() -> web.Response:
    """Return Kubernetes 1.37's response to a create that conflicts on a ResourceQuota."""
    message = (
        'Operation cannot be fulfilled on resourcequotas "count": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return refuse(409, message, "Conflict")


def quota_exceeded(plural: str, name: str = "l-425", group: str = "core4.io") -> web.Response:
    """Return Kubernetes' response to a create that exceeds a ResourceQuota."""
    counted = f"count/{plural}.{group}"
    message = (
        f'{plural}.{group} "{name}" is forbidden: exceeded quota: count, '
        f"requested: {counted}=1, used: {counted}=500, limited: {counted}=500"
    )
    return refuse(403, message, "Forbidden")
