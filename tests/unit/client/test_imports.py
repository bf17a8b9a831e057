"""Imports of the client, and when they happen."""

import subprocess
import sys

import pytest

LIST = "import sys; {}; print(*sys.modules)"


def modules(statement):
    """Return the modules that a statement imports in addition to the interpreter's own."""
    bare, found = (
        set(
            subprocess.run(
                [sys.executable, "-c", LIST.format(code)],
                capture_output=True, text=True, check=True,
            ).stdout.split()
        )
        for code in ("pass", statement)
    )  # fmt: skip
    return found - bare


def test_the_package_imports_no_http():
    heavy = {"http.client", "ssl", "socket", "asyncio", "email", "tomllib", "urllib.request"}
    assert not (heavy | {"aiohttp"}) & modules("import core4.client")


def test_the_client_for_threads_imports_neither_asyncio_nor_aiohttp():
    found = modules("from core4.client import Client")
    assert "http.client" in found
    assert not {"asyncio", "aiohttp", "tomllib"} & found


@pytest.mark.parametrize("module", ["core4.runner.trial", "core4.queue.job", "core4.cli"])
def test_a_job_starts_without_the_client(module):
    assert not {name for name in modules(f"import {module}") if name.startswith("core4.client")}


def test_without_aiohttp_the_error_says_what_to_install():
    code = """
import sys
sys.modules["aiohttp"] = None
try:
    from core4.client import AsyncClient
except ImportError as error:
    assert "pip install 'core4-runtime[async]'" in str(error), error
else:
    raise SystemExit("imported")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_names_exist():
    import core4.client

    for name in core4.client.__all__:
        assert getattr(core4.client, name) is not None
    with pytest.raises(AttributeError):
        _ = core4.client.nothing
