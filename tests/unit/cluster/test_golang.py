"""The choice of the Go compiler, and its command line in a container."""

import json
import os
import sys
from pathlib import Path

import pytest
from tests.cluster import binaries, docker, golang
from tests.cluster.errors import ClusterError
from tests.support import images

HEAD = """\
import json, os, pathlib, sys
words = sys.argv[1:]
with pathlib.Path(os.environ["RECORD"]).open("a") as file:
    json.dump([pathlib.Path(sys.argv[0]).name, *words], file)
    file.write("\\n")

def make(go, folder):
    if go[0] == "build":
        path = pathlib.Path(go[go.index("-o") + 1])
    else:
        path = pathlib.Path(folder) / go[-1].partition("@")[0].rpartition("/")[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("program")

"""
GO = """\
if words[0] == "env":
    print(os.environ["FAKE_GO"])
    sys.exit(os.environ["FAKE_GO"] == "none")
make(words, os.environ.get("GOBIN"))
"""
# An engine that changes the mounted cache as the compiler in the container would.
DOCKER = """\
if words[0] == "info":
    print(os.environ["FAKE_SECURITY"] if "{{.SecurityOptions}}" in words else "")
    sys.exit("FAKE_ENGINE" not in os.environ)
if words[:2] == ["image", "inspect"]:
    sys.exit(words[2] != os.environ["FAKE_IMAGE"])
if words[0] == "run":
    go = words[words.index("go") + 1 :]
    if go == ["env", "GOVERSION"]:
        print("go1.26.8")
    else:
        path = next(word for word in words if word.startswith("--env=GOPATH=")).split("=")[2]
        make(go, pathlib.Path(path) / os.environ["FAKE_BIN"])
"""


class Machine:
    """A machine with the programs that a test adds."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = place / "cache"
        self._programs = place / "programs"
        self._record = place / "record"
        self._set = monkeypatch.setenv
        self._programs.mkdir()
        self._record.touch()
        self._set("PATH", str(self._programs))
        self._set("RECORD", str(self._record))
        self._set("CORE4_CACHE", str(self.cache))

    def has_go(self, version: str) -> None:
        self._add("go", GO)
        self._set("FAKE_GO", version)

    def has_docker(
        self,
        *,
        engine: bool = True,
        image: str = golang.IMAGE,
        security: str = "",
        programs: str = "bin",
    ) -> None:
        self._add("docker", DOCKER)
        self._set("FAKE_BIN", programs)
        self._set("FAKE_IMAGE", image)
        self._set("FAKE_SECURITY", security)
        if engine:
            self._set("FAKE_ENGINE", "1")

    def commands(self, *first: str) -> list[list[str]]:
        """Return the commands that began with these words."""
        found = [json.loads(line) for line in self._record.read_text().splitlines()]
        return [words for words in found if tuple(words[: len(first)]) == first]

    def _add(self, name: str, source: str) -> None:
        program = self._programs / name
        program.write_text(f"#!{sys.executable} -IS\n{HEAD}{source}")
        program.chmod(0o755)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    for function in (golang.compiler, docker.unavailable):
        function.cache_clear()
    for name in os.environ:
        if name in golang._HANDED_ON:
            monkeypatch.delenv(name)
    yield Machine(tmp_path, monkeypatch)
    for function in (golang.compiler, docker.unavailable):
        function.cache_clear()


@pytest.fixture
def contained(machine):
    machine.has_docker()
    return machine


def test_the_error_names_both_ways_where_there_is_neither(machine):
    with pytest.raises(ClusterError, match=r"go is missing.*Install Go 1\.26.*Or install Docker"):
        golang.compiler()


def test_a_docker_client_without_an_engine_does_not_help(machine):
    machine.has_docker(engine=False)
    with pytest.raises(ClusterError, match=r"go is missing.*no Docker engine answers"):
        golang.compiler()


@pytest.mark.parametrize(
    "version", ["go1.26.0", "go1.27rc1", "go1.27beta1", "go1.30.2", "devel go1.27-0a1b2c3"]
)
def test_a_go_that_is_new_enough_is_taken_although_docker_is_there(machine, version):
    machine.has_go(version)
    machine.has_docker()
    assert golang.compiler().version == version
    assert not machine.commands("docker")


@pytest.mark.parametrize("version", ["go1.25.9", "go1.9"])
def test_an_old_go_is_refused(machine, version):
    machine.has_go(version)
    with pytest.raises(ClusterError, match=f"{version} is too old.*or set GOTOOLCHAIN"):
        golang.compiler()


def test_a_go_that_cannot_fetch_the_right_one_is_refused(machine):
    machine.has_go("none")
    with pytest.raises(ClusterError, match=r"(?s)go does not work here.*Install Go"):
        golang.compiler()


@pytest.mark.parametrize("version", ["go1.25.9", "none"])
def test_docker_helps_out_an_old_go(machine, version):
    machine.has_go(version)
    machine.has_docker()
    assert golang.compiler().version == "go1.26.8"


def test_the_image_of_the_compiler_is_fetched_once(machine):
    machine.has_docker(image="another")
    for _ in range(2):
        golang.compiler()
    assert machine.commands("docker", "pull") == [["docker", "pull", "golang:1.26"]]


def test_an_image_that_is_there_is_not_fetched(contained):
    golang.compiler()
    assert not contained.commands("docker", "pull")


def test_a_program_has_the_same_path_if_a_container_built_it(machine):
    machine.has_docker()
    paths = [binaries.kubectl(), binaries.installed("kind"), binaries.installed("helm")]
    assert [path.read_text() for path in paths] == ["program"] * 3
    golang.compiler.cache_clear()
    machine.has_go("go1.26.8")
    assert [binaries.kubectl(), binaries.installed("kind"), binaries.installed("helm")] == paths
    assert not machine.commands("go", "build")
    assert not machine.commands("go", "install")


def test_without_docker_programs_come_of_the_machines_own_go(machine):
    machine.has_go("go1.26.8")
    paths = [binaries.pause(), binaries.installed("kind")]
    assert [path.read_text() for path in paths] == ["program"] * 2
    assert binaries.hyperkube().joinpath("kube-apiserver").read_text() == "program"


def test_a_program_for_another_system_than_the_containers_is_found(machine, monkeypatch):
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    machine.has_docker(programs="bin/darwin_arm64")
    assert binaries.installed("kind").read_text() == "program"
    words = machine.commands("docker", "run")[-1]
    assert {"--env=GOOS=darwin", "--env=GOARCH=arm64"} <= set(words)
    assert not any("GOBIN" in word for word in words)


@pytest.mark.parametrize(
    ("machine_name", "expected"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("s390x", "s390x")]
)
def test_go_builds_for_this_machine_without_c(contained, monkeypatch, machine_name, expected):
    monkeypatch.setattr("platform.machine", lambda: machine_name)
    binaries.pause()
    words = contained.commands("docker", "run")[-1]
    assert {f"--env=GOARCH={expected}", "--env=CGO_ENABLED=0"} <= set(words)


def test_the_container_sees_the_cache_and_the_module_only(contained):
    binaries.pause()
    words = contained.commands("docker", "run")[-1]
    mounts = [word for word in words if word.startswith("--mount")]
    assert mounts == [
        f"--mount=type=bind,source={contained.cache},target={contained.cache}",
        f"--mount=type=bind,source={binaries.PAUSE},target={binaries.PAUSE},readonly",
    ]
    assert f"--workdir={binaries.PAUSE}" in words
    assert {f"--env={name}={contained.cache}/go" for name in ("HOME", "GOPATH")} <= set(words)
    assert words[words.index("golang:1.26") :][:3] == ["golang:1.26", "go", "build"]


@pytest.mark.parametrize(
    ("uid", "security", "expected"),
    [(1000, "[name=seccomp]", "1000:1001"), (1000, "[name=rootless]", "0:0"), (0, "", "0:0")],
)
def test_the_files_are_those_of_the_caller(machine, monkeypatch, uid, security, expected):
    for name in ("geteuid", "getuid"):
        monkeypatch.setattr(f"os.{name}", lambda: uid)
    monkeypatch.setattr("os.getgid", lambda: 1001)
    machine.has_docker(security=security)
    binaries.pause()
    for words in machine.commands("docker", "run"):
        assert f"--user={expected}" in words


def test_proxies_and_authorities_are_handed_on(contained, monkeypatch, tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy")
    monkeypatch.setenv("https_proxy", "http://user:secret@proxy")
    monkeypatch.setenv("GOPROXY", "https://modules.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    binaries.pause()
    words = contained.commands("docker", "run")[-1]
    names = ("HTTPS_PROXY", "https_proxy", "GOPROXY", "SSL_CERT_FILE")
    assert {f"--env={name}" for name in names} <= set(words)
    assert f"--mount=type=bind,source={bundle},target={bundle},readonly" in words
    assert "secret" not in " ".join(words)
    assert not any(word.endswith("target=" + str(tmp_path / "none")) for word in words)


def test_a_build_that_fails_is_told(contained, monkeypatch):
    golang.compiler()
    monkeypatch.setenv("FAKE_BIN", "elsewhere")
    with pytest.raises(ClusterError, match="built no kind"):
        binaries.installed("kind")
    assert not list(contained.cache.glob("bin/kind-*/kind"))


def test_a_program_of_the_tests_is_built_where_the_container_sees_it(contained, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    image = images._compiled(source, "primes")
    assert image.archive.exists()
    words = contained.commands("docker", "run")[-1]
    assert words[words.index("-o") + 1].startswith(f"{contained.cache}/")
    assert f"--workdir={source}" in words
