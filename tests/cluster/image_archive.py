"""Write and read image archives in Python: an image of a single static program."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path
from typing import Any

from tests.cluster.errors import ClusterError

ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def architecture() -> str:
    """Return this machine's architecture, as Go and container images name it."""
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def write_image(target: Path, *, program: Path, reference: str) -> None:
    """Write a docker archive with one layer that contains one program, the entry point.

    The same input gives the same bytes, since there are no timestamps and no user names.
    """
    entry = f"/{program.name}"
    layer = _tar({program.name: program.read_bytes()}, mode=0o755)
    layer_digest = hashlib.sha256(layer).hexdigest()
    config: dict[str, Any] = {
        "architecture": architecture(),
        "os": "linux",
        "config": {"Entrypoint": [entry], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
    }
    raw_config = json.dumps(config, sort_keys=True).encode()
    config_name = f"{hashlib.sha256(raw_config).hexdigest()}.json"
    layer_name = f"{layer_digest}.tar"
    row = {"Config": config_name, "RepoTags": [reference], "Layers": [layer_name]}
    files = {
        config_name: raw_config,
        layer_name: layer,
        "manifest.json": json.dumps([row]).encode(),
    }
    new = target.with_suffix(".new")
    new.write_bytes(_tar(files, mode=0o644))
    new.replace(target)


def _tar(files: dict[str, bytes], mode: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def reference(archive: Path) -> str:
    """Return the name of the image in a docker archive.

    Raises:
        ClusterError: the file is not a docker archive, or its image has no name.
    """
    try:
        with tarfile.open(archive) as opened:
            manifest = opened.extractfile("manifest.json")
            rows = json.loads(manifest.read()) if manifest else []
        return str(rows[0]["RepoTags"][0])
    except (OSError, tarfile.TarError, KeyError, LookupError, TypeError, ValueError) as error:
        raise ClusterError(f"{archive} is no docker archive with a named image") from error
