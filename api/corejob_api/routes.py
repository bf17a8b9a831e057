"""The table of all routes."""

from typing import Protocol

from corejob_api.auth.session import Login, Logout, Profile
from corejob_api.commands.resource import Actions
from corejob_api.counts.resource import History
from corejob_api.http.routing import Handler, Route
from corejob_api.logs.resource import Log
from corejob_api.past.resource import Journal
from corejob_api.queue.resource import Listings

_PAGE = ("page", "per_page", "sort", "order", "filter")
_LISTING = (*_PAGE, "search")
_PAST = ("page", "per_page_past", "sort", "order", "filter", "search", "cursor")
_SPAN = ("page", "perPage", "startDate", "endDate", "direction")
_RECORDS = ("level", "grep", "since", "tail")
_VIEW = (*_RECORDS, "last_event_id")
_RESTART = ("follow", *_VIEW)
_ENQUEUE = ("qual_name", "args", "follow", "idempotency_key", *_VIEW)


class Handlers(Protocol):
    """The handlers of all routes."""

    listings: Listings
    journal: Journal
    log: Log
    history: History
    actions: Actions
    login: Login
    logout: Logout
    profile: Profile

    @property
    def openapi(self) -> Handler:
        """Handler that returns the OpenAPI document."""


def table(to: Handlers) -> tuple[Route, ...]:
    """Return all routes below `routing.BASE`."""
    return (
        Route("GET", "/job", to.listings.queue, "List the queue.", _LISTING, "jobs"),
        Route("POST", "/job", to.actions.enqueue, "Enqueue a job.", _ENQUEUE,
              "id or stream", (404, 409, 429)),
        Route("POST", "/job/enqueue", to.actions.enqueue, "Enqueue a job.", _ENQUEUE,
              "id or stream", (404, 409, 429)),
        Route("GET", "/job/queue", to.listings.queue, "List the queue.", _LISTING, "jobs"),
        Route("POST", "/job/queue", to.listings.queue, "List the queue.", _LISTING, "jobs"),
        Route("GET", "/job/list", to.listings.catalogue,
              "List the catalogue: the jobs that you may execute.", _LISTING, "catalogue"),
        Route("GET", "/job/journal", to.journal.list, "List the past jobs.",
              _PAST, "past"),
        Route("GET", "/job/{job_id}", to.listings.detail, "Show a job, current or past.", (),
              "job", (404,)),
        Route("GET", "/job/detail/{job_id}", to.listings.detail, "Show a job, current or past.",
              (), "job", (404,)),
        Route("GET", "/job/follow/{job_id}", to.actions.follow,
              "Follow the states and the log of a job.", _VIEW, "stream", (404,)),
        Route("GET", "/job/log/{job_id}", to.log.get, "Show or follow the log of a job.",
              (*_PAGE, "follow_log", *_VIEW), "records or stream", (404,)),
        Route("PUT", "/job/kill/{job_id}", to.actions.kill, "Kill a job.", (), "done",
              (404, 409)),
        Route("PUT", "/job/restart/{job_id}", to.actions.restart, "Restart a job.", _RESTART,
              "id or stream", (404, 409)),
        Route("PUT", "/job/remove/{job_id}", to.actions.remove, "Take a job out of the queue.",
              (), "done", (404, 409)),
        Route("GET", "/jobs/history", to.history.changes,
              "List how many jobs were in the queue, a row for each change.",
              ("page", "per_page", "direction", "filter"), "counts"),
        Route("GET", "/queue/history", to.history.steps,
              "List how many jobs were in the queue, a row for each step of a span of time.",
              _SPAN, "counts"),
        Route("GET", "/event", to.history.live, "Follow how many jobs are in the queue.", (),
              "summary"),
        *_session(to),
        Route("GET", "/openapi.json", to.openapi, "This document.", (), "document", public=True),
    )  # fmt: skip


def _session(to: Handlers) -> tuple[Route, ...]:
    sign_in = "Sign in; the token is in the answer, in header Token and in a cookie."
    names = ("username", "password")
    return (
        Route("GET", "/login", to.login.on_get, sign_in, names, "token", (401, 429), public=True),
        Route("POST", "/login", to.login.on_post, sign_in, names, "token", (401, 429), public=True),
        Route("GET", "/logout", to.logout.on_get, "Sign out.", public=True),
        Route("POST", "/logout", to.logout.on_post, "Sign out.", public=True),
        Route("GET", "/profile", to.profile.on_get, "Show who you are.", unrestricted=True),
    )
