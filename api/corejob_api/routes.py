"""The table of all routes."""

from dataclasses import dataclass

from corejob_api.auth.session import LoginResource, LogoutResource, ProfileResource
from corejob_api.commands.resource import CommandsResource
from corejob_api.counts.resource import CountsResource
from corejob_api.http.routing import Handler, Route
from corejob_api.logs.resource import LogResource
from corejob_api.meta import MetaResource
from corejob_api.past.resource import PastResource
from corejob_api.queue.resource import QueueResource
from corejob_api.streams.responses import VIEW

_PAGE = ("page", "per_page", "sort", "order", "filter")
_LISTING = (*_PAGE, "search")
_PAST = ("page", "per_page_past", "sort", "order", "filter", "search", "cursor")
_SPAN = ("page", "perPage", "startDate", "endDate", "direction")
_RANGE = ("from", "before", "around", "limit", "ids_only", "count_levels", "format")
_RESTART = ("follow", *VIEW)
_ENQUEUE = ("qual_name", "args", "follow", "idempotency_key", *VIEW)


@dataclass(frozen=True, slots=True)
class Resources:
    """The handlers of all routes, by feature."""

    queue: QueueResource
    past: PastResource
    log: LogResource
    counts: CountsResource
    commands: CommandsResource
    login: LoginResource
    logout: LogoutResource
    profile: ProfileResource
    meta: MetaResource


def table(to: Resources, openapi: Handler) -> tuple[Route, ...]:
    """Return all routes below `routing.BASE`.

    Args:
        to: The handlers.
        openapi: Handler that answers with the OpenAPI document.
    """
    return (
        Route("GET", "/job", to.queue.list_queue, "List the queue.", _LISTING, "jobs"),
        Route("POST", "/job", to.commands.enqueue, "Enqueue a job.", _ENQUEUE,
              "id or stream", (404, 409, 429)),
        Route("POST", "/job/enqueue", to.commands.enqueue, "Enqueue a job.", _ENQUEUE,
              "id or stream", (404, 409, 429)),
        Route("GET", "/job/queue", to.queue.list_queue, "List the queue.", _LISTING, "jobs"),
        Route("POST", "/job/queue", to.queue.list_queue, "List the queue.", _LISTING, "jobs"),
        Route("GET", "/job/list", to.queue.list_catalogue,
              "List the jobs of the catalogue that you may execute.", _LISTING, "catalogue"),
        Route("GET", "/job/journal", to.past.list, "List past jobs.",
              _PAST, "past"),
        Route("GET", "/job/{job_id}", to.queue.detail, "Show a current or past job.", (),
              "job", (404,)),
        Route("GET", "/job/detail/{job_id}", to.queue.detail, "Show a current or past job.",
              (), "job", (404,)),
        Route("GET", "/job/follow/{job_id}", to.commands.follow,
              "Follow the states and the log of a job.", VIEW, "stream", (404,)),
        Route("GET", "/job/log/{job_id}", to.log.get, "List, download or follow the log of a job.",
              (*_PAGE, "follow_log", *VIEW, *_RANGE), "records or stream or text", (404,)),
        Route("PUT", "/job/kill/{job_id}", to.commands.kill, "Kill a job.", (), "done",
              (404, 409)),
        Route("PUT", "/job/restart/{job_id}", to.commands.restart, "Restart a job.", _RESTART,
              "id or stream", (404, 409)),
        Route("PUT", "/job/remove/{job_id}", to.commands.remove, "Remove a job from the queue.",
              (), "done", (404, 409)),
        Route("GET", "/jobs/history", to.counts.changes,
              "List the number of jobs in the queue, one row per change.",
              ("page", "per_page", "direction", "filter"), "counts"),
        Route("GET", "/queue/history", to.counts.steps,
              "List the number of jobs in the queue, one row per time step.",
              _SPAN, "counts"),
        Route("GET", "/event", to.counts.live, "Follow the number of jobs in the queue.", (),
              "summary"),
        *_session(to),
        Route("GET", "/meta", to.meta.get,
              "Show the version, the ways to sign in and the limits.", (), "meta", public=True),
        Route("GET", "/openapi.json", openapi, "This document.", (), "document", public=True),
    )  # fmt: skip


def _session(to: Resources) -> tuple[Route, ...]:
    sign_in = "Sign in; returns a token in the body, in header Token and as a cookie."
    names = ("username", "password")
    return (
        Route("GET", "/login", to.login.on_get, sign_in, names, "token", (401, 429), public=True),
        Route("POST", "/login", to.login.on_post, sign_in, names, "token", (401, 429), public=True),
        Route("GET", "/logout", to.logout.on_get, "Sign out.", public=True),
        Route("POST", "/logout", to.logout.on_post, "Sign out.", public=True),
        Route("GET", "/profile", to.profile.on_get, "Show the signed-in user.", unrestricted=True),
    )
