"""The context file: its form, its rights, and its replacement as a whole."""

import json
import stat
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core4.client import ConfigurationError
from core4.client.contexts import Context, ContextFile, Contexts, _toml, default_folder

PROD = Context("https://jobs.example.com", "ann", "/etc/ca.pem", "jobs")
TEST = Context("http://localhost:5001")


@pytest.fixture
def file(tmp_path):
    return ContextFile(tmp_path / "new" / "core4")


def test_no_file_has_no_contexts(file):
    assert file.load() == Contexts()
    assert file.load().get() is None
    assert file.token("prod") is None


def test_contexts_are_kept(file):
    contexts = Contexts().having("prod", PROD).having("test", TEST).using("prod")
    file.save(contexts)
    assert file.load() == contexts
    assert file.load().get() == ("prod", PROD)
    assert file.load().get("test") == ("test", TEST)
    document = tomllib.loads((file.folder / "config.toml").read_text())
    assert document == {
        "current": "prod",
        "contexts": {
            "prod": {
                "url": PROD.url, "user": "ann", "ca_file": "/etc/ca.pem", "namespace": "jobs",
            },
            "test": {"url": TEST.url},
        },
    }  # fmt: skip
    assert file.load().without("prod") == Contexts(None, {"test": TEST})
    assert file.load().without("test").current == "prod"


def test_unknown_contexts_are_errors_that_name_the_known_ones(file):
    contexts = Contexts().having("prod", PROD).having("test", TEST)
    for act in (contexts.get, contexts.using, contexts.without):
        with pytest.raises(ConfigurationError, match=r"no context \[x\]; there are: prod, test"):
            act("x")
    with pytest.raises(ConfigurationError, match="there are: none"):
        Contexts(current="x").get()


@pytest.mark.parametrize("name", ["", ".a", "a b", "a/b", "a" * 64, "a\n"])
def test_bad_names_are_refused(name):
    with pytest.raises(ConfigurationError, match="a context's name"):
        Contexts().having(name, PROD)


def test_tokens_are_the_owners_only(file):
    file.save_token("prod", "one")
    file.save_token("test", "two")
    file.save_token("prod", None)
    assert (file.token("prod"), file.token("test")) == (None, "two")
    path = file.folder / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.folder.stat().st_mode) == 0o700
    assert json.loads(path.read_text()) == {"test": "two"}
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        file.token("test")


def test_nothing_is_left_beside_the_files(file, monkeypatch):
    file.save(Contexts().having("prod", PROD))

    def fail(*args):
        raise OSError("full")

    with monkeypatch.context() as patched:
        patched.setattr(type(file.folder), "replace", fail)
        with pytest.raises(OSError, match="full"):
            file.save(Contexts())
    assert file.load() == Contexts().having("prod", PROD)
    assert [path.name for path in file.folder.iterdir()] == ["config.toml"]


@pytest.mark.parametrize("text", ["[", "contexts = 1", "[contexts.a]\nuser = 'x'", "\xff"])
def test_a_file_that_is_none_is_an_error_with_its_path(file, text):
    file.folder.mkdir(parents=True)
    (file.folder / "config.toml").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigurationError, match=r"can't read the context file .*config\.toml"):
        file.load()


def test_fields_of_a_later_version_are_passed_over(file):
    file.folder.mkdir(parents=True)
    (file.folder / "config.toml").write_text("[contexts.a]\nurl = 'http://a'\nnew = [1]\n")
    assert file.load().contexts == {"a": Context("http://a")}


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,10}", fullmatch=True),
        st.builds(
            Context,
            st.text(st.characters(exclude_categories=["Cs"])),
            st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        ),
    )
)
def test_any_text_is_kept(contexts):
    document = tomllib.loads(_toml(Contexts(None, contexts)))
    found = {name: Context(**table) for name, table in document.get("contexts", {}).items()}
    assert found == contexts


def test_the_folder_is_that_of_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder({"XDG_CONFIG_HOME": "/x"}).as_posix() == "/x/core4"
    for environ in ({}, {"XDG_CONFIG_HOME": ""}, {"XDG_CONFIG_HOME": "relative"}):
        assert default_folder(environ) == tmp_path / ".config" / "core4"
