"""Retention in the recorder's process, and the command beside it."""

import asyncio
from pathlib import Path

import pytest
from tests.support.fake_apiserver.http import use_kubeconfig, write_kubeconfig
from tests.support.fake_apiserver.objects import NAMESPACE
from tests.support.signals import DEADLINE
from tests.unit.journal.conftest import JOB, OTHER, recorder_on
from tests.unit.journal.fake_cluster import FakeCluster

from corejob_journal.recorder import main
from corejob_journal.recorder.retention import command
from corejob_journal.recorder.retention_policy import RetentionPolicy
from corejob_journal.recorder.settings import RecorderSettings
from corejob_journal.store import Store, Writer
from corejob_journal.store.records import PutDocument
from corejob_process.settings import load

DOCUMENT = {"qual_name": "a.Job", "state": "complete"}


async def fill(url: str) -> None:
    """Store two past jobs that are half a century old."""
    writer = await Writer.open(url)
    await writer.commit([PutDocument(name, DOCUMENT, 5.0) for name in (JOB, OTHER)])
    await writer.close()


async def test_the_recorder_deletes_what_is_too_old_but_not_what_has_a_resource(
    cluster: FakeCluster, sqlite_url: str
) -> None:
    await fill(sqlite_url)
    await cluster.add_job(JOB)
    async with recorder_on(cluster, sqlite_url) as recorder:
        settings = RecorderSettings(
            NAMESPACE, sqlite_url, retention=RetentionPolicy(max_age_days=1)
        )
        done = asyncio.Event()
        done.set()
        async with main.retaining(settings, recorder.supervisor, done):
            async with asyncio.timeout(DEADLINE):
                while await recorder.store.document(OTHER) is not None:
                    pass
            # The stop cancels the current deletion; the next start continues it.
        assert await recorder.store.document(JOB) is not None


async def test_without_a_setting_nothing_is_deleted(cluster: FakeCluster, sqlite_url: str) -> None:
    await fill(sqlite_url)
    settings = RecorderSettings(NAMESPACE, sqlite_url)
    async with recorder_on(cluster, sqlite_url) as recorder:
        before = asyncio.all_tasks()
        never = asyncio.Event()
        async with main.retaining(settings, recorder.supervisor, never):
            assert asyncio.all_tasks() == before
        assert await recorder.store.document(OTHER) is not None


async def test_the_command_says_what_would_go(
    cluster: FakeCluster,
    sqlite_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    use_kubeconfig(write_kubeconfig(tmp_path, cluster.url), monkeypatch)
    await fill(sqlite_url)
    await cluster.add_job(JOB)
    settings = RecorderSettings(NAMESPACE, sqlite_url)
    arguments = ["--dry-run", "--max-age-days", "30"]
    assert await asyncio.to_thread(command.run, arguments, settings) == 0
    printed = capsys.readouterr().out
    assert "past jobs to delete:          1\n" in printed
    assert "journaled from:               1970-01-01T00:00:05 UTC\n" in printed
    store = await Store.open(sqlite_url)
    assert await store.document(OTHER) is not None
    await store.close()


async def test_the_command_says_what_is_away(
    cluster: FakeCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    use_kubeconfig(write_kubeconfig(tmp_path, cluster.url), monkeypatch)
    settings = RecorderSettings(NAMESPACE, f"sqlite:///{tmp_path}/none.db")
    assert await asyncio.to_thread(command.run, ["--dry-run"], settings) == 1
    assert capsys.readouterr().err.startswith("core4-recorder: the store does not answer")
    await cluster.stop()
    assert await asyncio.to_thread(command.run, ["--dry-run"], settings) == 1
    assert capsys.readouterr().err.startswith("core4-recorder: ")


def test_settings_of_the_process() -> None:
    environ = {"CORE4_NAMESPACE": "jobs", "CORE4_RETENTION_MAX_AGE_DAYS": "7"}
    assert load(RecorderSettings, environ).retention == RetentionPolicy(max_age_days=7)
    with pytest.raises(ValueError, match="CORE4_RETENTION_MAX_SIZE"):
        load(RecorderSettings, {**environ, "CORE4_RETENTION_MAX_SIZE": "much"})
