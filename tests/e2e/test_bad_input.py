"""Each bad input gets a clear response, and nothing of it enters the queue."""

import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from tests.e2e.manifests import template
from tests.e2e.values import CLERK, GUEST, JWT_SECRET, READER
from tests.support.jobs import DUMMY, SEGMENT
from tests.support.kubectl import Kubectl
from tests.support.release import Release
from tests.support.rest import Rest

pytestmark = pytest.mark.cluster

NO_ID = "0" * 24
# Properties of a job that never gets a pod: it need only be in the queue.
NOWHERE = {"worker": "no-such-node"}
STRICT = "e2e.strict.Strict"


@pytest.fixture
def unchanged(rest: Rest) -> Iterator[None]:
    """Check that the bad request changed nothing in the queue."""
    before = [(row["_id"], row["state"], row["flag"]) for row in rest.queue()]
    yield
    assert [(row["_id"], row["state"], row["flag"]) for row in rest.queue()] == before


def enqueue(**body: Any) -> dict[str, Any]:
    """Return the options of a request for `POST /job`."""
    return {"json": {"follow": False, **body}}


# --- the job and its arguments -----------------------------------------------------------------


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", ["core4.no.such.Job", "core4.queue.NoJob", "nodot", DUMMY.lower()])
def test_an_unknown_job(rest: Rest, name):
    assert name in rest.refused(404, "POST", "job", **enqueue(qual_name=name))
    assert name in rest.refused(404, "POST", "job", json={"qual_name": name})


MISSING = "Missing argument qual_name"
BAD_ENQUEUES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, MISSING),
    "null name": ({"qual_name": None}, MISSING),
    "name is a list": ({"qual_name": [DUMMY]}, "parameter [qual_name] expected as_type [str]"),
    "args is text": (
        {"qual_name": DUMMY, "args": "sleep"},
        "parameter [args] expected as_type [dict]",
    ),
    "args is a list": (
        {"qual_name": DUMMY, "args": [1]},
        "parameter [args] expected as_type [dict]",
    ),
    "args is a list in text": (
        {"qual_name": DUMMY, "args": "[1]"},
        "parameter [args] expected as_type [dict]",
    ),
    "args is a number": (
        {"qual_name": DUMMY, "args": 3},
        "parameter [args] expected as_type [dict]",
    ),
    "follow is a word": (
        {"qual_name": DUMMY, "follow": "maybe"},
        "parameter [follow] expected as_type [bool]",
    ),
    "follow is a number": (
        {"qual_name": DUMMY, "follow": 1},
        "parameter [follow] expected as_type [bool]",
    ),
}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("case", BAD_ENQUEUES)
def test_a_missing_or_ill_typed_argument(rest: Rest, case):
    body, text = BAD_ENQUEUES[case]
    assert rest.refused(400, "POST", "job", **enqueue(**body)) == text


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "body",
    [b"{", b'{"qual_name": ', b"[1, 2]", b'"text"', b"null", b"\xff\xfe\x00", b"[" * 10_000],
    ids=["open", "cut", "list", "text", "null", "not UTF-8", "deep"],
)
def test_a_body_that_is_no_json_object_counts_as_none(rest: Rest, body):
    headers = {"Content-Type": "application/json"}
    assert rest.refused(400, "POST", "job", data=body, headers=headers) == MISSING
    answer = rest.call("GET", "job", data=body, headers=headers)
    assert answer.status_code == 200


BAD_PROPERTIES: list[tuple[str, Any]] = [
    ("attempts", 0),
    ("attempts", "3"),
    ("error_time", -1),
    ("defer_time", 0.5),
    ("defer_max", True),
    ("progress_interval", 0),
    ("zombie_time", "soon"),
    ("wall_time", 0),
    ("max_parallel", -1),
    ("priority", "high"),
    ("force", "yes"),
    ("worker", 7),
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("name", "value"), BAD_PROPERTIES)
def test_a_bad_property_is_named(rest: Rest, name, value):
    args = {"sleep": 600, name: value}
    assert f"[{name}]" in rest.refused(400, "POST", "job", **enqueue(qual_name=DUMMY, args=args))


def test_a_job_that_is_in_the_queue_already(rest: Rest):
    args = {"sleep": 600, "b": {"y": 1, "x": [1]}}
    body: dict[str, Any] = {"qual_name": DUMMY, "args": args | NOWHERE}
    job_id = rest.data("POST", "job", follow=False, **body)
    again: list[dict[str, Any]] = [
        body,
        {"qual_name": DUMMY, "args": {"b": {"x": [1], "y": 1}, "sleep": 600}},
        {"qual_name": DUMMY, "args": {"b": {"x": [1], "y": 1}, "sleep": 600, "priority": 5}},
    ]
    for same in again:
        text = rest.refused(400, "POST", "job", **enqueue(**same))
        assert text.startswith(f"job [{DUMMY}] exists with args ")
    rest.kill(job_id)
    text = rest.refused(400, "POST", "job", json=body)
    assert text.startswith(f"job [{DUMMY}] exists with args ")
    assert [row["_id"] for row in rest.queue()] == [job_id]
    other = rest.enqueue(DUMMY, sleep="600", b={"y": 1, "x": [1]}, **NOWHERE)
    assert other != job_id


@pytest.mark.usefixtures("unchanged")
def test_args_that_do_not_fit_the_schema_of_the_template(rest: Rest, kubectl: Kubectl):
    schema = {
        "type": "object",
        "properties": {"number": {"type": "integer"}},
        "required": ["number"],
        "additionalProperties": False,
    }
    kubectl.apply(template(STRICT, argsSchema=schema))
    rest.wait_listed(STRICT)
    for args in ({}, {"number": "one"}, {"number": 1, "more": 2}):
        text = rest.refused(400, "POST", "job", **enqueue(qual_name=STRICT, args=args))
        assert "number" in text or "more" in text


# --- ids, actions, listings --------------------------------------------------------------------

BY_ID = [
    ("GET", "job/detail"),
    ("GET", "job/follow"),
    ("GET", "job/log"),
    ("PUT", "job/kill"),
    ("PUT", "job/restart"),
    ("PUT", "job/remove"),
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("method", "path"), BY_ID)
def test_an_id_that_is_missing_malformed_or_unknown(rest: Rest, method, path):
    assert rest.refused(400, method, path)
    for malformed in ("xyz", NO_ID[:-1], f"{NO_ID}0", "g" * 24, "%00"):
        assert rest.refused(400, method, f"{path}/{malformed}")
    assert rest.refused(404, method, f"{path}/{NO_ID}") == f"job [{NO_ID}] not found"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("GET", "kill", "kill"),
        ("GET", f"kill/{NO_ID}", "kill"),
        ("GET", "nonsense", "nonsense"),
        ("POST", "list", "list"),
        ("POST", f"detail/{NO_ID}", "detail"),
        ("PUT", "enqueue", "enqueue"),
        ("PUT", f"follow/{NO_ID}", "follow"),
    ],
)
def test_an_unknown_action(rest: Rest, method, path, action):
    text = rest.refused(405, method, f"job/{path}")
    assert text == f"unknown action {method} [{action}]"


@pytest.mark.usefixtures("unchanged")
def test_unknown_methods_and_addresses(rest: Rest):
    for method in ("DELETE", "PATCH"):
        rest.refused(405, method, "job")
        rest.refused(405, method, f"job/{NO_ID}")
    rest.refused(404, "GET", "jobs")
    rest.refused(404, "GET", "no/such/thing")


BAD_LISTINGS: list[tuple[dict[str, Any], str]] = [
    ({"page": "one"}, "parameter [page] expected as_type [int]"),
    ({"page": "1.5"}, "parameter [page] expected as_type [int]"),
    ({"page": [1]}, "parameter [page] expected as_type [int]"),
    ({"per_page": 0}, "per_page"),
    ({"per_page": -1}, "per_page"),
    ({"per_page": "many"}, "parameter [per_page] expected as_type [int]"),
    ({"filter": "{"}, "parameter [filter] expected as_type [dict]"),
    ({"filter": [1]}, "parameter [filter] expected as_type [dict]"),
    ({"filter": {"state": {"$near": 1}}}, "$near"),
    ({"filter": {"$where": "sleep(1000)"}}, "$where"),
    ({"filter": {"$and": {"a": 1}}}, "$and"),
    ({"filter": {"a": {"$in": 1}}}, "$in"),
    ({"filter": {"a": {"$regex": "("}}}, "regex"),
    ({"filter": {"a": {"$regex": r"(a)\1"}}}, "regex"),
    ({"filter": {"a": {"$regex": "((x{1,100}){1,100}){1,100}"}}}, "regex"),
    ({"sort": {"a": 1}}, "parameter [sort] expected as_type [list]"),
    ({"sort": [["state"]]}, "parameter [sort] expected as_type [list]"),
    ({"sort": [["state", 2]]}, "2"),
]


@pytest.mark.parametrize(("arguments", "text"), BAD_LISTINGS)
def test_a_bad_argument_of_a_listing(rest: Rest, arguments, text):
    for method, path in (("GET", "job"), ("POST", "job/queue"), ("GET", "job/list")):
        said = rest.refused(400, method, path, json=arguments)
        assert said == text if text.startswith("parameter [") else text in said


def test_a_costly_regex_does_not_hang_the_server(rest: Rest):
    rest.enqueue(SEGMENT, segment="a" * 40, **NOWHERE)
    query = {"args.segment": {"$regex": "^(a+)+$|(a|a)*b|(.*a){20}c"}}
    # An engine that tries all ways takes far longer than the client waits.
    answer = rest.call("GET", "job", json={"filter": query})
    assert answer.status_code in {200, 400}


# --- users -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("user", "password"),
    [(None, ""), ("admin", "wrong"), ("admin", ""), ("nobody", "hans"), ("Admin", "hans")],
)
def test_not_signed_in(release: Release, user, password):
    with release.rest(user, password) as client:
        client.refused(401, "POST", "job")
        paths = ["profile", "login"]
        # Checking a wrong password takes time, so the other paths are only tried without a user.
        if user is None:
            client.refused(401, "GET", "job")
            client.refused(401, "PUT", f"job/kill/{NO_ID}")
            paths += ["job/list", "jobs/history", f"job/follow/{NO_ID}"]
        for path in paths:
            answer = client.call("GET", path)
            assert answer.status_code == 401, path
            assert answer.headers["WWW-Authenticate"].startswith("Basic")


def forged(token: str, key: str, **changes: Any) -> str:
    """Return a token with other claims, signed with that key."""
    claims = jwt.decode(token, options={"verify_signature": False})
    algorithm = jwt.get_unverified_header(token)["alg"]
    return jwt.encode(claims | changes, key, algorithm=algorithm)


def test_tokens_that_are_garbage_forged_or_expired(release: Release, rest: Rest):
    good = rest.data("GET", "login")["token"]
    claims = jwt.decode(good, options={"verify_signature": False})
    bad = {
        "garbage": "garbage",
        "empty": "",
        "other key": forged(good, JWT_SECRET[::-1]),
        "no signature": jwt.encode(claims, "", algorithm="none"),
        "cut": good[:-4],
        "expired": forged(good, JWT_SECRET, exp=int(time.time()) - 60),
    }
    with release.rest(None) as client:

        def status(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return client.call("GET", "profile", headers=headers).status_code

        assert status(good) == 200
        assert status(forged(good, JWT_SECRET)) == 200
        assert {name: status(token) for name, token in bad.items()} == dict.fromkeys(bad, 401)
        for name, token in bad.items():
            if token:
                answer = client.call("GET", "profile", params={"token": token})
                assert answer.status_code == 401, name


@pytest.mark.usefixtures("unchanged")
def test_a_user_without_permissions(release: Release):
    with release.rest(GUEST, GUEST) as client:
        assert client.data("GET", "login")["token"]
        for method, path in (("GET", "job"), ("GET", "job/list"), ("PUT", f"job/kill/{NO_ID}")):
            client.refused(403, method, path)
        client.refused(403, "POST", "job", **enqueue(qual_name=DUMMY))


@pytest.mark.usefixtures("unchanged")
def test_a_user_who_may_only_read(release: Release):
    with release.rest(READER, READER) as client:
        assert client.queue() == []
        # The catalogue lists the jobs that the user may execute.
        assert client.data("GET", "job/list") == []
        client.refused(403, "POST", "job", **enqueue(qual_name=DUMMY))
        client.refused(403, "POST", "job/queue")
        client.refused(403, "PUT", f"job/kill/{NO_ID}")


def test_a_user_who_may_execute_one_job_only(rest: Rest, clerk: Rest):
    other = rest.enqueue(SEGMENT, segment=77, **NOWHERE)
    assert [row["_id"] for row in clerk.data("GET", "job/list")] == [DUMMY]
    clerk.refused(403, "POST", "job", **enqueue(qual_name=SEGMENT, args={"segment": 78}))
    own = clerk.enqueue(DUMMY, sleep=600, case="clerk", **NOWHERE)

    rows = {row["_id"]: row for row in clerk.queue()}
    assert list(rows) == [other, own]
    assert (rows[other]["qual_name"], rows[other]["args"]) == ("UnauthorizedJob", None)
    assert (rows[own]["qual_name"], rows[own]["args"]["case"]) == (DUMMY, "clerk")
    for query in ({"args.segment": 77}, {"qual_name": SEGMENT}, {"name": SEGMENT}):
        assert clerk.queue(filter=query) == []
    assert SEGMENT not in clerk.call("GET", "job").text

    for path in ("detail", "follow", "log"):
        clerk.refused(403, "GET", f"job/{path}/{other}")
    for action in ("kill", "restart", "remove"):
        clerk.refused(403, "PUT", f"job/{action}/{other}")
    assert rest.detail(other)["flag"] == {
        "zombie": False,
        "killed": False,
        "removed": False,
        "nonstop": False,
    }
    clerk.refused(404, "GET", f"job/{NO_ID}")
    clerk.kill(own)


def test_a_reader_may_follow_but_not_kill(release: Release, rest: Rest):
    job_id = rest.enqueue(DUMMY, sleep=600, case="read")
    with release.rest(READER, READER) as client:
        assert client.detail(job_id)["args"]["case"] == "read"
        with client.follow(job_id) as stream:
            stream.state("running")
        client.refused(403, "PUT", f"job/kill/{job_id}")
    assert rest.detail(job_id)["flag"]["killed"] is False


# --- errors that only the cluster detects ------------------------------------------------------


def test_images_and_classes_that_are_not_there(rest: Rest, kubectl: Kubectl):
    container = {"name": "job", "imagePullPolicy": "IfNotPresent"}
    kubectl.apply(
        template("e2e.image.Absent", pod={"containers": [container | {"image": "localhost/no:1"}]}),
        template("e2e.image.Bad", pod={"containers": [container | {"image": "No Image"}]}),
        template("e2e.nowhere.Missing"),
        template("core4.queue.job.NoSuchClass"),
        template("json.JSONDecoder"),
    )
    names = ["e2e.nowhere.Missing", "core4.queue.job.NoSuchClass", "json.JSONDecoder"]
    for name in ("e2e.image.Absent", "e2e.image.Bad", *names):
        rest.wait_listed(name)
    absent = rest.enqueue("e2e.image.Absent", attempts=2)
    bad = rest.enqueue("e2e.image.Bad", attempts=2)
    unloadable = [rest.enqueue(name, attempts=2) for name in names]

    document = rest.wait(absent, lambda row: row["reason"] == "ImagePull", what="can't pull")
    assert (document["state"], document["trial"]) == ("pending", 0)
    assert "localhost/no:1" in document["last_error"]["exception"]

    document = rest.wait_state(bad, "error")
    assert (document["reason"], document["attempts_left"]) == ("BadImage", 2)

    for job_id, words in zip(
        unloadable,
        ("ModuleNotFoundError", "has no class [NoSuchClass]", "is no subclass"),
        strict=True,
    ):
        document = rest.wait_state(job_id, "error")
        assert (document["reason"], document["attempts_left"]) == ("BadDefinition", 2)
        assert words in document["last_error"]["exception"]
        with rest.follow(job_id) as stream:
            stream.to_close()
        assert len(stream.messages) == 1
        assert stream.messages[0].startswith("can't load job class [")

    rest.kill(absent)
    assert rest.wait(absent, lambda row: row["killed_at"], what="is killed")["state"] == "killed"


def test_args_that_the_job_does_not_take(rest: Rest):
    surplus = rest.enqueue(SEGMENT, nonsense=1)
    ill_typed = rest.enqueue(SEGMENT, sleep="long")
    no_number = rest.enqueue(DUMMY, sleep="long")
    for job_id, words in ((surplus, "nonsense"), (ill_typed, "str"), (no_number, "number")):
        document = rest.wait_state(job_id, "error")
        assert document["reason"] == "CodeError"
        assert document["last_error"]["exception"].startswith("TypeError(")
        assert words in document["last_error"]["exception"]
        assert rest.messages(job_id).count("start execution") == 1


# --- the form of errors ------------------------------------------------------------------------


def test_errors_in_the_form_that_the_client_accepts(rest: Rest):
    def error(accept: str) -> tuple[str, str]:
        answer = rest.call("GET", f"job/{NO_ID}", headers={"Accept": accept})
        assert answer.status_code == 404
        return answer.headers["Content-Type"].partition(";")[0], answer.text

    kind, text = error("text/html")
    assert kind == "text/html"
    assert text.lstrip().lower().startswith("<!doctype html>")
    assert NO_ID in text
    for accept in ("text/plain", "text/csv"):
        kind, text = error(accept)
        assert kind == accept
        assert f"job [{NO_ID}] not found" in text
        assert "<" not in text
    for accept in ("*/*", "application/json", "image/png"):
        assert error(accept)[0] == "application/json"


def test_an_html_error_escapes_the_text_of_the_client(rest: Rest):
    name = "<script>alert(1)</script>"
    headers = {"Accept": "text/html"}
    answer = rest.call("POST", "job", json={"qual_name": name}, headers=headers)
    assert answer.status_code == 404
    assert "<script>" not in answer.text


GARBAGE: list[dict[str, Any]] = [
    {"data": b"\x00\xff" * 50},
    {"data": b"{" * 5000},
    {"json": [[]]},
    {"json": {"qual_name": {}, "args": "{", "filter": "x", "page": {}, "follow": [], "sort": 1}},
    {"json": {"page": 10**30, "per_page": 10**30}},
    {"json": {"page": -(10**30), "sort": [["a.b.c", 1]] * 50}},
    {"json": {"filter": {"a": {"$not": {"$in": []}}}, "search": "*" * 5000}},
    {"json": {"search": "[(\\", "order": 7}},
    {"json": {"startDate": "x", "endDate": {}}},
    {"params": {"filter": "{", "sort": "[", "page": "\x00"}},
    {"data": b"a=%ff&b", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
    {"data": b"--", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    {"data": b"x", "headers": {"Content-Type": "\xe9/;;=", "Accept": ";;,q=x"}},
    {"headers": {"Last-Event-ID": "x" * 5000, "Accept": "application/json;q=0"}},
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("options", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_never_an_error_of_the_server(rest: Rest, options):
    paths = ["job", "job/list", "job/queue", "job/enqueue", f"job/{NO_ID}", f"job/log/{NO_ID}"]
    paths += [
        f"job/follow/{NO_ID}",
        f"job/kill/{NO_ID}",
        "jobs/history",
        "queue/history",
        "profile",
    ]
    for method in ("GET", "POST", "PUT"):
        for path in paths:
            answer = rest.call(method, path, **options)
            assert answer.status_code < 500, f"{method} {path}: {answer.text}"
            assert "Traceback" not in answer.text


def test_a_body_that_is_too_long(rest: Rest):
    body = {"qual_name": DUMMY, "args": {"text": "x" * 2**21}}
    rest.refused(413, "POST", "job", json=body)
    assert rest.queue() == []


def test_a_clerk_is_told_apart_from_one_with_a_longer_name(release: Release):
    for user in (CLERK[:-1], f"{CLERK}x", f" {CLERK}"):
        with release.rest(user, CLERK) as client:
            client.refused(401, "GET", "profile")
