"""A client of the REST API, for one user."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import requests
from tests.support.sse import TIMEOUT, WAIT_SECONDS, Stream
from tests.support.waiting import until

BASE = "/core4/api/v1"
FINAL = ("complete", "error", "inactive", "killed")
_ALL = 1000


class Rest:
    """Calls one service as one user. Arguments go into a JSON body, with every method.

    Args:
        url: the service's URL with the base path.
        user: name of the user; None is anonymous.
        password: password of the user.
    """

    def __init__(self, url: str, user: str | None = "admin", password: str = "hans") -> None:
        self.url = url
        self._session = requests.Session()
        # A proxy of the environment can't reach the cluster's addresses.
        self._session.trust_env = False
        if user is not None:
            self._session.auth = (user, password)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def by_token(self) -> "Rest":
        """Return a client with a token of the same user, since each password check is slow."""
        found = Rest(self.url, None)
        found._session.headers["Authorization"] = f"Bearer {self.data('GET', 'login')['token']}"
        return found

    @property
    def authorization(self) -> str:
        """The `Authorization` header of a client with a token, for other HTTP libraries."""
        return str(self._session.headers["Authorization"])

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send one request with options of `requests`, and return the response of any status."""
        options.setdefault("timeout", TIMEOUT)
        return self._session.request(method, f"{self.url}/{path}", **options)

    def answer(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """Return the envelope of a request that must succeed."""
        response = self.call(method, path, json=arguments)
        assert response.status_code == 200, f"{method} {path} {arguments}: {response.text}"
        envelope: dict[str, Any] = response.json()
        return envelope

    def data(self, method: str, path: str, **arguments: Any) -> Any:
        """Return the data of a request that must succeed."""
        return self.answer(method, path, **arguments)["data"]

    def refused(self, status: int, method: str, path: str, **options: Any) -> str:
        """Return the error text of a request that must fail with this status."""
        response = self.call(method, path, **options)
        said = f"{method} {path} {options}: {response.status_code} {response.text}"
        assert response.status_code == status, said
        envelope = response.json()
        assert envelope["code"] == status, said
        assert "data" not in envelope, said
        text: str = envelope["error"]
        return text

    def stream(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **arguments: Any
    ) -> Stream:
        """Return the event stream of a request that must succeed. Use it in a `with`.

        The stream has event ids, unless `headers` change `Accept`.
        """
        headers = {"Accept": "text/event-stream", **(headers or {})}
        response = self.call(method, path, json=arguments, headers=headers, stream=True)
        assert response.status_code == 200, f"{method} {path} {arguments}: {response.text}"
        return Stream(response)

    def enqueue(self, qual_name: str, **args: Any) -> str:
        """Enqueue a job and return its id."""
        job_id: str = self.data("POST", "job", qual_name=qual_name, args=args, follow=False)
        return job_id

    def run(self, qual_name: str, **args: Any) -> Stream:
        """Enqueue a job and follow it."""
        return self.stream("POST", "job", qual_name=qual_name, args=args)

    def follow(self, job_id: str, *, last_event_id: str | None = None) -> Stream:
        """Follow a job, from the event after `last_event_id` on."""
        headers = None if last_event_id is None else {"Last-Event-ID": last_event_id}
        return self.stream("GET", f"job/follow/{job_id}", headers=headers)

    def kill(self, job_id: str) -> None:
        """Kill a job."""
        assert self.data("PUT", f"job/kill/{job_id}") is True

    def remove(self, job_id: str) -> None:
        """Remove a job."""
        assert self.data("PUT", f"job/remove/{job_id}") is True

    def restart(self, job_id: str) -> str:
        """Restart a job and return the id of the job that runs then."""
        new: str = self.data("PUT", f"job/restart/{job_id}", follow=False)
        return new

    def detail(self, job_id: str) -> dict[str, Any]:
        """Return a job's document."""
        document: dict[str, Any] = self.data("GET", f"job/{job_id}")
        return document

    def queue(self, **arguments: Any) -> list[dict[str, Any]]:
        """Return the rows of the queue, up to 1,000."""
        rows: list[dict[str, Any]] = self.data("GET", "job", per_page=_ALL, **arguments)
        return rows

    def log(self, job_id: str) -> list[dict[str, Any]]:
        """Return all records of a job's log that are stored so far."""
        records: list[dict[str, Any]] = []
        while True:
            page = len(records) // _ALL
            answer = self.answer("GET", f"job/log/{job_id}", page=page, per_page=_ALL)
            records += answer["data"]
            if len(answer["data"]) < _ALL:
                return records

    def whole_log(self, job_id: str) -> list[dict[str, Any]]:
        """Return all records of a job that has ended, after waiting until all are stored."""
        with self.stream("GET", f"job/log/{job_id}", follow=True) as stream:
            stream.to_close()
        return self.log(job_id)

    def has_gap(self, job_id: str) -> bool:
        """True if the stream of a job that has ended has a `gap` frame."""
        with self.follow(job_id) as stream:
            stream.to_close()
        return bool(stream.of("gap"))

    def messages(self, job_id: str) -> list[str]:
        """Return the messages of the log of a job that has ended."""
        return [record["message"] for record in self.whole_log(job_id)]

    def wait(
        self,
        job_id: str,
        accept: Callable[[dict[str, Any]], bool],
        *,
        what: str,
        seconds: float = WAIT_SECONDS,
    ) -> dict[str, Any]:
        """Wait until a job's document is accepted, and return it."""
        return until(
            lambda: self.detail(job_id),
            accept,
            what=f"job {job_id} {what}",
            seconds=seconds,
            ignoring=(requests.ConnectionError,),
        )

    def wait_state(
        self, job_id: str, *states: str, seconds: float = WAIT_SECONDS
    ) -> dict[str, Any]:
        """Wait until a job is in one of the states, and return its document."""
        return self.wait(
            job_id,
            lambda document: document["state"] in states,
            what=f"is {' or '.join(states)}",
            seconds=seconds,
        )

    def wait_journaled(self, job_id: str, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """Wait until a job has left the queue, and return its document."""
        return self.wait(job_id, lambda doc: bool(doc["journal"]), what="is past", seconds=seconds)

    def wait_known(self, job_id: str) -> dict[str, Any]:
        """Wait until the API's cache has a job created by kubectl, and return its document."""
        until(
            lambda: self.call("GET", f"job/{job_id}").status_code,
            lambda status: status == 200,
            what=f"job {job_id} is known",
        )
        return self.detail(job_id)

    def wait_listed(self, qual_name: str) -> None:
        """Wait until a new template is in the catalogue."""
        until(
            lambda: self.data("GET", "job/list", filter={"_id": qual_name}),
            what=f"{qual_name} is in the catalogue",
        )

    def empty_queue(self, seconds: float = WAIT_SECONDS, *, but: str = "") -> None:
        """Kill and remove all jobs except that of id `but`, and wait until they are gone."""
        until(
            lambda: self._remove_all(but),
            lambda rows: not rows,
            what="the queue is empty",
            seconds=seconds,
            ignoring=(requests.ConnectionError,),
        )

    def _remove_all(self, but: str) -> list[dict[str, Any]]:
        rows = [row for row in self.queue() if row["_id"] != but]
        for row in rows:
            # A job may be removed already and go on, if it started just before.
            for action, flag in (("kill", "killed"), ("remove", "removed")):
                if not row["flag"][flag]:
                    # 404: the job has left the queue meanwhile.
                    response = self.call("PUT", f"job/{action}/{row['_id']}")
                    assert response.status_code in {200, 404}, response.text
        return rows
