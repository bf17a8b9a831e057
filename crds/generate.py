"""Write the CRDs from their one source, `corejob.crds`; `--check` only reports stale files.

Usage: python crds/generate.py [--check]
"""

import sys
from pathlib import Path

import yaml

from corejob.crds.job import job_crd
from corejob.crds.template import template_crd

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (ROOT / "crds", ROOT / "charts" / "core4" / "crds")
HEADER = "# Generated from domain/corejob/crds by `make generate`. Do not edit.\n"


def rendered() -> dict[str, str]:
    """Return the content of each file by its name."""
    return {
        f"{crd['spec']['names']['plural']}.yaml": HEADER
        + yaml.safe_dump(crd, sort_keys=False, width=100, allow_unicode=True)
        for crd in (job_crd(), template_crd())
    }


def main(arguments: list[str]) -> int:
    """Write or check the files; return 1 if a check finds a stale one, else 0."""
    stale = []
    for folder in FOLDERS:
        for name, content in rendered().items():
            path = folder / name
            if path.exists() and path.read_text(encoding="utf-8") == content:
                continue
            stale.append(path.relative_to(ROOT))
            if "--check" not in arguments:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
    for path in stale:
        sys.stdout.write(f"{'stale' if '--check' in arguments else 'written'}: {path}\n")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
