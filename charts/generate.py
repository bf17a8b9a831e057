"""Write the files generated from the chart's sources; `--check` only reports stale files.

From values.schema.yaml: values.yaml, values.schema.json and the table in docs/values.md. From
files/rbac.yaml: the table in docs/security.md. From `corejob.reasons`: the tables in
docs/reasons.md. From the `core4` package: files/examples.yaml. From pyproject.toml: the version
wherever it is written out.

Usage: python charts/generate.py [--check]
"""

import contextlib
import io
import json
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from core4 import cli
from corejob import reasons

ROOT: Final = Path(__file__).resolve().parent.parent
CHART: Final = ROOT / "charts" / "core4"
SCHEMA: Final = CHART / "values.schema.yaml"
RIGHTS: Final = CHART / "files" / "rbac.yaml"
DOCS: Final = ROOT / "docs"
EXAMPLES: Final = "core4.queue.helper.job.example"
_IMAGE_TAG: Final = r"\b(core4:)(\d[\w.+-]*)"
VERSIONED: Final = {
    CHART / "Chart.yaml": r'^(version: |appVersion: ")([^"\n]+)',
    ROOT / "Dockerfile": r"^(ARG VERSION=)(\S+)",
    ROOT / "README.md": _IMAGE_TAG,
    ROOT / "README.md": _IMAGE_TAG,
    DOCS / "installing.md": _IMAGE_TAG,
    DOCS / "rest.md": r'("version": "core4/)([^"]+)',
    ROOT / "examples" / "python-jobs" / "README.md": _IMAGE_TAG,
    ROOT / "examples" / "python-jobs" / "Dockerfile": _IMAGE_TAG,
    ROOT / "runtime" / "core4" / "__init__.py": r'^(__version__ = ")([^"]+)',
    ROOT / "tests" / "e2e" / "original" / "Dockerfile": _IMAGE_TAG,
}
"""Files with the project's version, and where: the text before it, and the version itself."""
_WIDTH: Final = 100
_NOTE: Final = "Generated from {} by `make generate`. Do not edit."

Schema = Mapping[str, Any]


def load(path: Path) -> Any:
    """Return the parsed content of a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rendered() -> dict[Path, str]:
    """Return the content of each generated file by its path."""
    schema = load(SCHEMA)
    pages = {
        DOCS / "values.md": {"values": values_table(schema)},
        DOCS / "security.md": {"rbac": rights_table(load(RIGHTS))},
        DOCS / "reasons.md": {
            "reasons of waiting": reasons_table(reasons.WAITING, "what it waits for"),
            "reasons of an end": reasons_table(reasons.ENDED, "cause"),
        },
    }
    return {
        CHART / "values.yaml": values(schema),
        CHART / "values.schema.json": json.dumps(strict(schema), indent=2) + "\n",
        CHART / "files" / "examples.yaml": examples(),
        **{page: with_tables(_text(page), tables) for page, tables in pages.items()},
        **{path: with_version(_text(path), pattern) for path, pattern in VERSIONED.items()},
    }


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def version() -> str:
    """Return the project's version."""
    project = tomllib.loads(_text(ROOT / "pyproject.toml"))["project"]
    return str(project["version"])


def with_version(text: str, pattern: str) -> str:
    """Return a text with the project's version in each place that the pattern finds."""
    return re.sub(pattern, lambda match: match[1] + version(), text, flags=re.MULTILINE)


def values(schema: Schema) -> str:
    """Return values.yaml: the defaults, each below its description."""
    head = f"# {_NOTE.format('values.schema.yaml')}\n"
    return head + "".join(_value(name, sub, depth=0) for name, sub in _properties(schema))


def strict(schema: Schema) -> Schema:
    """Return the schema with the values that Helm must not drop as required ones.

    Helm drops a value that is null, also a whole section; a template would fail at it, or read 0.
    """
    definitions = schema.get("definitions", {})

    def is_required(sub: Schema) -> bool:
        if "default" not in sub:
            return True
        types = definitions.get(sub.get("$ref", "").rpartition("/")[2], sub).get("type")
        return bool(sub["default"]) and "null" not in types

    def section(sub: Schema) -> Schema:
        if "default" in sub:
            return sub
        properties = dict(_properties(sub))
        return {
            **sub,
            "required": [name for name, value in properties.items() if is_required(value)],
            "properties": {name: section(value) for name, value in properties.items()},
        }

    return section(schema)


def _value(name: str, schema: Schema, *, depth: int) -> str:
    margin = "  " * depth
    text = "\n".join(
        textwrap.wrap(
            schema["description"],
            _WIDTH,
            initial_indent=f"{margin}# ",
            subsequent_indent=f"{margin}# ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    )
    gap = "" if depth else "\n"
    if "default" in schema:
        lines = yaml.safe_dump({name: schema["default"]}, sort_keys=False, width=_WIDTH)
        return f"{gap}{text}\n{textwrap.indent(lines, margin)}"
    inner = "".join(_value(key, sub, depth=depth + 1) for key, sub in _properties(schema))
    return f"{gap}{text}\n{margin}{name}:\n{inner}"


def _properties(schema: Schema) -> Iterator[tuple[str, Schema]]:
    yield from schema.get("properties", {}).items()


def leaves(schema: Schema, prefix: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield the dotted path and the schema of each value that can be set."""
    for name, sub in _properties(schema):
        if "default" in sub:
            yield prefix + name, sub
        else:
            yield from leaves(sub, f"{prefix}{name}.")


def values_table(schema: Schema) -> str:
    """Return the values as a Markdown table."""
    rows = [("value", "default", "meaning"), ("---", "---", "---")]
    rows += [
        (f"`{path}`", f"`{json.dumps(sub['default'])}`", _cell(sub["description"]))
        for path, sub in leaves(schema)
    ]
    return _table(rows)


def rights_table(rights: Mapping[str, Any]) -> str:
    """Return the rights as a Markdown table."""
    rows = [("role", "resources", "verbs", "why"), ("---", "---", "---", "---")]
    for who, rules in rights.items():
        rows += [
            (f"`{who}`", _resources(rule), ", ".join(rule["verbs"]), rule["why"]) for rule in rules
        ]
    return _table(rows)


def reasons_table(meanings: Sequence[reasons.Meaning], cause: str) -> str:
    """Return reasons as a Markdown table; `cause` is the head of the second column."""
    rows = [("`reason`", cause, "what to do"), ("---", "---", "---")]
    rows += [
        (f"`{meaning.reason}`", _cell(meaning.cause), _cell(meaning.remedy)) for meaning in meanings
    ]
    return _table(rows)


def _resources(rule: Mapping[str, Any]) -> str:
    groups = ", ".join(f"`{group}`" if group else "core" for group in rule["apiGroups"])
    return f"{', '.join(f'`{name}`' for name in rule['resources'])} ({groups})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def examples() -> str:
    """Return the CoreJobTemplates of the example jobs, as `core4 templates` prints them."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = cli.main(["templates", EXAMPLES])
    if code:
        raise RuntimeError(f"core4 templates {EXAMPLES} failed with {code}")
    return f"# {_NOTE.format(f'`core4 templates {EXAMPLES}`')}\n{output.getvalue()}"


def with_tables(text: str, tables: Mapping[str, str]) -> str:
    """Return a document with the tables between their markers replaced."""
    for name, table in tables.items():
        start, end = f"<!-- {name}: start -->", f"<!-- {name}: end -->"
        before, rest = text.split(start)
        after = rest.split(end)[1]
        text = f"{before}{start}\n{table}{end}{after}"
    return text


def main(arguments: list[str]) -> int:
    """Write or check the files; return 1 if a check finds a stale one, else 0."""
    check = "--check" in arguments
    stale = []
    for path, content in rendered().items():
        if path.exists() and path.read_text(encoding="utf-8") == content:
            continue
        stale.append(path.relative_to(ROOT))
        if not check:
            path.write_text(content, encoding="utf-8")
    for path in stale:
        sys.stdout.write(f"{'stale' if check else 'written'}: {path}\n")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
