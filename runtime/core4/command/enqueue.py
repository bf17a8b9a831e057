"""`enqueue`: enqueue a job, and follow it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core4.command import completing, connection, followed, ids, output, typing_args
from core4.command.app import command
from core4.command.exits import Exit
from core4.command.follow import OutputForm, following, manner_of, write_end
from core4.command.typing_args import BadArgumentError

if TYPE_CHECKING:
    from core4.client import Client

_PROPERTIES = {
    "type": "object",
    "properties": {
        **{
            name: {"type": "integer"}
            for name in (
                "attempts", "error_time", "defer_time", "defer_max", "zombie_time", "priority",
                "progress_interval", "trial",
            )
        },
        "wall_time": {"type": ["integer", "null"]},
        "max_parallel": {"type": ["integer", "null"]},
        "force": {"type": "boolean"},
        "worker": {"type": ["string", "null"]},
    },
}  # fmt: skip
"""Types of the properties; the server checks their values."""


@command(
    "enqueue",
    "Enqueue a job and follow it; the exit code is the job's result. A word k=v is typed by the "
    "job's schema, k:=v is JSON, and k=@file has the text of a file.",
)
@click.argument("name", shell_complete=completing.qual_names)
@click.argument("words", metavar="[k=v | k:=json | k=@file]…", nargs=-1)
@click.option("-d", "--detach", is_flag=True, help="Print the id and end.")
@click.option("--wait", is_flag=True, help="Follow without the log.")
@click.option("--args", "json_args", metavar="JSON", help="Arguments as a JSON object.")
@click.option(
    "-f", "--file", "path", metavar="FILE", help="Arguments from a file, JSON or YAML; - is stdin."
)
@click.option(
    "--set", "properties", metavar="NAME=VALUE", multiple=True,
    help="A property, such as attempts=3.",
)  # fmt: skip
@click.option("--idempotency-key", metavar="KEY", help="For a day, the same key is the same job.")
@following
def enqueue_command(
    *,
    name: str,
    words: tuple[str, ...],
    detach: bool,
    wait: bool,
    json_args: str | None,
    path: str | None,
    properties: tuple[str, ...],
    idempotency_key: str | None,
    form: str,
    **how: Any,
) -> int:
    """Enqueue a job."""
    shape = OutputForm(form)
    manner = manner_of(shape, how, log=not wait)
    with connection.current().client() as client:
        try:
            args = {
                **(_from_file(path) if path is not None else {}),
                **(typing_args.json_object("--args", json_args) if json_args is not None else {}),
                **typing_args.parse(words, _schema(client, name, words)),
                **typing_args.parse(properties, _PROPERTIES),
            }
        except BadArgumentError as error:
            raise click.UsageError(str(error)) from None
        job = client.enqueue(name, args, idempotency_key=idempotency_key)
        ids.remember(client, job.id)
        if detach:
            if shape in {OutputForm.LOG, OutputForm.NAME}:
                click.echo(job.id)
            else:
                output.write_one(job.document().raw, output.Format(shape))
            return Exit.OK
        click.echo(f"-- job {job.id} --", err=True)
        return write_end(job.id, followed.follow(job, manner), shape)


def _schema(client: Client, name: str, words: tuple[str, ...]) -> Mapping[str, Any] | None:
    """Return the schema of the args; None if there is none, or no word needs it."""
    if not any("=" in word and not word.partition("=")[0].endswith(":") for word in words):
        return None
    for entry in client.jobs(filter={"qual_name": name}):
        return entry.args_schema
    return None


def _from_file(path: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadArgumentError(f"can't read {path}: {error}") from None
    try:
        return typing_args.json_object(path, text)
    except BadArgumentError:
        if path.endswith(".json") or text.lstrip().startswith("{"):
            raise
    try:
        import yaml  # noqa: PLC0415
    except ModuleNotFoundError:
        raise BadArgumentError(
            f"{path} is not JSON, and YAML needs PyYAML: pip install pyyaml"
        ) from None
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadArgumentError(f"{path} is neither JSON nor YAML: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise BadArgumentError(f"{path} has no mapping of names to values")
    return found
