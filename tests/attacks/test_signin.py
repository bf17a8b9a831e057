"""Old tokens, and passwords that a job of the cluster guesses.

Guesses from the user's own address, refused requests and foreign pages:
`tests/e2e/test_sign_in.py`.
"""

import json
import time
from typing import Any

import jwt
import pytest
from tests.attacks.names import ALICE, BOB
from tests.attacks.scripts import SECONDS, run
from tests.e2e.values import JWT_SECRET
from tests.support.kubectl import Kubectl
from tests.support.release import PORT, Release
from tests.support.rest import BASE, Rest
from tests.support.scripts import DRAINED
from tests.support.waiting import until

HOUR = 3600
DAY = 24 * HOUR
MOST_AGE = 7 * DAY


@pytest.fixture
def claims(release: Release) -> dict[str, Any]:
    """Return the claims of a fresh token of alice."""
    with release.rest(ALICE, ALICE) as client:
        token = client.data("GET", "login")["token"]
    return read(token)


def read(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, JWT_SECRET, algorithms=["HS256"])
    return found


def bearer(claims: dict[str, Any], **changed: Any) -> dict[str, str]:
    """Return the header with a token that is signed with the service's own key."""
    token = jwt.encode({**claims, **changed}, JWT_SECRET, algorithm="HS256")
    return {"Authorization": f"Bearer {token}"}


def test_renewals_of_a_token_end_a_week_after_the_sign_in(
    release: Release, claims: dict[str, Any]
) -> None:
    now = int(time.time())
    signed_in = now - 6 * DAY - 20 * HOUR
    old = {"iat": now - 3 * HOUR, "exp": now + HOUR, "auth_time": signed_in}
    with release.rest(None) as nobody:
        answer = nobody.call("GET", "profile", headers=bearer(claims, **old))
        assert answer.status_code == 200
        renewed = read(answer.headers["Token"])
        assert renewed["auth_time"] == signed_in
        assert renewed["exp"] == signed_in + MOST_AGE
        by_login = nobody.call("GET", "login", headers=bearer(claims, **old))
        assert read(by_login.json()["data"]["token"])["exp"] <= signed_in + MOST_AGE
        expired = {"iat": now - 9 * HOUR, "exp": now - HOUR}
        nobody.refused(401, "GET", "profile", headers=bearer(claims, **expired))


GUESSES = """
import base64, collections, json, threading, time, urllib.error, urllib.request
codes = collections.Counter()
def guess(number):
    user = ["admin", "bob", "nobody"][number % 3]
    end = time.monotonic() + 30
    n = 0
    while time.monotonic() < end:
        n += 1
        sent = base64.b64encode(f"{user}:{number}-{n}".encode()).decode()
        request = urllib.request.Request("URL", headers={"Authorization": "Basic " + sent})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                codes[answer.status] += 1
        except urllib.error.HTTPError as error:
            codes[error.code] += 1
        if n == 1 and number == 0:
            print("guessing", flush=True)
threads = [threading.Thread(target=guess, args=(number,)) for number in range(64)]
for one in threads:
    one.start()
for one in threads:
    one.join()
print(json.dumps(codes))
"""


@pytest.mark.thorough
def test_a_user_signs_in_beside_somebody_who_guesses_passwords(
    release: Release, rest: Rest, kubectl: Kubectl
) -> None:
    host = kubectl.json("get", "service", "core4-api")["spec"]["clusterIP"]
    url = f"http://{host}:{PORT}{BASE}/profile"
    job_id = run(rest, GUESSES.replace("URL", url) + DRAINED)
    with rest.follow(job_id) as stream:
        stream.line("guessing", seconds=SECONDS)
    with release.rest(BOB, BOB) as bob:
        # A 429 says when to try again.
        until(
            lambda: bob.call("GET", "login", timeout=SECONDS).status_code,
            lambda status: status == 200,
            what="bob has signed in",
            seconds=SECONDS,
            every=1,
        )
    rest.wait_state(job_id, "complete", seconds=SECONDS)
    codes = json.loads(rest.messages(job_id)[-1])
    assert set(codes) <= {"401", "429"}
    assert sum(codes.values()) >= 64
