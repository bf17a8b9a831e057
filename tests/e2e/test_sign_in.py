"""Sign-in while others guess, and what refused requests and foreign pages leave behind.

All requests come from one address here, so that only their users differ: the worst case.
"""

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from tests.e2e.values import CLERK, GUEST, READER
from tests.support.jobs import DUMMY
from tests.support.release import Release
from tests.support.rest import Rest
from tests.support.waiting import until

pytestmark = pytest.mark.cluster

GUESSERS = 50
# A check takes a second and more when all tests run at once.
SECONDS = 300


@pytest.fixture(scope="module")
def rest(own_release: Release) -> Iterator[Rest]:
    """The administrator's client of a release to which no other user has signed in."""
    with own_release.rest() as client:
        yield client


@contextmanager
def guessing(release: Release, user: str) -> Iterator[Counter[int]]:
    """Send wrong passwords of a user over 50 connections without a pause."""
    statuses: Counter[int] = Counter()
    over = threading.Event()

    def guess(number: int) -> None:
        tries = 0
        while not over.is_set():
            with release.rest(user, f"{number} {tries}") as client:
                statuses[client.call("GET", "profile", timeout=SECONDS).status_code] += 1
            tries += 1

    with ThreadPoolExecutor(GUESSERS) as pool:
        guesses = [pool.submit(guess, number) for number in range(GUESSERS)]
        try:
            until(lambda: statuses.total() >= 5, what="guesses are answered", seconds=SECONDS)
            yield statuses
        finally:
            over.set()
    for one in guesses:
        one.result()


def signs_in(release: Release, user: str) -> bool:
    with release.rest(user, user) as client:
        return client.call("GET", "profile", timeout=SECONDS).status_code == 200


def test_wrong_passwords_of_one_user_keep_nobody_from_signing_in(own_release: Release):
    """At their first sign-in, from the address of the guessing clients."""
    with guessing(own_release, CLERK) as statuses:
        assert all(signs_in(own_release, user) for user in (READER, GUEST) * 5)
    assert signs_in(own_release, CLERK)
    assert set(statuses) <= {401, 429}
    said = own_release.kubectl("logs", own_release.pod("api"), "-c", "api")
    assert f"failed sign-in of user [{CLERK}] from [" in said
    assert f"user [{READER}]" not in said
    with Rest(own_release.health, None) as nobody:
        metrics = nobody.call("GET", "metrics").text
    assert 'core4_api_failed_sign_ins_total{reason="password"}' in metrics


def test_wrong_passwords_of_nobody_keep_nobody_from_signing_in_after_a_restart(
    own_release: Release,
):
    own_release.kubectl("delete", "pod", own_release.pod("api"))
    own_release.wait_ready()
    with guessing(own_release, "nobody"):
        assert all(signs_in(own_release, user) for user in (READER, GUEST))


def test_refused_orders_leave_no_key_behind(rest: Rest, own_release: Release):
    job_id = rest.enqueue(DUMMY, sleep=600, worker="no-such-node")
    order = {"qual_name": DUMMY, "args": {"sleep": 600, "worker": "no-such-node"}, "follow": False}
    for _ in range(30):
        rest.refused(400, "POST", "job", json=order, headers={"Idempotency-Key": uuid.uuid4().hex})
    leases = own_release.kubectl.items("leases", "-l", "core4.io/claim=key")
    assert leases == []
    order["args"] = {"sleep": 601, "worker": "no-such-node"}
    key = {"Idempotency-Key": uuid.uuid4().hex}
    made = [rest.call("POST", "job", json=order, headers=key).json()["data"] for _ in range(3)]
    assert len(set(made)) == 1
    assert made[0] != job_id
    (lease,) = own_release.kubectl.items("leases", "-l", "core4.io/claim=key")
    assert lease["spec"]["holderIdentity"] == made[0]


def test_a_foreign_page_signs_nobody_in_or_out(own_release: Release):
    pair = {"username": READER, "password": READER}
    with own_release.rest(None) as client:
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
            answer = client.call("GET", "login", params=pair, headers=headers)
            assert (answer.status_code, answer.headers.get("Set-Cookie")) == (200, None)
            answer = client.call("GET", "logout", headers=headers)
            assert (answer.status_code, answer.headers.get("Set-Cookie")) == (403, None)
        # A program's session works as before.
        assert client.call("GET", "login", params=pair).headers["Set-Cookie"]
        assert client.data("GET", "profile")["name"] == READER
        assert client.call("GET", "logout").status_code == 200
        client.refused(401, "GET", "profile")
