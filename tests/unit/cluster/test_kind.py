"""The kind cluster: its start, waiting, creation, and errors with a message."""

import socket
import subprocess
import sys
from contextlib import closing

import pytest
from tests.cluster import binaries, cli, docker, kind, network, started
from tests.cluster.deploy import ROOT
from tests.cluster.errors import ClusterError
from tests.support.ports import free_port
from tests.unit.cluster import fake_kind

IMAGE = "localhost/node:1"
LOST = "its journal are lost"


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = fake_kind.make(tmp_path, monkeypatch)
    # Another service may use the real port on the machine that runs these tests.
    port = free_port()
    monkeypatch.setattr(kind, "SERVICE_PORT", port)
    made.ports = [port]
    yield made
    docker.unavailable.cache_clear()


@pytest.fixture
def provider(world):
    return kind.KindProvider(ready_seconds=20, unfinished_seconds=0)


@pytest.fixture
def taken_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def test_it_is_created_where_there_is_none(provider, world, capsys):
    provider.up()
    assert len(world.ran("kind", "create")) == 1
    assert "good" in provider.kubeconfig.read_text()
    assert provider.status().running
    assert "the kind cluster runs" in capsys.readouterr().err


def test_one_that_runs_is_left_alone(provider, world):
    provider.up()
    world.commands = []
    provider.up()
    assert not [words for words in world.commands if words[1] in ("create", "export", "rm")]


@pytest.mark.parametrize(
    ("state", "verb"), [("exited", "start"), ("created", "start"), ("paused", "unpause")]
)
def test_one_that_is_stopped_is_started_and_keeps_what_it_has(provider, world, capsys, state, verb):
    provider.up()
    world.state = state
    provider.up()
    assert len(world.ran("docker", verb)) == 1
    assert len(world.ran("kind", "create")) == 1
    assert not world.ran("docker", "rm")
    said = capsys.readouterr().err
    assert f"starting the node of the kind cluster core4, which is {state}" in said
    assert LOST not in said


def test_one_that_still_starts_is_waited_for(provider, world):
    provider.up()
    world.slow = world.asked + 3
    provider.up()
    assert world.asked > 3
    assert not world.ran("docker", "rm")


def test_one_that_is_just_being_created_by_somebody_else_is_waited_for(provider, world):
    world.state, world.finished, world.creating = "running", False, 3
    provider.up()
    assert world.finished
    assert not world.ran("docker", "rm")
    assert not world.ran("kind", "create")


def test_one_without_our_kubeconfig_is_asked_for_it(provider, world):
    world.state = "running"
    provider.up()
    assert "good" in provider.kubeconfig.read_text()
    assert not world.ran("kind", "create")
    assert not world.ran("docker", "rm")


@pytest.mark.parametrize("text", ["", "of an earlier cluster"])
def test_a_stale_kubeconfig_is_replaced(provider, world, text):
    world.state = "running"
    provider.kubeconfig.parent.mkdir(parents=True)
    provider.kubeconfig.write_text(text)
    provider.up()
    assert "good" in provider.kubeconfig.read_text()
    assert not world.ran("docker", "rm")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"broken": True}, "its API server does not answer"),
        ({"finished": False}, "its creation is not finished"),
        ({"nodes": "False"}, "its node is not ready"),
        ({"classes": ""}, "it has no storage class"),
    ],
)
def test_only_one_that_does_not_answer_in_the_end_is_created_anew(world, capsys, fault, words):
    kind.KindProvider().up()
    provider = kind.KindProvider(ready_seconds=0.2, unfinished_seconds=0)
    capsys.readouterr()
    world.commands = []
    if "finished" in fault:
        provider.kubeconfig.unlink()
    for name, value in fault.items():
        setattr(world, name, value)
    provider.up()
    assert len(world.ran("docker", "rm")) == 1
    assert len(world.ran("kind", "create")) == 1
    said = capsys.readouterr().err
    assert words in said
    assert LOST in said


def test_a_new_one_that_does_not_answer_is_an_error_and_is_kept(world):
    provider = kind.KindProvider(ready_seconds=0.2)
    world.slow = 10**6
    with pytest.raises(ClusterError, match="was created, but its API server does not answer"):
        provider.up()
    assert world.state == "running"


def test_a_node_that_ends_at_once_is_not_waited_for(world, capsys):
    provider = kind.KindProvider(ready_seconds=3600)
    provider.up()
    world.state = world.after_start = "exited"
    provider.up()
    assert "its node is exited" in capsys.readouterr().err
    assert len(world.ran("kind", "create")) == 2


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"broken": True}, "its API server does not answer"),
        ({"nodes": "True False"}, "its node is not ready"),
        ({"classes": ""}, "it has no storage class"),
        ({"ports": []}, "its node does not publish port"),
    ],
)
def test_one_that_was_made_elsewhere_is_never_deleted_by_up(world, capsys, fault, words):
    world.state = "running"
    for name, value in fault.items():
        setattr(world, name, value)
    provider = kind.KindProvider(ready_seconds=0.2, unfinished_seconds=0)
    with pytest.raises(ClusterError, match=f"was not created here.*{words}.*left as it is"):
        provider.up()
    assert not world.ran("docker", "rm")
    assert not world.ran("kind", "create")
    assert LOST not in capsys.readouterr().err


def test_one_that_was_refused_is_not_taken_for_one_that_was_started(world):
    world.state, world.ports = "running", []
    assert cli.main(["--provider", "kind", "up"]) == 1
    assert started.read() == []
    assert cli.main(["down"]) == 0
    assert world.state == "running"


def test_one_with_several_ready_nodes_is_used(provider, world):
    world.state, world.nodes = "running", "True True"
    provider.up()
    assert provider.status().running
    assert not world.ran("docker", "rm")


def test_status_builds_no_program(provider, world, monkeypatch, tmp_path):
    def build(*_):
        raise AssertionError("built")

    monkeypatch.setattr(binaries, "built", lambda _: None)
    for name in ("installed", "kubectl"):
        monkeypatch.setattr(binaries, name, build)
    world.state = "running"
    assert not provider.status().running
    assert "its node runs" in provider.status().lines[0]
    provider.kubeconfig.parent.mkdir(parents=True)
    provider.kubeconfig.write_text("of an earlier cluster")
    kubectl = tmp_path / "programs" / "kubectl"
    monkeypatch.setattr(binaries, "built", {"kubectl": kubectl}.get)
    assert "does not answer" in provider.status().lines[0]


def test_a_start_that_created_nothing_is_not_the_latest(world, monkeypatch, taken_port):
    started.add(started.ClusterRecord("local", "config"))
    monkeypatch.setattr(kind, "SERVICE_PORT", taken_port)
    assert cli.main(["--provider", "kind", "up"]) == 1
    assert [item.provider for item in started.read()] == ["local"]
    monkeypatch.setattr(kind, "SERVICE_PORT", free_port())
    world.create_error = "ERROR: failed to pull image"
    assert cli.main(["--provider", "kind", "up"]) == 1
    assert [item.provider for item in started.read()] == ["local"]


def test_a_node_that_docker_cannot_start_is_left_as_it_is(provider, world):
    world.state = "exited"
    world.start_error = "driver failed programming external connectivity"
    with pytest.raises(ClusterError, match=r"(?s)its journal are left.*programming external") as it:
        provider.up()
    assert "make down" in str(it.value)
    assert not world.ran("docker", "rm")


def test_a_port_that_is_taken_is_named_before_anything_is_done(
    provider, world, monkeypatch, taken_port
):
    monkeypatch.setattr(kind, "SERVICE_PORT", taken_port)
    with pytest.raises(ClusterError, match=f"in use: {taken_port}.*then try again"):
        provider.up()
    assert not world.ran("kind")
    world.state, world.ports = "exited", [taken_port]
    with pytest.raises(ClusterError, match=str(taken_port)):
        provider.up()
    assert not world.ran("docker", "start")
    assert not world.ran("docker", "rm")


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ('failed to pull image "kindest/node"', "docker pull localhost/node:1"),
        ("Bind for 127.0.0.1:5001 failed: port is already allocated", "A port"),
        ("listen tcp4 127.0.0.1:5001: bind: address already in use", "A port"),
        ("no space left on device", "The disk is full"),
        ("could not find a log line that matches", "The node did not start"),
        ("failed to init node with kubeadm", "The node did not start"),
        ("something that nobody has seen yet", "make clean-all"),
    ],
)
def test_a_failure_of_kind_is_one_message_with_its_words_and_what_to_do(
    provider, world, monkeypatch, capsys, words, advice
):
    monkeypatch.setenv(kind.IMAGE_VARIABLE, IMAGE)
    world.create_error = f"ERROR: failed to create cluster: {words}"
    assert cli.main(["--provider", "kind", "up"]) == 1
    said = capsys.readouterr().err
    assert "error: kind can't create the cluster" in said
    assert words in said
    assert advice in said
    assert "Traceback" not in said


def test_another_image_of_the_node_can_be_named(provider, world, monkeypatch):
    provider.up()
    monkeypatch.setenv(kind.IMAGE_VARIABLE, IMAGE)
    provider.down()
    provider.up()
    first, second = world.ran("kind", "create")
    assert f"--image={kind.NODE_IMAGE}" in first
    assert f"--image={IMAGE}" in second


def test_only_an_image_that_was_not_there_is_ours_to_delete(provider, world):
    world.images = [kind.NODE_IMAGE]
    provider.up()
    assert docker.noted_images() == []
    provider.down()
    world.images = []
    provider.up()
    assert docker.noted_images() == [kind.NODE_IMAGE]


def test_an_image_is_loaded_once(provider, world, tmp_path):
    world.archive = IMAGE
    for _ in range(2):
        provider.load(tmp_path / "archive", IMAGE)
    assert len(world.ran("kind", "load")) == 1
    with pytest.raises(ClusterError, match="holds no image named other"):
        provider.load(tmp_path / "archive", "other")


def test_status_says_what_is_lacking(provider, world):
    assert provider.status().lines == ["kind cluster core4: there is none"]
    provider.up()
    assert provider.status().lines == ["kind cluster core4: ready"]
    world.state = "exited"
    assert not provider.status().running
    assert "exited; `make up` starts it" in provider.status().lines[0]
    world.state, world.nodes = "running", "False"
    assert provider.status().lines == ["kind cluster core4: its node is not ready"]


def test_with_the_engine_down_status_and_down_speak_of_the_cluster_that_was_started(world, capsys):
    assert cli.main(["--provider", "kind", "up"]) == 0
    world.engine = False
    docker.unavailable.cache_clear()
    capsys.readouterr()
    assert cli.main(["status"]) == 3
    said = capsys.readouterr()
    assert "kind cluster: can't be asked: no Docker engine answers" in said.err
    assert "Cannot connect to the Docker daemon" in said.err
    assert "local" not in said.err + said.out
    assert cli.main(["down"]) == 1
    said = capsys.readouterr().err
    assert "kind: no Docker engine answers" in said
    assert "make down` again" in said
    assert [item.provider for item in started.read()] == ["kind"]
    world.engine = True
    docker.unavailable.cache_clear()
    assert cli.main(["down"]) == 0
    assert world.state is None
    assert started.read() == []
    assert cli.main(["status"]) == 3
    assert "no cluster was started here" in capsys.readouterr().err


def test_an_interrupted_creation_is_found_by_down(world, monkeypatch):
    def interrupted(*_, **__):
        world.state = "running"
        raise KeyboardInterrupt

    monkeypatch.setattr(kind, "run_visibly", interrupted)
    assert cli.main(["--provider", "kind", "up"]) == 130
    assert cli.main(["down"]) == 0
    assert world.state is None


def test_down_without_a_start_leaves_a_cluster_of_that_name_alone(world, capsys):
    world.state = "running"
    assert cli.main(["down"]) == 0
    assert world.state == "running"
    assert "no cluster was started here" in capsys.readouterr().err
    assert cli.main(["--provider", "kind", "down"]) == 0
    assert world.state is None


def test_down_names_the_things_that_stay_and_clean_removes_them(world, capsys, tmp_path):
    assert cli.main(["--provider", "kind", "up"]) == 0
    capsys.readouterr()
    assert cli.main(["down"]) == 0
    said = capsys.readouterr().err
    assert str(tmp_path / "cache") in said
    assert "1 images in Docker and its network `kind`" in said
    assert "make clean-all" in said
    assert cli.main(["clean"]) == 0
    assert world.images == []
    assert world.ran("docker", "network") == [["docker", "network", "rm", "kind"]]
    assert not (tmp_path / "cache").exists()


def test_clean_gives_up_what_cannot_be_reached_and_says_so(world, capsys, tmp_path):
    assert cli.main(["--provider", "kind", "up"]) == 0
    world.engine = False
    docker.unavailable.cache_clear()
    assert cli.main(["clean"]) == 0
    assert "given up, and left as it is:  kind: no Docker" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_clean_deletes_nothing_else_from_the_folder_of_the_cache(world, tmp_path):
    assert cli.main(["--provider", "kind", "up"]) == 0
    own = tmp_path / "cache" / "thesis.txt"
    own.touch()
    modules = tmp_path / "cache" / "go" / "pkg"
    modules.mkdir(parents=True)
    (modules / "module.go").touch()
    modules.chmod(0o500)
    assert cli.main(["clean"]) == 0
    assert list((tmp_path / "cache").iterdir()) == [own]


def test_a_port_in_use_is_told_with_what_listens_there(taken_port):
    with pytest.raises(ClusterError, match=rf"{taken_port} \(python.*process \d+\)"):
        network.require_free((taken_port,), "the service")


@pytest.mark.parametrize("command", ["down", "clean"])
def test_stopping_needs_the_standard_library_only(world, tmp_path, command):
    assert cli.main(["--provider", "kind", "up"]) == 0
    # Not even Go and kind are needed.
    for name in ("kind", "kubectl"):
        (tmp_path / "programs" / name).unlink()
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.cluster.cli import main"
    argv = [sys.executable, "-IS", "-c", f"{code}; sys.exit(main([{command!r}]))"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert world.state is None
