"""Requests that anybody may send to the public port without signing in."""

import base64
import concurrent.futures
import socket
from typing import Any

import pytest
import requests
from tests.attacks.names import OPEN
from tests.attacks.scripts import SECONDS, run
from tests.support.raw_http import connected, many, status
from tests.support.release import Release
from tests.support.rest import BASE, Rest
from tests.support.waiting import until

JOB = f"{BASE}/job".encode()
BODY = 2**20
BASIC = b"Authorization: Basic " + base64.b64encode(b"admin:hans") + b"\r\n"
# Far less than the attack's 270 MB, far more than the metrics of an idle service.
MOST_METRICS = 200_000


def metrics(release: Release) -> str:
    answer = requests.get(f"{release.health}/metrics", timeout=30)
    assert answer.status_code == 200
    return answer.text


def request(
    method: bytes = b"GET", path: bytes = JOB, version: bytes = b"1.1", headers: bytes = b""
) -> bytes:
    return b"%s %s HTTP/%s\r\nHost: x\r\n%sConnection: close\r\n\r\n" % (
        method,
        path,
        version,
        headers,
    )


@pytest.mark.parametrize("number", [100, pytest.param(1800, marks=pytest.mark.thorough)])
def test_methods_and_paths_that_nobody_knows_do_not_grow_the_metrics(
    release: Release, number: int
) -> None:
    for n in range(number):
        long = b"Q%06d" % n + b"B" * 60_000
        assert status(release.root, request(method=long)) in {400, 405, 501}
        assert status(release.root, request(path=b"/%06d" % n + b"p" * 50_000)) in {400, 404}
        assert status(release.root, request(headers=b"H%06d: 1\r\n" % n)) == 401
    text = metrics(release)
    assert len(text) < MOST_METRICS
    assert "BBBB" not in text
    assert "pppp" not in text
    assert requests.get(f"{release.root}/metrics", timeout=30).status_code == 404


def upload(headers: bytes = b"") -> bytes:
    head = b"POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n" % (JOB, headers, BODY)
    return head + b"x" * (BODY - 10)


CHUNKED = (
    b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % JOB
    + b"80000\r\n"
    + b"x" * 0x80000
)
UPLOADS = {"with a length": upload(), "in chunks": CHUNKED, "signed in": upload(BASIC)}


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("with a length", 300),
        ("signed in", 300),
        *(
            pytest.param(kind, number, marks=pytest.mark.thorough)
            for kind, number in (("in chunks", 300), *((kind, 500) for kind in UPLOADS))
        ),
    ],
)
def test_uploads_that_stay_open_take_a_bounded_memory(
    release: Release, rest: Rest, alice: Rest, kind: str, number: int
) -> None:
    with many(release.root, number, UPLOADS[kind]):
        assert rest.call("GET", "job").status_code == 200
        # The sender has used up only its own share of the memory for bodies.
        run(alice, f"print({kind!r}, {number})")
        assert release.readiness()[0] == 200


def ends(connection: socket.socket) -> bool:
    """Send one more byte, and return True if the server has closed the connection."""
    connection.settimeout(1)
    try:
        connection.sendall(b"x")
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


@pytest.mark.thorough
@pytest.mark.parametrize("number", [200, 3000])
def test_connections_that_send_half_a_head_hold_nobody_up(
    release: Release, rest: Rest, number: int
) -> None:
    with many(release.root, number, b"GET /core4/api/v1/job HTTP/1.1\r\nHost: x\r\nA: ") as slow:
        assert isinstance(rest.queue(), list)
        assert release.readiness()[0] == 200
        # A byte now and then does not keep the connection open.
        until(lambda: ends(slow[0]), what="the connection is closed", seconds=SECONDS, every=1)


def test_a_version_of_http_that_is_not_spoken_is_no_trace_in_the_log(release: Release) -> None:
    for version in (b"0.9", b"1.2", b"2.0", b"9.9"):
        assert status(release.root, request(version=version)) in {400, 505}
    assert status(release.root, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") in {400, 505}


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("signed_in", [False, True])
def test_a_form_of_half_a_million_fields_is_refused_at_once(
    release: Release, rest: Rest, signed_in: bool
) -> None:
    with release.rest(None) as nobody:
        sender = rest if signed_in else nobody
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            sent = [
                pool.submit(sender.call, "POST", "job", data="a&" * 524_287, headers=FORM)
                for _ in range(16)
            ]
            answers = {one.result().status_code for one in sent}
        assert answers <= {400, 401, 413, 503}
        assert answers & ({400, 503} if signed_in else {401, 413})


FORGED: tuple[dict[str, Any], ...] = (
    {"data": {"qual_name": OPEN, "args": "{}", "follow": "0"}},
    {"files": {"qual_name": (None, OPEN), "follow": (None, "0")}},
    {
        "data": f'{{"qual_name": "{OPEN}", "follow": false}}',
        "headers": {"Content-Type": "text/plain"},
    },
)


def test_a_page_of_another_site_enqueues_nothing(release: Release, rest: Rest) -> None:
    before = {row["_id"] for row in rest.queue()}
    with release.rest() as victim:
        for site in ("cross-site", "same-site"):
            browser = {"Origin": "http://evil.example", "Sec-Fetch-Site": site}
            for sent in FORGED:
                headers = {**sent.get("headers", {}), **browser}
                victim.refused(403, "POST", "job", **{**sent, "headers": headers})
    assert {row["_id"] for row in rest.queue()} <= before


def test_answers_tell_browsers_not_to_guess_frame_or_keep_them(release: Release) -> None:
    with release.rest() as client:
        answer = client.call("GET", "login")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors" in answer.headers["Content-Security-Policy"]
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.thorough
def test_bodies_that_come_a_byte_a_time_end_in_a_408(release: Release) -> None:
    head = b"POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: 1000\r\n\r\n" % (JOB, BASIC)
    with connected(release.root) as slow:
        slow.settimeout(SECONDS)
        slow.sendall(head + b"{")
        assert slow.recv(4096).startswith(b"HTTP/1.1 408")
