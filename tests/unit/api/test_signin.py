"""Authentication: all ways to sign in, their precedence, and refusals."""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.api.signin_app import CHEAP, HANS, USERS, SigninApp, signin_app

from corejob_api.auth.users import User

CHALLENGE = 'Basic realm="core4"'
JANE = ("jane", "pässword:1")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SigninApp]:
    with signin_app(tmp_path) as made:
        yield made


@pytest.fixture
async def client(service: SigninApp) -> AsyncIterator[httpx.AsyncClient]:
    async with service.client() as made:
        yield made


def basic(name: str, password: str, *, encoding: str = "utf-8") -> dict[str, str]:
    pair = base64.b64encode(f"{name}:{password}".encode(encoding)).decode()
    return {"Authorization": f"Basic {pair}"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def cookie(token: str) -> dict[str, str]:
    return {"Cookie": f"token={token}"}


async def echo(
    client: httpx.AsyncClient,
    *,
    headers: dict[str, str] | None = None,
    body: dict[str, Any] | None = None,
    **params: str,
) -> Any:
    answer = await client.request("GET", "/echo", params=params, headers=headers, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def refused(
    client: httpx.AsyncClient, *, headers: dict[str, str] | None = None, **params: str
) -> str:
    answer = await client.get("/echo", params=params, headers=headers)
    assert answer.status_code == 401, answer.text
    assert answer.headers["WWW-Authenticate"] == CHALLENGE
    assert answer.json()["code"] == 401
    assert "data" not in answer.json()
    text: str = answer.json()["error"]
    return text


async def test_nothing_given_is_a_401_with_a_challenge(client: httpx.AsyncClient) -> None:
    assert await refused(client) == "not signed in"


@pytest.mark.parametrize(("name", "password"), [("admin", "hans"), JANE])
async def test_basic_with_a_hash_and_with_a_plain_password(
    client: httpx.AsyncClient, name: str, password: str
) -> None:
    assert (await echo(client, headers=basic(name, password)))["user"] == name


async def test_basic_in_latin_1_as_requests_sends_it(client: httpx.AsyncClient) -> None:
    assert (await echo(client, headers=basic(*JANE, encoding="latin-1")))["user"] == "jane"


@pytest.mark.parametrize("scheme", ["basic", "BASIC"])
async def test_scheme_of_basic_in_any_case(client: httpx.AsyncClient, scheme: str) -> None:
    header = basic("admin", "hans")["Authorization"].replace("Basic", scheme)
    assert (await echo(client, headers={"Authorization": header}))["user"] == "admin"


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("admin", "Hans"),
        ("admin", ""),
        ("admin", "hans "),
        ("jane", "pässword"),
        pytest.param("jane", HANS, id="jane-hash"),
        ("nobody", "hans"),
        ("", ""),
        ("Admin", "hans"),
        ("admi", "hans"),
        ("admin2", "hans"),
        (".*", "hans"),
    ],
)
async def test_wrong_password_or_name(client: httpx.AsyncClient, name: str, password: str) -> None:
    wrong = "wrong username or password"
    assert await refused(client, headers=basic(name, password)) == wrong
    assert await refused(client, username=name, password=password) == wrong


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic %%%",
        "Basic YWRt!aW46aGFucw==",  # correct except for one character
        "Basic YWRtaW46aGFucw",  # without the padding
        "Basic YWRtaW4=",  # no colon
        "Bearer",
        "Bearer x",
        "Bearer a.b.c",
        "Digest username=admin",
        "Token abc",
        "YWRtaW46aGFucw==",
    ],
)
async def test_bad_authorization_header_beats_whatever_else_is_good(
    service: SigninApp, client: httpx.AsyncClient, header: str
) -> None:
    token = service.token("admin")
    headers = {"Authorization": header, **cookie(token)}
    await refused(client, headers=headers, token=token, username="admin", password="hans")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_bearer_in_any_case(
    service: SigninApp, client: httpx.AsyncClient, scheme: str
) -> None:
    headers = {"Authorization": f"{scheme} {service.token('jane')}"}
    assert (await echo(client, headers=headers))["user"] == "jane"


async def test_header_beats_token_beats_username_beats_cookie(
    service: SigninApp, tmp_path: Path
) -> None:
    names = ("by-header", "by-token", "by-name", "by-cookie")
    users = [{"name": name, "password": "secret"} for name in names]
    with signin_app(tmp_path, users) as made:
        token, cookies = made.token("by-token"), cookie(made.token("by-cookie"))
        pair: dict[str, Any] = {"username": "by-name", "password": "secret"}
        async with made.client() as client:
            headers = {**basic("by-header", "secret"), **cookies}
            assert (await echo(client, headers=headers, token=token, **pair))["user"] == names[0]
            assert (await echo(client, headers=cookies, token=token, **pair))["user"] == names[1]
            assert (await echo(client, headers=cookies, **pair))["user"] == names[2]
            assert (await echo(client, headers=cookies))["user"] == names[3]


async def test_the_first_sign_in_of_a_request_counts_even_if_it_fails(
    service: SigninApp, client: httpx.AsyncClient
) -> None:
    good = service.token("admin")
    await refused(client, headers=cookie(good), token="bad", username="admin", password="hans")
    await refused(client, headers=cookie(good), token="")
    await refused(client, headers=cookie(good), username="admin", password="bad")
    await refused(client, headers=cookie(good), username="admin")
    await refused(client, headers=cookie("bad"))
    await refused(client, headers=cookie(""))


async def test_password_alone_is_not_a_way_to_sign_in(
    service: SigninApp, client: httpx.AsyncClient
) -> None:
    await refused(client, password="hans")
    found = await echo(client, headers=cookie(service.token("jane")), password="hans")
    assert found == {"user": "jane", "arguments": {}}


async def test_sign_in_arguments_are_removed_even_if_unused(
    client: httpx.AsyncClient,
) -> None:
    pair: dict[str, Any] = {"username": "admin", "password": "hans"}
    assert await echo(client, **pair, other="1") == {"user": "admin", "arguments": {"other": "1"}}
    unused = {"token": [1], "username": {}, "password": 3, "other": 2}
    found = await echo(client, headers=basic("admin", "hans"), body=unused)
    assert found == {"user": "admin", "arguments": {"other": 2}}


async def test_body_beats_query(client: httpx.AsyncClient) -> None:
    found = await echo(client, username="admin", password="bad", body={"password": "hans"})
    assert found["user"] == "admin"


async def test_number_as_password_and_a_null_token(tmp_path: Path) -> None:
    with signin_app(tmp_path, [{"name": "pin", "password": "1234"}]) as made:
        async with made.client() as client:
            body = {"token": None, "username": "pin", "password": 1234}
            assert (await echo(client, body=body))["user"] == "pin"


async def test_a_username_that_is_not_text_is_a_400(client: httpx.AsyncClient) -> None:
    answer = await client.request("GET", "/echo", json={"username": ["admin"], "password": "hans"})
    assert answer.status_code == 400
    assert answer.json()["error"] == "parameter [username] expected as_type [str]"


async def test_unknown_user_costs_the_same_check_as_a_known_one(
    service: SigninApp, client: httpx.AsyncClient
) -> None:
    for name in ("nobody", "jane", "admin"):
        await refused(client, headers=basic(name, "wrong"))
    assert service.verify.hashes == [HANS] * 3


async def test_right_password_is_checked_once_and_wrong_ones_each_time(
    service: SigninApp, client: httpx.AsyncClient
) -> None:
    for _ in range(3):
        await echo(client, headers=basic("admin", "hans"))
    assert len(service.verify.hashes) == 1
    for _ in range(3):
        await refused(client, headers=basic("admin", "wrong"))
    assert len(service.verify.hashes) == 4


async def test_new_password_ends_the_old_one(
    service: SigninApp, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    await echo(client, headers=basic("jane", "pässword:1"))
    changed = [USERS[0], {**USERS[1], "password": "new"}]
    (tmp_path / "users.json").write_text(json.dumps(changed), encoding="utf-8")
    service.clock.move(seconds=10)
    await refused(client, headers=basic("jane", "pässword:1"))
    await echo(client, headers=basic("jane", "new"))


async def test_removed_user_is_out_with_password_and_token(
    service: SigninApp, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    token = service.token("jane")
    await echo(client, headers=basic(*JANE))
    await echo(client, headers=bearer(token))
    (tmp_path / "users.json").write_text(json.dumps(USERS[:1]), encoding="utf-8")
    service.clock.move(seconds=10)
    await refused(client, headers=basic(*JANE))
    assert await refused(client, headers=bearer(token)) == "the token is not valid"


@pytest.mark.parametrize("name", ["admin", "jane"])
async def test_a_new_password_ends_the_tokens_that_were_issued_under_the_old_one(
    service: SigninApp, client: httpx.AsyncClient, tmp_path: Path, name: str
) -> None:
    old, file = service.token(name), tmp_path / "users.json"
    new = {"admin": {"passwordHash": CHEAP.hash("hans")}, "jane": {"password": "new"}}[name]
    changed = [{**user, **new} if user["name"] == name else user for user in USERS]
    # In place, the file's size and maybe its time would be those of the old one.
    written = tmp_path / "written.json"
    written.write_text(json.dumps(changed), encoding="utf-8")
    written.replace(file)
    service.clock.move(seconds=10)
    for headers in (bearer(old), cookie(old)):
        assert await refused(client, headers=headers) == "the token is not valid"
    assert (await client.get("/login", headers=bearer(old))).status_code == 401
    assert (await echo(client, headers=bearer(service.token(name))))["user"] == name


async def test_tokens_outlive_changes_of_all_but_their_user_s_password(
    service: SigninApp, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    tokens = {name: service.token(name) for name in ("admin", "jane")}
    # joe's is the first hash and sets the decoy of users without one: jane's credential changes.
    joe = {"name": "joe", "passwordHash": CHEAP.hash("joe")}
    changed = [joe, {**USERS[0], "role": []}, {**USERS[1], "realname": "Jane"}]
    (tmp_path / "users.json").write_text(json.dumps(changed), encoding="utf-8")
    service.clock.move(seconds=10)
    for name, token in tokens.items():
        assert (await echo(client, headers=bearer(token)))["user"] == name


async def test_another_process_with_the_same_key_and_users_takes_a_token(
    service: SigninApp, tmp_path: Path
) -> None:
    with signin_app(tmp_path) as other:
        async with other.client() as client:
            for name in ("admin", "jane"):
                headers = bearer(service.token(name))
                assert (await echo(client, headers=headers))["user"] == name


async def test_a_user_who_is_removed_and_added_again_needs_a_new_token(
    service: SigninApp, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    token, file = service.token("jane"), tmp_path / "users.json"
    file.write_text(json.dumps(USERS[:1]), encoding="utf-8")
    service.clock.move(seconds=10)
    await refused(client, headers=bearer(token))
    file.write_text(json.dumps([*USERS[:1], {"name": "jane", "password": "new"}]), encoding="utf-8")
    service.clock.move(seconds=10)
    assert await refused(client, headers=bearer(token)) == "the token is not valid"


async def test_token_of_a_name_that_only_begins_alike(
    service: SigninApp, client: httpx.AsyncClient
) -> None:
    for name in ("adm", "ADMIN", "admin.*", ""):
        await refused(client, headers=bearer(service.tokens.issue(User(name))))


async def test_expired_token(service: SigninApp, client: httpx.AsyncClient) -> None:
    token = service.token("admin")
    service.clock.move(hours=8, seconds=-1)
    await echo(client, token=token)
    service.clock.move(seconds=1)
    assert await refused(client, token=token) == "the token has expired"


async def test_token_older_than_an_hour_is_refreshed(
    service: SigninApp, client: httpx.AsyncClient
) -> None:
    old = service.token("jane")
    service.clock.move(hours=1)
    assert "Token" not in (await client.get("/echo", headers=bearer(old))).headers
    service.clock.move(seconds=1)
    answer = await client.get("/echo", headers=bearer(old))
    assert "Set-Cookie" not in answer.headers
    fresh = answer.headers["Token"]
    service.clock.move(hours=7, minutes=59)
    await refused(client, headers=bearer(old))
    assert (await echo(client, headers=bearer(fresh)))["user"] == "jane"


async def test_old_cookie_is_refreshed_as_a_cookie(
    service: SigninApp, client: httpx.AsyncClient
) -> None:
    old = service.token("jane")
    service.clock.move(hours=2)
    answer = await client.get("/echo", headers=cookie(old))
    assert answer.headers["Token"] != old
    assert answer.headers["Set-Cookie"].startswith(f"token={answer.headers['Token']};")


async def test_passwords_give_no_token_by_themselves(client: httpx.AsyncClient) -> None:
    answer = await client.get("/echo", headers=basic("admin", "hans"))
    assert "Token" not in answer.headers
    assert "Set-Cookie" not in answer.headers
