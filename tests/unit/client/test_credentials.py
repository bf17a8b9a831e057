"""Tokens, files with tokens, and passwords."""

import os

import pytest

from core4.client import ConfigurationError
from core4.client.credentials import Anonymous, Password, Token, TokenFile


def test_a_token_is_replaced_and_kept():
    stored: list[str] = []
    token = Token(" Bearer one\n", stored.append)
    assert token.token() == "one"
    token.renew("two")
    assert (token.token(), stored) == ("two", ["two"])
    assert not token.refused("two")


@pytest.mark.parametrize("text", ["", " ", "bearer ", "a b", "ä", "a\0b"])
def test_no_token(text):
    with pytest.raises(ConfigurationError, match="token"):
        Token(text)


def test_a_projected_token_is_read_again_when_kubernetes_replaces_it(tmp_path):
    # The kubelet replaces a symbolic link to a folder, so that no reader sees a part of a token.
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "token").write_text(version)
        os.utime(tmp_path / version / "token", (1, 1))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "token").symlink_to("..data/token")
    credential = TokenFile(tmp_path / "token")
    assert credential.token() == "one"
    assert not credential.refused("one")
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "..data")
    assert credential.refused("one")
    assert credential.token() == "two"


def test_a_token_file_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="can't read the token file"):
        TokenFile(tmp_path / "token").token()


def test_a_password_is_exchanged_once_by_all_threads():
    password = Password("änn", "p:w")
    assert password.token() is None
    assert password.basic() == "Basic w6RubjpwOnc="
    password.renew("one")
    assert password.token() == "one"
    # One thread has a new token by now; another is refused with the old one.
    password.renew("two")
    assert password.refused("one")
    assert password.token() == "two"
    assert password.refused("two")
    assert password.token() is None


def test_a_user_has_no_colon():
    with pytest.raises(ConfigurationError, match="colon"):
        Password("a:b", "c")


def test_nobody_signs_nothing():
    nobody = Anonymous()
    nobody.renew("x")
    assert (nobody.token(), nobody.basic(), nobody.refused("x")) == (None, None, False)
