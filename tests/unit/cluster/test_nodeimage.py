"""The image of kind's node that is built here: the parts with logic."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cluster.deploy import ROOT
from tests.cluster.nodeimage import runc
from tests.support.waiting import until

FOLDER = ROOT / "tests" / "cluster" / "nodeimage"
ALL = "0000003fffffffff"
WITHOUT_RESOURCE = "000001fffeffffff"


def status(bounds: str) -> str:
    return f"Name:\trunc\nCapEff:\t{ALL}\nCapBnd:\t{bounds}\nThreads:\t1\n"


@pytest.mark.parametrize(
    ("bounds", "names"), [(ALL, set()), (WITHOUT_RESOURCE, {"CAP_SYS_RESOURCE"})]
)
def test_the_capabilities_that_root_lacks_are_known(bounds, names):
    assert runc.lacking(status(bounds)) == names


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["--root", "/r", "create", "--bundle", "/b", "id"], ["/b/config.json"]),
        (["create", "--bundle=/b", "id"], ["/b/config.json"]),
        (["exec", "--process", "/p.json", "id"], ["/p.json"]),
        (["exec", "-p", "/p.json", "id"], ["/p.json"]),
        (["kill", "id", "9"], []),
        (["create", "--bundle"], ["config.json"]),
    ],
)
def test_the_configuration_that_runc_would_read_is_found(words, files):
    assert [str(path) for path in runc.configurations(words)] == files


def test_it_asks_for_the_rest_only(tmp_path):
    given = {"bounding": ["CAP_KILL", "CAP_SYS_RESOURCE"], "effective": ["CAP_KILL"]}
    kept = {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"]}
    for document in ({"process": {"capabilities": given}}, {"capabilities": given}):
        copy = json.loads(json.dumps(document))
        runc.strip(copy, {"CAP_SYS_RESOURCE"})
        assert copy.get("process", copy)["capabilities"] == kept
    none: dict[str, object] = {"process": {}}
    runc.strip(none, {"CAP_SYS_RESOURCE"})
    assert none == {"process": {}}


def test_it_becomes_runc_with_the_same_words(tmp_path):
    program = tmp_path / "runc"
    program.write_text('#!/bin/sh\necho "$@"\nexit 3\n')
    program.chmod(0o755)
    (tmp_path / "config.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, FOLDER / "runc.py", "create", "--bundle", str(tmp_path), "id"],
        check=False,
        capture_output=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        text=True,
    )
    assert (done.returncode, done.stdout) == (3, f"create --bundle {tmp_path} id\n")


@pytest.mark.parametrize("subnet", ["10.244.0.0/16", "172.30.0.0/20"])
def test_the_network_is_a_configuration_of_cni(tmp_path, subnet):
    script = (FOLDER / "network.sh").read_text().replace("/etc/cni/net.d", str(tmp_path))
    process = subprocess.Popen(["sh", "-c", script], env={**os.environ, "POD_SUBNET": subnet})
    with process:
        path = tmp_path / "10-kindnet.conflist"
        until(path.exists, what="the configuration is there", seconds=30)
        process.terminate()
        assert process.wait(30) == 0
    bridge, ports = json.loads(path.read_text())["plugins"]
    first = ".".join([*subnet.split(".")[:2], "0", "0/24"])
    assert bridge["ipam"]["ranges"] == [[{"subnet": first}]]
    assert ports["type"] == "portmap"
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("path", [*FOLDER.glob("*.sh")], ids=lambda path: Path(path).name)
def test_the_scripts_can_be_read(path):
    shell = shutil.which("bash" if path.read_text().startswith("#!") else "sh")
    assert shell is not None
    subprocess.run([shell, "-n", str(path)], check=True)
