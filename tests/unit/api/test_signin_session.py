"""`/login`, `/logout` and `/profile`."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.api.signin_app import SigninApp, signin_app

PAIR = {"username": "admin", "password": "hans"}
WAYS: dict[str, dict[str, Any]] = {
    "basic": {"auth": ("admin", "hans")},
    "query": {"params": PAIR},
    "form": {"data": PAIR},
    "multipart": {"files": {name: (None, text) for name, text in PAIR.items()}},
    "json": {"json": PAIR},
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SigninApp]:
    with signin_app(tmp_path) as made:
        yield made


@pytest.fixture
async def client(service: SigninApp) -> AsyncIterator[httpx.AsyncClient]:
    async with service.client() as made:
        yield made


def the_cookie(answer: httpx.Response) -> Any:
    return SimpleCookie(answer.headers["Set-Cookie"])["token"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("way", WAYS)
async def test_login(client: httpx.AsyncClient, method: str, way: str) -> None:
    answer = await client.request(method, "/login", **WAYS[way])
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert list(data) == ["token"]
    assert answer.headers["Token"] == data["token"]
    made = the_cookie(answer)
    assert made.value == data["token"]
    assert (made["path"], made["samesite"], made["max-age"]) == ("/", "Lax", "28800")
    assert made["httponly"]
    client.cookies.clear()
    headers = {"Authorization": f"Bearer {data['token']}"}
    assert (await client.get("/profile", headers=headers)).json()["data"]["name"] == "admin"


async def test_cookie_of_login_signs_in(client: httpx.AsyncClient) -> None:
    await client.post("/login", json=PAIR)
    assert (await client.get("/profile")).json()["data"]["name"] == "admin"


async def test_login_with_a_token_gives_one_that_lives_longer(
    service: SigninApp, client: httpx.AsyncClient
) -> None:
    old = service.token("jane")
    service.clock.move(minutes=30)
    new = (await client.get("/login", params={"token": old})).json()["data"]["token"]
    assert service.tokens.read(new).name == "jane"
    assert service.tokens.read(new).expires_at > service.tokens.read(old).expires_at


async def test_login_with_a_token_does_not_stand_for_the_password(
    service: SigninApp, client: httpx.AsyncClient
) -> None:
    """A stolen token is valid for a week at most, however it is used."""
    token, ends = service.token("jane"), service.clock() + timedelta(days=7)
    while service.clock() + timedelta(hours=7) < ends:
        service.clock.move(hours=7)
        answer = await client.get("/login", params={"token": token})
        assert answer.status_code == 200
        token = answer.json()["data"]["token"]
    assert service.tokens.read(token).expires_at == ends
    service.clock.moment = ends
    for path in ("/login", "/profile"):
        answer = await client.get(path, params={"token": token})
        assert (answer.status_code, answer.json()["error"]) == (401, "the token has expired")


FOREIGN: dict[str, dict[str, str]] = {
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "another port": {"Sec-Fetch-Site": "same-site", "Origin": "http://test:81"},
    "an old browser": {"Origin": "http://evil.example"},
}
OWN: dict[str, dict[str, str]] = {
    "a program": {},
    "own page": {"Sec-Fetch-Site": "same-origin"},
    "address bar": {"Sec-Fetch-Site": "none"},
    "named origin": {"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example.com"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
async def test_a_foreign_page_cannot_sign_a_visitor_in_as_another_user(
    client: httpx.AsyncClient, method: str, way: str, headers: dict[str, str]
) -> None:
    answer = await client.request(method, "/login", headers=headers, **WAYS[way])
    assert answer.status_code == 200
    assert answer.json()["data"]["token"]
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
async def test_a_foreign_page_cannot_sign_users_out(
    client: httpx.AsyncClient, method: str, headers: dict[str, str]
) -> None:
    answer = await client.request(method, "/logout", headers=headers)
    assert answer.status_code == 403
    assert "corsOrigins" in answer.json()["error"]
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("headers", OWN.values(), ids=OWN)
async def test_programs_and_own_pages_sign_in_and_out(
    client: httpx.AsyncClient, method: str, headers: dict[str, str]
) -> None:
    answer = await client.request(method, "/login", headers=headers, params=PAIR)
    assert the_cookie(answer).value == answer.json()["data"]["token"]
    answer = await client.request(method, "/logout", headers=headers)
    assert (answer.status_code, the_cookie(answer).value) == (200, "")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_cookie_is_secure_over_https(service: SigninApp, scheme: str) -> None:
    async with service.client(scheme=scheme) as client:
        made = the_cookie(await client.post("/login", json=PAIR))
    assert bool(made["secure"]) == (scheme == "https")


@pytest.mark.parametrize("body", [{}, {"username": "admin"}, {**PAIR, "password": "x"}])
async def test_login_refused(client: httpx.AsyncClient, body: dict[str, str]) -> None:
    answer = await client.post("/login", json=body)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="core4"'
    assert "Token" not in answer.headers
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_logout_clears_the_cookie(client: httpx.AsyncClient, method: str) -> None:
    await client.post("/login", json=PAIR)
    answer = await client.request(method, "/logout")
    assert answer.status_code == 200
    assert answer.json()["data"] is None
    assert the_cookie(answer).value == ""
    assert the_cookie(answer)["path"] == "/"
    assert not client.cookies
    assert (await client.get("/profile")).status_code == 401


async def test_logout_without_a_sign_in(client: httpx.AsyncClient) -> None:
    headers = {"Authorization": "Bearer garbage"}
    assert (await client.post("/logout", headers=headers)).status_code == 200


async def test_profile_by_password(client: httpx.AsyncClient) -> None:
    answer = await client.get("/profile", auth=("admin", "hans"))
    assert answer.json()["data"] == {
        "_id": "admin",
        "name": "admin",
        "realname": "Administrator",
        "email": "admin@example.com",
        "perm": [],
        "role": ["admin"],
        "can": {"read": True, "log": True, "enqueue": True, "steer": True},
        "token_expires": None,
    }


async def test_profile_by_token(service: SigninApp, client: httpx.AsyncClient) -> None:
    params = {"token": service.token("jane")}
    data = (await client.get("/profile", params=params)).json()["data"]
    assert data["token_expires"] == "2026-03-01T20:00:00"
    assert data["perm"] == ["api://core4/r", "job://example/r"]
    assert (data["realname"], data["email"], data["role"]) == ("", "", [])


async def test_profile_without_a_sign_in(client: httpx.AsyncClient) -> None:
    assert (await client.get("/profile")).status_code == 401
