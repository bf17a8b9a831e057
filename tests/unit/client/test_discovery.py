"""Which server a client finds, and which secret goes where."""

import pytest

from core4.client import ConfigurationError
from core4.client.contexts import Context, ContextFile, Contexts
from core4.client.discovery import Given, base, find

URL = "http://%s/core4/api/v1"
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.fixture
def file(tmp_path):
    made = ContextFile(tmp_path)
    made.save(
        Contexts()
        .having("prod", Context("http://prod", ca_file="/prod.pem"))
        .having("test", Context("http://test"))
        .using("prod")
    )
    made.save_token("prod", "of-prod")
    made.save_token("test", "of-test")
    return made


@pytest.fixture
def service_token(tmp_path):
    path = tmp_path / "token"
    path.write_text("of-pod\n")
    return path


ENVIRON = {"CORE4_URL": "http://env", "CORE4_TOKEN": "of-env", "CORE4_CA_FILE": "/env.pem"}


@pytest.mark.parametrize(
    ("given", "environ", "url", "token", "ca_file"),
    [
        (Given("http://arg", token="of-arg"), ENVIRON, "arg", "of-arg", "/env.pem"),
        (Given("http://arg"), ENVIRON, "arg", "of-env", "/env.pem"),
        (Given("http://arg"), POD, "arg", None, None),
        (Given(), ENVIRON | POD, "env", "of-env", "/env.pem"),
        (Given(token="Bearer of-arg"), ENVIRON, "env", "of-arg", "/env.pem"),
        (Given(ca_file="/arg.pem"), ENVIRON, "env", "of-env", "/arg.pem"),
        (Given(), {"CORE4_URL": "http://env"}, "env", None, None),
        (Given(), {"CORE4_URL": ""} | POD, "prod", "of-prod", "/prod.pem"),
        (Given(), {"CORE4_TOKEN": "of-env"}, "prod", "of-env", "/prod.pem"),
        (Given(), {"CORE4_CONTEXT": "test"}, "test", "of-test", None),
        (Given(context="test"), ENVIRON, "test", "of-test", None),
        (Given(context="test", token="of-arg"), ENVIRON, "test", "of-arg", None),
    ],
)
def test_the_first_source_counts(given, environ, url, token, ca_file, file, service_token):
    server = find(given, environ, file, service_token)
    assert server.url == URL % url
    assert server.credential.token() == token
    assert server.ca_file == ca_file
    assert not server.in_cluster


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "core4-api:5001"),
        (
            {"CORE4_API_SERVICE_HOST": "10.0.0.7", "CORE4_API_SERVICE_PORT": "80",
             "CORE4_API_HEALTH_SERVICE_HOST": "10.0.0.8"},
            "10.0.0.7:80",
        ),
        ({"JOBS_CORE4_API_SERVICE_HOST": "fd00::7"}, "[fd00::7]:5001"),
        ({"OTHER_API_SERVICE_HOST": "10.0.0.9"}, "core4-api:5001"),
    ],
)  # fmt: skip
def test_a_pod_finds_the_service_of_its_namespace(environ, url, tmp_path, service_token):
    server = find(Given(), environ | POD, ContextFile(tmp_path), service_token)
    assert (server.url, server.in_cluster, server.source) == (URL % url, True, "the cluster")
    assert server.credential.token() == "of-pod"
    service_token.unlink()
    assert (
        find(Given(), environ | POD, ContextFile(tmp_path), service_token).credential.token()
        is None
    )


def test_several_services_are_not_guessed_at(tmp_path):
    environ = {"A_CORE4_API_SERVICE_HOST": "10.0.0.7", "B_CORE4_API_SERVICE_HOST": "10.0.0.8"}
    with pytest.raises(ConfigurationError, match="set CORE4_URL"):
        find(Given(), environ | POD, ContextFile(tmp_path))


def test_no_server_is_an_error_that_names_the_ways(tmp_path):
    with pytest.raises(ConfigurationError, match=r"set CORE4_URL, or choose a context in .*config"):
        find(Given(), {}, ContextFile(tmp_path))


def test_variables_of_a_job_are_no_settings(tmp_path):
    job = {"CORE4_JOB": "{}", "CORE4_ARG_URL": "http://x", "CORE4_ARGS": "{}", "CORE4_POD": "p"}
    with pytest.raises(ConfigurationError, match="no server is known"):
        find(Given(), job, ContextFile(tmp_path))


def test_a_successor_of_a_contexts_token_is_kept(file):
    find(Given(), {}, file).credential.renew("next")
    assert (file.token("prod"), file.token("test")) == ("next", "of-test")


def test_a_user_needs_a_password():
    with pytest.raises(ConfigurationError, match="go together"):
        find(Given("http://a", user="ann"), {})
    assert find(Given("http://a", user="ann", password=""), {}).credential.basic()


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://a:5001", "http://a:5001/core4/api/v1"),
        ("https://a/", "https://a/core4/api/v1"),
        ("https://a/core4/api/v1/", "https://a/core4/api/v1"),
        ("https://a/prefix", "https://a/prefix"),
        ("http://[::1]:5001", "http://[::1]:5001/core4/api/v1"),
    ],
)
def test_a_url_without_a_path_gets_the_base_path(url, found):
    assert base(url) == found


@pytest.mark.parametrize(
    "url", ["", "a", "ftp://a", "http://", "http://a:x", "http://u:p@a", "http://a?b", "http://a#b"]
)
def test_bad_urls(url):
    with pytest.raises(ConfigurationError):
        base(url)


def test_secrets_are_not_shown():
    assert "secret" not in repr(Given(token="secret", password="secret"))
