"""`--via kubectl`: reach a service without an ingress through `kubectl port-forward`."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

from core4.client.errors import ConfigurationError

_FORM: Final = re.compile(r"kubectl(?::(?:(?P<namespace>[a-z0-9-]+)/)?(?P<service>[a-z0-9-]*))?")
_LABELS: Final = "app.kubernetes.io/name=core4,app.kubernetes.io/component=api"
_PORT_NAME: Final = "http"
_READY: Final = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
_READY_S: Final = 20.0
_STOP_S: Final = 5.0
_QUERY_S: Final = 15.0


@contextmanager
def forwarded(via: str) -> Iterator[str]:
    """Start a port-forward, yield the URL of its local end, and stop it at the end.

    Args:
        via: `kubectl`, `kubectl:service` or `kubectl:namespace/service`. Without a service it is
            found by its labels, in kubectl's current namespace.

    Raises:
        ConfigurationError: The text is malformed, or kubectl can't reach the service.
    """
    match = _FORM.fullmatch(via)
    if match is None:
        raise ConfigurationError(
            f"--via expects kubectl, or kubectl:namespace/service, got {via!r}"
        )
    namespace = [] if match["namespace"] is None else ["--namespace", match["namespace"]]
    service = match["service"] or _service(namespace)
    command = ["kubectl", *namespace, "port-forward", f"service/{service}", f":{_PORT_NAME}"]
    try:
        process = subprocess.Popen(  # noqa: S603  # arguments, not a shell
            [*command, "--address", "127.0.0.1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Ctrl-C in a terminal goes to the whole group: the port-forward must outlive it.
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigurationError(f"--via needs kubectl: {error}") from None
    lines: queue.Queue[str | None] = queue.Queue()
    # kubectl goes on writing a line per connection, so its output is read to the end.
    reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
    reader.start()
    try:
        yield f"http://127.0.0.1:{_port(process, lines)}"
    finally:
        _stop(process)
        reader.join(_STOP_S)


def _service(namespace: list[str]) -> str:
    """Return the name of the API's service."""
    command = ["kubectl", *namespace, "get", "services", "--selector", _LABELS, "--output", "json"]
    try:
        result = subprocess.run(  # noqa: S603  # arguments, not a shell
            command, capture_output=True, text=True, check=False, timeout=_QUERY_S
        )
    except FileNotFoundError:
        raise ConfigurationError("--via needs kubectl, which is not installed") from None
    except subprocess.TimeoutExpired:
        raise ConfigurationError(f"kubectl did not answer within {_QUERY_S:g} s") from None
    if result.returncode != 0:
        raise ConfigurationError(f"kubectl: {result.stderr.strip()}")
    names = [
        item["metadata"]["name"]
        for item in json.loads(result.stdout)["items"]
        # The service of the health port has the same labels.
        if any(port.get("name") == _PORT_NAME for port in item["spec"].get("ports", []))
    ]
    if len(names) == 1:
        return str(names[0])
    where = f"namespace {namespace[-1]}" if namespace else "kubectl's current namespace"
    if not names:
        raise ConfigurationError(
            f"there is no core4 service in {where}; say which: --via kubectl:namespace/service"
        )
    raise ConfigurationError(
        f"there are several core4 services in {where} ({', '.join(names)}); say which: "
        "--via kubectl:namespace/service"
    )


def _port(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> int:
    """Return the local port, once kubectl has told it."""
    told: list[str] = []
    while True:
        try:
            line = lines.get(timeout=_READY_S)
        except queue.Empty:
            raise ConfigurationError(
                f"kubectl port-forward was not ready within {_READY_S:g} s"
            ) from None
        if line is None:
            text = " ".join(told) or f"exit code {process.wait()}"
            raise ConfigurationError(f"kubectl port-forward: {text}")
        if (match := _READY.match(line)) is not None:
            return int(match[1])
        told.append(line.strip())


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    ready = False
    with stream:
        for line in stream:
            if not ready:
                lines.put(line)
            ready = ready or _READY.match(line) is not None
    lines.put(None)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
