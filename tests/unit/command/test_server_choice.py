"""`login`, `logout`, `whoami`, `context`, `api`, `open`, `--via`, and completion."""

import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from tests.support.signals import DEADLINE
from tests.unit.client.raw_server import RawServer, bad
from tests.unit.command.conftest import BASE, IDS, Core4, FakeCore4, job

from core4.client.errors import ConfigurationError
from core4.command import app, commands, completing, via


def test_sign_in_and_out(
    core4: Core4, server: RawServer, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.delenv("CORE4_URL")
    monkeypatch.setenv("CORE4_PASSWORD", "secret")
    result = core4("login", "--url", server.url, "--user", "ann", "--name", "prod")
    assert (result.code, result.out) == (0, "")
    assert result.err == f"Signed in at {server.url} as ann, context prod.\n"
    assert "secret" not in (home / "config/core4/config.toml").read_text()
    tokens = home / "config/core4/credentials.json"
    assert json.loads(tokens.read_text()) == {"prod": "new.token.x"}
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o600
    monkeypatch.delenv("CORE4_PASSWORD")
    assert core4("whoami", "-q").out == "ann\n"
    assert server.asked[-1].headers["authorization"] == "Bearer new.token.x"
    assert core4("logout").code == 0
    core4("whoami")
    assert "authorization" not in server.asked[-1].headers


def test_sign_in_with_a_token(
    core4: Core4, server: RawServer, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Bearer a.b.c\n"))
    assert core4("login", "--url", server.url, "--with-token").code == 0
    tokens = json.loads((home / "config/core4/credentials.json").read_text())
    assert tokens == {"127.0.0.1": "a.b.c"}


def test_a_refused_sign_in_changes_nothing(
    core4: Core4, fake: FakeCore4, server: RawServer, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("CORE4_PASSWORD", "wrong")
    fake.errors["GET", "/login"] = fake.errors["POST", "/login"] = bad(401, "wrong password")
    result = core4("login", "--url", server.url, "--user", "ann")
    assert result.code == 4
    assert result.err.startswith("error: wrong password")
    assert not (home / "config/core4").exists()


def test_a_sign_in_needs_a_user_and_a_password(core4: Core4, server: RawServer) -> None:
    assert "--user NAME, or --with-token" in core4("login", "--url", server.url).err
    result = core4("login", "--url", server.url, "--user", "ann")
    assert result.code == 2
    assert "Set CORE4_PASSWORD to the password of ann." in result.err


def test_contexts(core4: Core4, server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CORE4_URL")
    assert "No context yet" in core4("context", "ls").err
    assert core4("context", "set", "a", "--url", server.url).code == 0
    assert core4("context", "set", "b", "--url", "https://b.example.com").code == 0
    listed = json.loads(core4("context", "ls", "-o", "json").out)
    assert [(row["name"], row["current"]) for row in listed] == [("a", True), ("b", False)]
    assert core4("ls", "--context", "a").code == 0
    assert core4("--context", "a", "ls").code == 0
    assert core4("context", "use", "b").code == 0
    assert "*        b" in core4("context", "ls").out
    assert core4("context", "rm", "b").code == 0
    assert "there is no context [b]" in core4("context", "use", "b").err
    assert core4("context", "set", "c", "--url", "nonsense").code == 2


def test_any_request(core4: Core4, server: RawServer) -> None:
    result = core4("api", "get", "/jobs/history", "-f", "per_page=1")
    assert json.loads(result.out)["data"][0]["total"] == 3
    assert server.asked[-1].query["per_page"] == "1"
    assert core4("api", "GET", "/no/such").code == 3
    assert "is not JSON" in core4("api", "GET", "/job", "-f", "x:={").err


def test_open_prints_the_url_in_a_pipe(core4: Core4, server: RawServer) -> None:
    assert core4("open", IDS[0]).out == f"{server.url}{BASE}/job/{IDS[0]}\n"


KUBECTL = """#!{python}
import json, sys, time
args = sys.argv[1:]
open({log!r}, "a").write(json.dumps(args) + "\\n")
if "get" in args:
    items = [
        {{"metadata": {{"name": "jobs-api"}}, "spec": {{"ports": [{{"name": "http"}}]}}}},
        {{"metadata": {{"name": "jobs-api-health"}}, "spec": {{"ports": [{{"name": "health"}}]}}}},
    ]
    print(json.dumps({{"items": items[:{services}]}}))
elif {fails}:
    print("error: services \\"x\\" not found", file=sys.stderr)
    sys.exit(1)
else:
    print("Forwarding from 127.0.0.1:{port} -> 5001", flush=True)
    time.sleep(600)
"""


def kubectl(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    port: int,
    *,
    services: int = 2,
    fails: bool = False,
) -> Path:
    """Put a kubectl of the tests into PATH, and return its log."""
    log, script = home / "kubectl.log", home / "bin" / "kubectl"
    script.parent.mkdir()
    script.write_text(
        KUBECTL.format(
            python=sys.executable, log=str(log), port=port, services=services, fails=fails
        )
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    return log


def test_via_kubectl(
    core4: Core4, server: RawServer, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.delenv("CORE4_URL")
    log = kubectl(home, monkeypatch, server.port)
    assert core4("whoami", "-q", "--via", "kubectl", "--token", "a.b.c").out == "ann\n"
    assert core4("whoami", "-q", "--via", "kubectl:ns/svc", "--token", "a.b.c").out == "ann\n"
    found, first, second = [json.loads(line) for line in log.read_text().splitlines()]
    assert found[0] == "get"
    assert first[:3] == ["port-forward", "service/jobs-api", ":http"]
    assert second[:4] == ["--namespace", "ns", "port-forward", "service/svc"]
    running = subprocess.run(["pgrep", "-f", str(home / "bin")], check=False, capture_output=True)
    assert not running.stdout


def test_via_says_why_it_can_not(
    core4: Core4, server: RawServer, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    kubectl(home, monkeypatch, server.port, services=0, fails=True)
    result = core4("ls", "--via", "kubectl")
    assert result.code == 2
    assert "there is no core4 service in kubectl's current namespace" in result.err
    assert 'services "x" not found' in core4("ls", "--via", "kubectl:x").err
    assert "--via expects kubectl" in core4("ls", "--via", "ssh").err
    monkeypatch.setenv("PATH", str(home))
    assert "needs kubectl" in core4("ls", "--via", "kubectl").err


def test_via_waits_for_kubectl(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    script = home / "bin" / "kubectl"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(via, "_READY_S", 0.1)
    with pytest.raises(ConfigurationError, match="not ready"), via.forwarded("kubectl:x"):
        pass


def complete(*words: str) -> list[str]:
    """Return what a shell would offer for the last of the words after `core4`."""
    *before, beginning = words
    shell = ShellComplete(app.group, {}, "core4", "_CORE4_COMPLETE")
    return [item.value for item in shell.get_completions(before, beginning)]


def test_completion(
    server: RawServer,
    fake: FakeCore4,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # An answer that comes late completes nothing, and on a busy machine each may be late.
    monkeypatch.setattr(completing, "_TIMEOUT_S", DEADLINE)
    fake.queue = [job(0), job(16)]
    assert complete("kill", "6743") == [IDS[0], IDS[16]]
    assert complete("enqueue", "rep") == ["reports.Nightly"]
    fake.errors["GET", "/job"] = bad(401, "not signed in")
    assert complete("kill", "6743") == []
    assert capsys.readouterr() == ("", "")


def complete_in_bash(words: str) -> list[str]:
    """Return what bash would offer for a command line."""
    parts = words.split(" ")
    environ = {
        **os.environ,
        "_CORE4_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(parts) - 1),
    }
    result = subprocess.run(
        [Path(sys.executable).parent / "core4"], env=environ, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert result.stderr == ""
    return [line.partition(",")[2] for line in result.stdout.splitlines() if line]


def test_completion_in_bash() -> None:
    assert complete_in_bash("core4 wh") == ["whoami"]
    assert complete_in_bash("core4 ls --st") == ["--state"]


def test_completion_scripts(core4: Core4) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_CORE4_COMPLETE" in core4("completion", shell).out
    assert core4("completion", "csh").code == 2


LIGHT = """
import sys
sys.argv[1:] = {args!r}
from core4 import cli
try:
    cli.main()
except SystemExit:
    pass
print("\\nMODULES", *sorted(sys.modules))
"""


@pytest.mark.parametrize(
    ("args", "without"),
    [
        (["--help"], ["rich", "http.client", "ssl", "core4.client.sync", "core4.command.listing"]),
        (["--version"], ["click", "rich", "core4.client"]),
        (["execute", "--help"], ["click", "rich", "core4.client"]),
        (["templates", "--help"], ["click", "rich", "core4.client"]),
        (["ls", "--help"], ["rich", "http.client", "core4.client.sync"]),
    ],
)
def test_only_what_is_needed_is_imported(args: list[str], without: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-c", LIGHT.format(args=args)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    modules = result.stdout.rpartition("MODULES")[2].split()
    assert not set(without) & set(modules)


def test_all_commands_exist_and_have_help(core4: Core4) -> None:
    overview = core4("--help").out
    for entry in commands.ENTRIES:
        assert f"  {entry.name} " in overview
        if entry.module:
            for name in (entry.name, *entry.aliases):
                result = core4(name, "--help")
                assert result.code == 0
                assert "Usage: core4" in result.out
