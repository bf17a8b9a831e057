"""Enqueue jobs (docs/rest.md, "Enqueue"): validate the whole request before creating anything."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from corejob import ids, lineage
from corejob.args import nul_problem, number_problem
from corejob.identity import identity
from corejob.limits import MAX_ARGS, MAX_ARGS_JSON
from corejob.names import MANAGER_API
from corejob.nesting import MAX_VALUE_DEPTH, is_deep
from corejob.properties import split_args
from corejob_api.auth.users import User
from corejob_api.commands.claims import (
    Claims,
    IdempotencyKey,
    JobClaim,
    KeyMisusedError,
    TooManyKeysError,
)
from corejob_api.commands.pending_creates import TakenError
from corejob_api.commands.store_health import StoreHealth
from corejob_api.http.arguments import Arguments
from corejob_api.http.errors import ApiError, bad_request, cut, forbidden, too_many
from corejob_api.queue.args_schema import BadSchemaError
from corejob_api.queue.catalogue import Catalogue, Template
from corejob_api.queue.index import Queue
from corejob_api.queue.jobs import Jobs
from corejob_journal.store import StoreError
from corejob_kube.client import Kube
from corejob_kube.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    KubeError,
    QuotaContendedError,
    UnavailableError,
)
from corejob_kube.resources import COREJOBS
from corejob_process.clock import Clock
from corejob_process.keyed_locks import KeyedLocks

MAX_ARGS_BYTES: Final = MAX_ARGS_JSON
"""Size of the args as JSON. The pod gets them as an annotation; an object's annotations are limited
to 256 KiB in total.
"""
_MAX_KEY: Final = 255
_TRIES: Final = 4
_SMALL: Final = 4096
"""Characters, values and names up to which args are checked in the event loop."""


@dataclass(frozen=True, slots=True)
class EnqueueRequest:
    """A validated enqueue request.

    Attributes:
        args: The job's keyword arguments, without the settable properties.
        properties: The settable properties, by their field in the spec.
        fingerprint: Identity of qual_name and args.
    """

    user: str
    hostname: str
    qual_name: str
    args: Mapping[str, Any]
    properties: Mapping[str, Any]
    fingerprint: str

    def spec(self) -> dict[str, Any]:
        """Return the spec of the CoreJob."""
        return {
            "qualName": self.qual_name,
            "args": dict(self.args),
            **self.properties,
            "username": self.user,
            "hostname": self.hostname,
        }


def idempotency_key(header: str | None) -> str | None:
    """Validate and return the header `Idempotency-Key`; None if the request has no such header.

    Raises:
        ApiError: 400, the header is empty, too long or has characters that are not printable.
    """
    if header is None:
        return None
    if not 0 < len(header) <= _MAX_KEY or not header.isprintable():
        raise bad_request(f"header [Idempotency-Key] expects 1 to {_MAX_KEY} printable characters")
    return header


class Enqueue:
    """Validates enqueue requests and creates their CoreJobs."""

    def __init__(
        self,
        *,
        kube: Kube,
        namespace: str,
        store_health: StoreHealth,
        catalogue: Catalogue,
        queue: Queue,
        jobs: Jobs,
        claims: Claims,
        locks: KeyedLocks,
        queue_limit: int,
        now: Clock,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._store_health = store_health
        self._catalogue = catalogue
        self._queue = queue
        self._jobs = jobs
        self._claims = claims
        self._locks = locks
        self._limit = queue_limit
        self._now = now

    async def validate(self, arguments: Arguments, user: User, hostname: str) -> EnqueueRequest:
        """Validate the arguments of an enqueue and return the request.

        Raises:
            ApiError: 400, an argument is invalid; 403, the user may not execute the job; 404,
                there is no such job.
        """
        qual_name = arguments.text("qual_name")
        args = arguments.mapping("args")
        template = self._catalogue.get(qual_name)
        if template is None:
            raise ApiError(404, f"job [{qual_name[:300]}] not found")
        if not user.may_execute(qual_name):
            raise forbidden(f"no permission to execute job [{qual_name}]")
        if _is_small(args):
            properties, rest, fingerprint = _validated(template, args)
        else:
            # In a thread, since checking a mebibyte of args would block the event loop for long.
            properties, rest, fingerprint = await asyncio.to_thread(_validated, template, args)
        await _check_schema(template, rest)
        return EnqueueRequest(user.name, hostname, qual_name, rest, properties, fingerprint)

    async def create(self, request: EnqueueRequest, key: str | None) -> str:
        """Create the job and return its id.

        Args:
            request: The validated request.
            key: Idempotency-Key. If an earlier request had the same key, return the id of its job.

        Raises:
            ApiError: 400, a job of this qual_name and args is in the queue; 409, the key stands for
                another job; 429, the queue is full; 503, the store can't be written.
            StoreUnavailable: The store is unavailable.
        """
        if key is None:
            async with self._locks.lock(request.fingerprint):
                return await self._create(request, ids.new_id(self._now()))
        async with self._locks.lock(f"{request.user}\0{key}"):
            return await self._create_once(request, key)

    async def _create_once(self, request: EnqueueRequest, key: str) -> str:
        for _ in range(_TRIES):
            claimed = await self._take_key(request, key)
            if claimed.claim.is_new:
                break
            if await self._jobs.find(claimed.job_id):
                return claimed.job_id
            if await self._claims.adopt_key(claimed):
                break
        else:
            raise ConflictError(409, "Conflict", "the Idempotency-Key is contested")
        try:
            async with self._locks.lock(request.fingerprint):
                return await self._create(request, claimed.job_id)
        except (ApiError, KubeError, StoreError) as error:
            # Otherwise a client that sends bad requests, each with a new key, would fill the
            # cluster with Leases.
            if claimed.claim.is_new and not _may_exist(error):
                await self._claims.release_key(request.user, claimed)
            raise

    async def _take_key(self, request: EnqueueRequest, key: str) -> IdempotencyKey:
        own, fingerprint = ids.new_id(self._now()), _key_fingerprint(request)
        try:
            return await self._claims.take_key(request.user, key, fingerprint, own)
        except KeyMisusedError:
            raise ApiError(
                409, "this Idempotency-Key was used before with another qual_name or other args"
            ) from None
        except TooManyKeysError:
            raise too_many(
                f"user [{request.user}] has used too many Idempotency-Keys within a day; leave the "
                "header out, or ask for a higher api.idempotencyKeyLimit"
            ) from None

    async def _create(self, request: EnqueueRequest, job_id: str) -> str:
        # Refuse the job if its log could not be stored and would have to stay on its node.
        await self._store_health.check()
        duplicate_id = self._queue.duplicate_of(request.fingerprint)
        if duplicate_id is not None and duplicate_id != job_id:
            raise _exists(request)
        if len(self._queue) >= self._limit:
            raise too_many(
                f"the queue is full: {len(self._queue)} jobs, the limit is {self._limit}"
            )
        try:
            claim = await self._claims.take(request.fingerprint, job_id)
        except TakenError:
            raise _exists(request) from None
        await self._create_resource(request, job_id, claim)
        return job_id

    async def _create_resource(self, request: EnqueueRequest, job_id: str, claim: JobClaim) -> None:
        body = lineage.manifest(job_id, self._namespace, request.spec())
        try:
            created = await self._kube.create(COREJOBS, self._namespace, body, manager=MANAGER_API)
        except AlreadyExistsError:
            # The race of two requests with one Idempotency-Key: the other one, in another replica,
            # has created the same job.
            job = await self._jobs.fetch(job_id)
        except KubeError as error:
            if _may_exist(error):
                raise  # the claim stays until it is known if the job exists
            await self._claims.release(claim)
            if isinstance(error, InvalidError):
                raise bad_request(error.message) from None
            raise
        else:
            job = self._queue.put(created)
        if job is not None:
            self._claims.confirm(claim, job)


def _may_exist(error: Exception) -> bool:
    """True if the object may exist although its create request failed."""
    return isinstance(error, UnavailableError) and not isinstance(error, QuotaContendedError)


def _exists(request: EnqueueRequest) -> ApiError:
    args = msgspec.json.encode(request.args).decode()
    return bad_request(f"job [{request.qual_name}] exists with args {cut(args)}")


def _key_fingerprint(request: EnqueueRequest) -> str:
    """Return the identity of qual_name, args and properties: a retry must repeat all of them."""
    return identity(request.qual_name, {"args": request.args, "properties": request.properties})


def _validated(
    template: Template, args: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any], str]:
    """Validate the args; return the settable properties, the other args, and the job's identity."""
    try:
        properties, rest = split_args(args)
    except ValueError as error:
        raise bad_request(str(error)) from None
    _check_size(rest)
    _check_values(template, rest)
    return properties, rest, identity(template.qual_name, rest)


def _is_small(args: Mapping[str, Any]) -> bool:
    """True if the args have few and short values; the count stops as soon as they have not."""
    left = _SMALL
    rest: list[Any] = [args]
    while rest:
        value = rest.pop()
        left -= len(value) if isinstance(value, str | list | Mapping) else 1
        if left <= 0:
            return False
        if isinstance(value, Mapping):
            left -= sum(len(name) for name in value)
            rest += value.values()
        elif isinstance(value, list):
            rest += value
    return True


def _check_size(args: Mapping[str, Any]) -> None:
    if len(args) > MAX_ARGS:
        raise bad_request(f"parameter [args] has {len(args)} names; at most {MAX_ARGS} are allowed")
    if is_deep(args):
        raise bad_request(f"parameter [args] is nested deeper than {MAX_VALUE_DEPTH} levels")
    size = len(msgspec.json.encode(args))
    if size > MAX_ARGS_BYTES:
        raise bad_request(
            f"parameter [args] has {size} bytes as JSON; at most {MAX_ARGS_BYTES} are allowed"
        )


def _check_values(template: Template, args: Mapping[str, Any]) -> None:
    problem = number_problem(args) or (nul_problem(args) if template.is_container else None)
    if problem is not None:
        raise bad_request(f"parameter [args]: {problem}")


async def _check_schema(template: Template, args: Mapping[str, Any]) -> None:
    if template.args_schema is None:
        return
    try:
        problem = await template.args_schema.problem(args)
    except BadSchemaError as error:
        raise bad_request(
            f"the argsSchema of CoreJobTemplate [{template.name}] can't be used: {error}"
        ) from None
    if problem is not None:
        raise bad_request(f"args of job [{template.qual_name}]: {problem}")
