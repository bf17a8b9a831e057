"""docs/cli.md has all commands, and the options that they require."""

from pathlib import Path

import pytest

from core4.command.commands import ENTRIES, Entry
from core4.command.exits import Exit

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_each_command_has_a_section(entry: Entry) -> None:
    heading = f"### core4 {entry.name}"
    assert [line for line in TEXT.splitlines() if line.split(" (")[0] == heading] != []


def test_an_option_of_a_command_with_the_name_of_a_general_one_is_listed() -> None:
    section = TEXT.split("`core4 context set ")[1].split("`core4 context use ")[0]
    assert "| `--url TEXT` | URL of the server.  [required] |" in section
    assert "| `--ca-file TEXT` |" in section


@pytest.mark.parametrize("code", Exit)
def test_each_exit_code_has_a_row(code: Exit) -> None:
    meaning = code.meaning.replace("|", "\\|")
    assert f"| {code.value} | {meaning} |" in TEXT
