"""Tokens: their claims, and that only our own are accepted."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from tests.unit.api.signin_app import SECRET, FakeClock

from corejob_api.auth.tokens import ExpiredError, Tokens
from corejob_api.auth.users import User

JANE = User("jane", password_digest=b"jane's")
OTHER = b"another-key-another-key-another-key"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def tokens(clock: FakeClock) -> Tokens:
    return Tokens(SECRET, clock)


def claims(clock: FakeClock, **changes: Any) -> dict[str, Any]:
    issued = int(clock().timestamp())
    made = {"sub": "admin", "iat": issued, "exp": issued + 3600, "pwf": "0" * 32, **changes}
    return {name: value for name, value in made.items() if value is not None}


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_an_issued_token_can_be_read(tokens: Tokens, clock: FakeClock) -> None:
    found = tokens.read(tokens.issue(User("jane@example.com")))
    assert found.name == "jane@example.com"
    assert found.issued_at == clock()
    assert found.expires_at - found.issued_at == timedelta(hours=8)
    assert not tokens.is_old(found)


def test_claims_by_their_registered_names(tokens: Tokens, clock: FakeClock) -> None:
    raw = jwt.decode(tokens.issue(JANE), options={"verify_signature": False})
    issued = int(clock().timestamp())
    assert len(bytes.fromhex(raw.pop("pwf"))) == 16
    expires = issued + 8 * 3600
    assert raw == {"sub": "jane", "iat": issued, "exp": expires, "auth_time": issued}


def test_a_token_is_of_one_user_with_one_password(tokens: Tokens, clock: FakeClock) -> None:
    claims = tokens.read(tokens.issue(JANE))
    assert tokens.is_of(claims, JANE)
    assert Tokens(SECRET, clock).is_of(claims, replace(JANE, perms=("api://core4/r",)))
    assert not tokens.is_of(claims, replace(JANE, password_digest=b"another"))
    assert not tokens.is_of(claims, replace(JANE, name="jim"))
    assert not Tokens(OTHER, clock).is_of(claims, JANE)


def test_a_fingerprint_reveals_neither_a_password_nor_equal_ones(tokens: Tokens) -> None:
    jane, jim = (tokens.read(tokens.issue(replace(JANE, name=name))) for name in ("jane", "jim"))
    assert jane.fingerprint != jim.fingerprint
    assert JANE.password_digest.hex() not in jane.fingerprint
    assert jane.fingerprint not in repr(jane)


@pytest.mark.parametrize("fingerprint", ["", "ä", "\udc80", 1, [], {}])
def test_a_made_up_fingerprint_is_refused(
    tokens: Tokens, clock: FakeClock, fingerprint: Any
) -> None:
    raw = json.dumps(claims(clock, sub="jane", pwf=fingerprint)).encode()
    token = jwt.PyJWS().encode(raw, SECRET, algorithm="HS256")
    assert not tokens.is_of(tokens.read(token), JANE)


def test_age(tokens: Tokens, clock: FakeClock) -> None:
    token = tokens.issue(JANE)
    clock.move(hours=1)
    assert not tokens.is_old(tokens.read(token))
    clock.move(seconds=1)
    assert tokens.is_old(tokens.read(token))
    clock.move(hours=7)
    with pytest.raises(ValueError, match="the token has expired"):
        tokens.read(token)


def test_no_renewal_lives_longer_than_the_most_age_since_the_password(clock: FakeClock) -> None:
    tokens = Tokens(SECRET, clock, most_age=timedelta(hours=20))
    ends = clock() + timedelta(hours=20)
    token, renewals = tokens.issue(JANE), 0
    for _ in range(9):
        clock.move(hours=2)
        found = tokens.read(token)
        if tokens.is_old(found):
            token = tokens.issue(JANE, found.signed_in_at)
            renewals += 1
    assert renewals == 6  # at 2, 4, … 12 hours; later renewals would not extend it
    assert tokens.read(token).expires_at == ends
    clock.move(hours=2)
    with pytest.raises(ExpiredError, match="the token has expired"):
        tokens.read(token)


def test_a_token_that_can_live_no_longer_is_not_renewed(clock: FakeClock) -> None:
    tokens = Tokens(SECRET, clock, most_age=timedelta(hours=8))
    token = tokens.issue(JANE)
    clock.move(hours=7)
    assert not tokens.is_old(tokens.read(token))


def test_a_lower_most_age_ends_tokens_that_there_are(tokens: Tokens, clock: FakeClock) -> None:
    token = tokens.issue(JANE)
    clock.move(hours=3)
    strict = Tokens(SECRET, clock, most_age=timedelta(hours=4))
    assert strict.read(token).expires_at == clock() + timedelta(hours=1)
    with pytest.raises(ExpiredError):
        Tokens(SECRET, clock, most_age=timedelta(hours=2)).read(token)


def test_a_token_of_an_earlier_build_is_as_old_as_it_says(clock: FakeClock) -> None:
    tokens = Tokens(SECRET, clock, most_age=timedelta(hours=2))
    body = claims(clock, exp=int(clock().timestamp()) + 8 * 3600)
    assert tokens.read(jwt.encode(body, SECRET)).expires_at == clock() + timedelta(hours=2)


@pytest.mark.parametrize("seconds", [0, 1, 60, 3600, 10**9])
def test_a_rightly_signed_token_is_not_taken_once_it_has_expired(
    tokens: Tokens, clock: FakeClock, seconds: int
) -> None:
    body = claims(clock, iat=0, exp=int(clock().timestamp()) - seconds)
    with pytest.raises(ExpiredError, match="the token has expired"):
        tokens.read(jwt.encode(body, SECRET))


def test_known_good_claims_pass(tokens: Tokens, clock: FakeClock) -> None:
    """The cases below are changes of these claims."""
    assert tokens.read(jwt.encode(claims(clock), SECRET, algorithm="HS256")).name == "admin"


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": None},
        {"sub": 1},
        {"sub": ["admin"]},
        {"iat": None},
        {"exp": None},
        {"pwf": None},
        {"exp": "tomorrow"},
        {"exp": 10**30},
        {"iat": {}},
        {"auth_time": "yesterday"},
        {"auth_time": 10**30},
        {"auth_time": []},
    ],
)
def test_bad_claims(tokens: Tokens, clock: FakeClock, changes: dict[str, Any]) -> None:
    body = claims(clock)
    for name, value in changes.items():
        if value is None:
            del body[name]
        else:
            body[name] = value
    signer = jwt.PyJWS()
    token = signer.encode(json.dumps(body).encode(), SECRET, algorithm="HS256")
    with pytest.raises(ValueError, match="the token is not valid"):
        tokens.read(token)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS256"])
def test_unsigned(tokens: Tokens, clock: FakeClock, algorithm: str) -> None:
    token = f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims(clock))}."
    with pytest.raises(ValueError, match="the token is not valid"):
        tokens.read(token)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_other_algorithm_with_our_key(tokens: Tokens, clock: FakeClock, algorithm: str) -> None:
    signer = jwt.PyJWS()
    body = json.dumps(claims(clock)).encode()
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = signer.encode(body, SECRET, algorithm=algorithm)
    with pytest.raises(ValueError, match="the token is not valid"):
        tokens.read(token)


def test_other_key(tokens: Tokens, clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="the token is not valid"):
        tokens.read(Tokens(OTHER, clock).issue(User("admin")))


def test_exchanged_name(tokens: Tokens, clock: FakeClock) -> None:
    header, _, signature = tokens.issue(JANE).split(".")
    with pytest.raises(ValueError, match="the token is not valid"):
        tokens.read(f"{header}.{part(claims(clock))}.{signature}")


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a.b.c", "garbage", "ä.ö.ü", "x" * 10_000, "\x00"]
)
def test_garbage(tokens: Tokens, token: str) -> None:
    with pytest.raises(ValueError, match="the token is not valid"):
        tokens.read(token)


def test_the_signature_of_a_token_is_checked_once(
    tokens: Tokens, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    decode = jwt.decode

    def counted(token: str, *args: Any, **options: Any) -> Any:
        checked.append(token)
        return decode(token, *args, **options)

    monkeypatch.setattr(jwt, "decode", counted)
    token = tokens.issue(JANE)
    assert tokens.read(token) == tokens.read(token)
    assert checked == [token]
    # A remembered token still expires, and one with a wrong signature is never remembered.
    clock.move(hours=9)
    with pytest.raises(ExpiredError):
        tokens.read(token)
    for _ in range(2):
        with pytest.raises(ValueError, match="not valid"):
            tokens.read(token[:-2] + "xx")
    assert len(checked) == 3
