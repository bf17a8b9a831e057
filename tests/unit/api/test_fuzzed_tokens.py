"""Each token is that of a user, or is refused."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corejob_api.auth.tokens import Tokens

SECRET = b"a secret of thirty-two bytes, or more"
NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
TOKENS = Tokens(SECRET, lambda: NOW)
SECONDS = int(NOW.timestamp())
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
TIMES = st.integers(SECONDS - 10**6, SECONDS + 10**6) | VALUES
CLAIMS = st.fixed_dictionaries(
    {}, optional={"sub": VALUES, "iat": TIMES, "exp": TIMES, "pwf": VALUES, "nbf": VALUES}
)


def encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def signed(claims: dict[str, Any]) -> str:
    return jwt.api_jws.encode(json.dumps(claims).encode(), SECRET, algorithm="HS256")


@given(st.text(max_size=60))
@example("a.b.c")
def test_other_texts_are_not_tokens(text: str) -> None:
    with pytest.raises(ValueError, match="not valid"):
        TOKENS.read(text)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5))
def test_encoded_bytes_are_no_token(parts: list[bytes]) -> None:
    with pytest.raises(ValueError, match="not valid"):
        TOKENS.read(b".".join(map(encoded, parts)).decode())


@given(header=VALUES, claims=CLAIMS)
@example(header={"alg": "none"}, claims={"sub": "admin"})
@example(header={"alg": "HS256", "crit": ["x"]}, claims={"sub": "admin"})
def test_a_token_that_is_not_signed_by_us_is_refused(header: Any, claims: dict[str, Any]) -> None:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), b"0" * 32]
    with pytest.raises(ValueError, match="not valid"):
        TOKENS.read(b".".join(map(encoded, parts)).decode())


@pytest.mark.parametrize("levels", [100, 1000, 10_000, 100_000])
@pytest.mark.parametrize("place", ["header", "header field", "claims"])
def test_a_token_that_is_nested_deeply_is_refused(levels: int, place: str) -> None:
    deep = b"[" * levels + b"]" * levels
    header = {
        "header": deep,
        "header field": b'{"alg":"HS256","x":%s}' % deep,
        "claims": b'{"alg":"HS256"}',
    }[place]
    with pytest.raises(ValueError, match="not valid"):
        TOKENS.read(b".".join(map(encoded, [header, deep, b"0" * 32])).decode())


@given(CLAIMS)
def test_claims_of_any_form_are_read_or_refused(claims: dict[str, Any]) -> None:
    try:
        found = TOKENS.read(signed(claims))
    except ValueError:
        return
    assert isinstance(found.name, str)
    assert found.expires_at > NOW
