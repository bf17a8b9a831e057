"""A machine with programs called docker, kind and kubectl, and one kind cluster at most.

Its state is in a file, which the programs read and change and a test sets.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import binaries, docker

HEAD = """\
import json, os, pathlib, sys
words = sys.argv[1:]
place = pathlib.Path(os.environ["FAKE_WORLD"])
world = json.loads(place.read_text())
world["commands"].append([pathlib.Path(sys.argv[0]).name, *words])

def end(code=0, out="", err=""):
    place.write_text(json.dumps(world))
    if out:
        print(out)
    if err:
        print(err, file=sys.stderr)
    sys.exit(code)

GOOD = json.dumps({
    "clusters": [{"name": "good", "cluster": {"server": "https://127.0.0.1:1"}}],
    "contexts": [{"name": "good", "context": {"cluster": "good", "user": "good"}}],
    "current-context": "good",
    "users": [{"name": "good", "user": {}}],
})

def option(name):
    return next(word.partition("=")[2] for word in words if word.startswith(name + "="))

place.write_text(json.dumps(world))
"""
DOCKER = """\
if not world["engine"]:
    end(1, err="Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
match words:
    case ["ps", *rest]:
        end(out="" if not world["state"] else "id" if "--quiet" in rest else world["state"])
    case ["inspect", *_]:
        end(out=json.dumps({"6443/tcp": [{"HostPort": str(port)} for port in world["ports"]]}))
    case ["start" | "unpause", _]:
        if world["start_error"]:
            end(1, err=world["start_error"])
        world["state"] = world["after_start"]
    case ["exec", _, "test", *_]:
        end(0 if world["finished"] else 1)
    case ["exec", _, "ctr", *_]:
        end(out="\\n".join(world["loaded"]))
    case ["top", _]:
        # Somebody creates the cluster, and has done so after some more looks.
        if not world["creating"]:
            end(out="root systemd")
        world["creating"] -= 1
        world["finished"] = not world["creating"]
        end(out="root kubeadm init")
    case ["rm", *_]:
        world["state"] = None
    case ["image", "inspect", name]:
        end(0 if name in world["images"] else 1)
    case ["image", "rm", "--force", name]:
        world["images"].remove(name)
end()
"""
KIND = """\
match words:
    case ["get", "clusters"]:
        end(out="core4" if world["state"] else "")
    case ["create", *_]:
        if world["create_error"]:
            end(1, err=world["create_error"])
        world |= {"state": "running", "broken": False, "finished": True}
        world |= {"nodes": "True", "classes": "standard"}
        world["images"].append(option("--image"))
        pathlib.Path(option("--kubeconfig")).write_text(GOOD)
    case ["export", *_]:
        if world["state"] != "running" or not world["finished"]:
            end(1, err="no such file: admin.conf")
        pathlib.Path(option("--kubeconfig")).write_text(GOOD)
    case ["load", "image-archive", *_]:
        world["loaded"].append(world["archive"])
end()
"""
KUBECTL = """\
path = pathlib.Path(option("--kubeconfig"))
if path.read_text() != GOOD or world["state"] != "running":
    end(1, err="refused")
if "/readyz" in words:
    world["asked"] += 1
    bad = world["broken"] or world["asked"] <= world["slow"]
    end(bad, out="" if bad else "ok")
end(out=world["nodes"] if "nodes" in words else world["classes"])
"""


class World:
    """The machine's state as attributes, such as the node's `state`; see the defaults."""

    def __init__(self, place: Path) -> None:
        self.__dict__["_place"] = place
        place.write_text(
            json.dumps(
                {
                    "after_start": "running",
                    "archive": "",
                    "asked": 0,
                    "broken": False,
                    "classes": "standard",
                    "commands": [],
                    "create_error": "",
                    "creating": 0,
                    "engine": True,
                    "finished": True,
                    "images": [],
                    "loaded": [],
                    "nodes": "True",
                    "ports": [],
                    "slow": 0,
                    "start_error": "",
                    "state": None,
                }
            )
        )

    def __getattr__(self, name: str) -> Any:
        return json.loads(self._place.read_text())[name]

    def __setattr__(self, name: str, value: Any) -> None:
        known = json.loads(self._place.read_text())
        assert name in known
        self._place.write_text(json.dumps(known | {name: value}))

    def ran(self, *first: str) -> list[list[str]]:
        """Return the commands that began with these words."""
        return [words for words in self.commands if tuple(words[: len(first)]) == first]


def make(place: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Put the programs into a folder and into PATH, with an empty cache."""
    programs = place / "programs"
    programs.mkdir()
    for name, source in (("docker", DOCKER), ("kind", KIND), ("kubectl", KUBECTL)):
        program = programs / name
        program.write_text(f"#!{sys.executable} -IS\n{HEAD}{source}")
        program.chmod(0o755)
    world = World(place / "world.json")
    monkeypatch.setenv("FAKE_WORLD", str(place / "world.json"))
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("CORE4_CACHE", str(place / "cache"))
    for name in ("CORE4_CLUSTER", "CORE4_KUBECONFIG", "CORE4_KIND_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(binaries, "kubectl", lambda: programs / "kubectl")
    monkeypatch.setattr(binaries, "installed", lambda name: programs / name)
    monkeypatch.setattr(binaries, "built", lambda name: programs / name)
    docker.unavailable.cache_clear()
    return world
