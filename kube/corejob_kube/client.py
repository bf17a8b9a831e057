"""A thin asynchronous client of the Kubernetes API: JSON in, JSON out, and two kinds of streams.

Credentials are those of the pod's ServiceAccount, or of a kubeconfig by the rules of the official
`kubernetes` package. Its generated models are not used: to convert each watched object takes most
of the time.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from corejob_kube import credentials, tls
from corejob_kube.credentials import ClientConfiguration
from corejob_kube.decoding import LIST_LEVELS, Decoder
from corejob_kube.errors import (
    KubeError,
    QuotaContendedError,
    UnavailableError,
    for_status,
)
from corejob_kube.resources import Resource
from corejob_process import tasks

MERGE_PATCH = "application/merge-patch+json"
JSON = "application/json"
_CONNECT_TIMEOUT_S = 5.0
_QUOTA_PAUSES_S = (0.05, 0.1, 0.2, 0.4)
"""Seconds before each retry; the API server has retried four times itself, without a pause."""
_LINE_LIMIT = 2**22
"""Maximum bytes of a line, which is a watch event: more than etcd's limit (1.5 MiB), quoted."""


class Kube:
    """A client with one connection pool to one API server. Use as an async context manager.

    Args:
        configuration: Address and credentials.
        user_agent: Name of the process for the API server's logs.
        request_timeout: Seconds that a request may take; streams have no such limit.
        quota_pauses: Seconds before each retry of a create that conflicts on a ResourceQuota.

    Attributes:
        decoder: Decodes the answers, including objects that are nested too deeply.
        quota_pauses: As given.
        draining: Tasks that read the rest of responses whose readers have left.
    """

    def __init__(
        self,
        configuration: ClientConfiguration,
        *,
        user_agent: str,
        request_timeout: float = 30.0,
        quota_pauses: Sequence[float] = _QUOTA_PAUSES_S,
    ) -> None:
        self._configuration = configuration
        self._base = configuration.host.rstrip("/")
        self._user_agent = user_agent
        self._request_timeout = request_timeout
        self.quota_pauses = quota_pauses
        self._session: aiohttp.ClientSession | None = None
        self.draining: set[asyncio.Task[None]] = set()
        self.decoder = Decoder()

    @classmethod
    async def load(cls, *, user_agent: str) -> "Kube":
        """Return a client for the cluster of our own pod, else of the user's kubeconfig."""
        return cls(await credentials.load(), user_agent=user_agent)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls.context(self._configuration), limit=0),
            headers={"User-Agent": self._user_agent, "Accept": JSON},
            read_bufsize=_LINE_LIMIT,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await tasks.cancel(*self.draining)
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None,
        body: bytes | None,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
        buffer: int = _LINE_LIMIT,
        linger: float = 0.0,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("the client is not open: use it in an `async with`")
        headers = {"Content-Type": content_type} if body is not None else {}
        value = await credentials.authorization(self._configuration)
        if value is not None:
            headers["Authorization"] = value
        try:
            response = await self._session.request(
                method,
                self._base + path,
                params=params,
                data=body,
                headers=headers,
                timeout=timeout,
                read_bufsize=buffer,
            )
            try:
                if response.status >= 400:
                    raise await _refusal(response)
                yield response
            finally:
                self._release(response, linger)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            text = str(error) or type(error).__name__
            raise UnavailableError(
                503, "Unreachable", f"no answer from Kubernetes: {text}"
            ) from error

    def _release(self, response: aiohttp.ClientResponse, linger: float) -> None:
        """Release the connection of a response, which closes it if the response has not ended."""
        if not linger or response.content.at_eof():
            _leave(response)
            return
        task = asyncio.create_task(_drain(response, linger), name="drain")
        self.draining.add(task)
        task.add_done_callback(self.draining.discard)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        levels: int = 0,
    ) -> Any:
        """Send one request; return the decoded JSON of the answer.

        Args:
            method: HTTP method.
            path: URL path.
            params: Query parameters.
            body: The request's body, encoded as JSON; None: no body.
            content_type: Content type of the body.
            levels: Levels of the answer around its objects (`decoding`).

        Raises:
            KubeError: The server refused the request (see `corejob_kube.errors`), or did not
                answer.
        """
        data = None if body is None else msgspec.json.encode(body)
        timeout = aiohttp.ClientTimeout(
            total=self._request_timeout, sock_connect=_CONNECT_TIMEOUT_S
        )
        async with self._open(
            method, path, params=params, body=data, content_type=content_type, timeout=timeout
        ) as response:
            try:
                return self.decoder.decode(await response.read(), levels)
            except msgspec.DecodeError as error:
                # The answer comes from a proxy in between, not from the API server.
                text = f"the answer of {path} is no JSON: {error}"
                raise UnavailableError(503, "NoJson", text) from error

    async def get(
        self, resource: Resource, namespace: str, name: str, *, sub: str = ""
    ) -> dict[str, Any]:
        """Return one object, or its sub-resource `sub`, which may be all that the role allows.

        Raises:
            NotFoundError: The object does not exist.
        """
        answer: dict[str, Any] = await self.request("GET", resource.path(namespace, name, sub))
        return answer

    async def list(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        selector: str = "",
        fields: str = "",
        page: int = 500,
        keep: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """Return all objects of a collection, read in pages, and the list's resource version.

        Args:
            resource: Their kind.
            namespace: Their namespace; None: all namespaces.
            selector: Label selector.
            fields: Field selector.
            page: Maximum number of objects in a page.
            keep: Returns the part of an object to keep, page by page; None keeps all.
        """
        params = {"limit": str(page)}
        if fields:
            params["fieldSelector"] = fields
        if selector:
            params["labelSelector"] = selector
        items: list[dict[str, Any]] = []
        while True:
            answer = await self.request(
                "GET", resource.path(namespace), params=params, levels=LIST_LEVELS
            )
            objects = answer.get("items") or []
            items += objects if keep is None else _kept(objects, keep)
            token = answer["metadata"].get("continue")
            if not token:
                return items, answer["metadata"]["resourceVersion"]
            params["continue"] = token

    async def version(self, resource: Resource, namespace: str) -> int:
        """Return the present resource version of a collection: that of a list made now."""
        params = {"limit": "1"}
        path = resource.path(namespace)
        answer = await self.request("GET", path, params=params, levels=LIST_LEVELS)
        return int(answer["metadata"]["resourceVersion"])

    async def create(
        self,
        resource: Resource,
        namespace: str,
        body: Mapping[str, Any],
        *,
        manager: str,
        strict: bool = False,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Create an object.

        Args:
            resource: Its kind.
            namespace: Its namespace.
            body: The object.
            manager: Its field manager.
            strict: Refuse unknown and duplicate fields (`fieldValidation=Strict`), which the server
                drops silently otherwise.
            dry_run: Run all checks, including admission, but store nothing.

        Raises:
            AlreadyExistsError: An object of this name exists.
            InvalidError: The object breaks its schema or a validation rule.
            QuotaExceededError: A ResourceQuota has no room for the object.
            QuotaContendedError: Concurrent requests kept updating a ResourceQuota, after some
                retries.
        """
        path, params = resource.path(namespace), {"fieldManager": manager}
        params |= {"fieldValidation": "Strict"} if strict else {}
        params |= {"dryRun": "All"} if dry_run else {}
        answer: dict[str, Any]
        for pause in self.quota_pauses:
            try:
                answer = await self.request("POST", path, params=params, body=body)
            except QuotaContendedError:
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  # no secret
            else:
                return answer
        answer = await self.request("POST", path, params=params, body=body)
        return answer

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        manager: str,
        sub: str = "",
    ) -> dict[str, Any]:
        """Merge-patch an object (RFC 7386), or its sub-resource `sub`.

        With `metadata.resourceVersion` in `body`, raise ConflictError if the object has changed.
        """
        answer: dict[str, Any] = await self.request(
            "PATCH",
            resource.path(namespace, name, sub),
            params={"fieldManager": manager},
            body=body,
            content_type=MERGE_PATCH,
        )
        return answer

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        grace: int | None = None,
        propagation: str = "Background",
        uid: str | None = None,
        version: str | None = None,
    ) -> dict[str, Any] | None:
        """Delete an object; do nothing if it is gone already, or is not the one that is meant.

        Returns:
            The object if it stays for a while, for its finalizers or its grace period; else None.
            None also if another deletion came first: then the API server answers with the object as
            it was about to store it, without a resource version (apiserver, registry/store.go).

        Args:
            resource: Its kind.
            namespace: Its namespace.
            name: Its name.
            grace: A pod's grace period in seconds; None: that of the pod.
            propagation: Policy for its dependents (`propagationPolicy`).
            uid: Delete only the object of this uid, not a later one of the same name.
            version: Delete it only if it still has this resource version.
        """
        options: dict[str, Any] = {"propagationPolicy": propagation}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        conditions = {"uid": uid, "resourceVersion": version}
        preconditions = {key: value for key, value in conditions.items() if value is not None}
        if preconditions:
            options["preconditions"] = preconditions
        try:
            answer = await self.request("DELETE", resource.path(namespace, name), body=options)
        except KubeError as error:
            if error.status not in {404, 409}:
                raise
            return None
        stays = {"deletionTimestamp", "resourceVersion"} <= (answer.get("metadata") or {}).keys()
        return answer if stays else None

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        params: Mapping[str, str],
        idle: float | None,
        buffer: int = _LINE_LIMIT,
        linger: float = 0.0,
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """Open a long-lived GET (a watch, or a followed log); yield the raw body.

        Args:
            path: URL path.
            params: Query parameters.
            idle: Seconds without a byte after which the connection counts as dead; None: no limit.
            buffer: Bytes to read ahead (up to twice as many) of a slow reader; also the maximum
                length of a line for a reader of lines.
            linger: Seconds that the response has to end after its reader has left, so that its
                connection can be used again: a handshake costs more than a short log.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S, sock_read=idle)
        async with self._open(
            "GET",
            path,
            params=params,
            body=None,
            content_type=JSON,
            timeout=timeout,
            buffer=buffer,
            linger=linger,
        ) as response:
            yield response.content


def _leave(response: aiohttp.ClientResponse) -> None:
    """Release the connection of a response; close it at once if the response has not ended.

    A proper end of TLS waits for the server, and a process that ends does not wait for it.
    """
    connection = None if response.content.at_eof() else response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.release()


async def _drain(response: aiohttp.ClientResponse, seconds: float) -> None:
    """Read the rest of a response; close its connection if it does not end in time."""
    try:
        async with asyncio.timeout(seconds):
            async for _ in response.content.iter_any():
                pass
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        pass
    finally:
        _leave(response)


def _kept(
    objects: Sequence[dict[str, Any]], keep: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[dict[str, Any]]:
    kept = []
    for body in objects:
        try:
            kept.append(keep(body))
        except (AttributeError, LookupError, TypeError, ValueError):
            kept.append(body)  # malformed: the caller decides
    return kept


async def _refusal(response: aiohttp.ClientResponse) -> KubeError:
    raw = await response.read()
    details: Any = None
    try:
        status = msgspec.json.decode(raw)
        reason, message = str(status.get("reason")), str(status.get("message"))
        details = status.get("details")
    except (msgspec.DecodeError, AttributeError):
        reason, message = str(response.reason), raw[:500].decode("utf-8", "replace")
    after = response.headers.get("Retry-After", "")
    return for_status(
        response.status,
        reason,
        message,
        float(after) if after.isdigit() else None,
        details if isinstance(details, dict) else {},
    )
