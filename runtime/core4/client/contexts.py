"""The context file: named servers, one of which is the current one.

`$XDG_CONFIG_HOME/core4/config.toml` (`~/.config/core4/config.toml`) names the servers:

    current = "prod"

    [contexts.prod]
    url = "https://jobs.example.com"
    user = "ann"
    ca_file = "/etc/ssl/our-ca.pem"
    namespace = "jobs"

`credentials.json` beside it has their tokens, and is readable by its owner only. Both files are
replaced as a whole, so that a reader never sees a part of one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from core4.client.errors import ConfigurationError

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_CONFIG: Final = "config.toml"
_CREDENTIALS: Final = "credentials.json"
_OTHERS: Final = 0o077


@dataclass(frozen=True, slots=True)
class Context:
    """A server.

    Attributes:
        url: Its URL.
        user: The user who signed in; for people.
        ca_file: Path of the certificates of its authority; None for those of the system.
        namespace: Its namespace; for people.
    """

    url: str
    user: str | None = None
    ca_file: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Contexts:
    """All contexts, as the file has them."""

    current: str | None = None
    contexts: Mapping[str, Context] = field(default_factory=dict)

    def get(self, name: str | None = None) -> tuple[str, Context] | None:
        """Return name and context of that name, or of the current one; None if none is current.

        Raises:
            ConfigurationError: There is no such context.
        """
        wanted = name or self.current
        if wanted is None:
            return None
        found = self.contexts.get(wanted)
        if found is None:
            known = ", ".join(sorted(self.contexts)) or "none"
            raise ConfigurationError(f"there is no context [{wanted}]; there are: {known}")
        return wanted, found

    def using(self, name: str) -> Contexts:
        """Return these contexts with another current one.

        Raises:
            ConfigurationError: There is no such context.
        """
        self.get(name)
        return replace(self, current=name)

    def having(self, name: str, context: Context) -> Contexts:
        """Return these contexts with a new or changed one.

        Raises:
            ConfigurationError: The name has characters that it must not have.
        """
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"a context's name has letters, digits, dots, hyphens and underscores: [{name}]"
            )
        return replace(self, contexts={**self.contexts, name: context})

    def without(self, name: str) -> Contexts:
        """Return these contexts without one of them.

        Raises:
            ConfigurationError: There is no such context.
        """
        self.get(name)
        rest = {other: context for other, context in self.contexts.items() if other != name}
        return Contexts(None if self.current == name else self.current, rest)


class ContextFile:
    """The files on the disk.

    Args:
        folder: Their folder; by default that of the XDG base directory specification.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder(os.environ)

    def load(self) -> Contexts:
        """Return the contexts; none if there is no file.

        Raises:
            ConfigurationError: The file can't be read.
        """
        path = self.folder / _CONFIG
        if not path.exists():
            return Contexts()
        # Imported here, since pods have no such file.
        import tomllib  # noqa: PLC0415

        try:
            return _parse(tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"can't read the context file {path}: {error}") from None

    def save(self, contexts: Contexts) -> None:
        """Write the contexts."""
        self._write(_CONFIG, _toml(contexts))

    def token(self, name: str) -> str | None:
        """Return the token of a context; None if there is none.

        Raises:
            ConfigurationError: The file can't be read, or others may read it.
        """
        return self._tokens().get(name)

    def save_token(self, name: str, token: str | None) -> None:
        """Write the token of a context, or delete it."""
        tokens = {**self._tokens(), name: token}
        kept = {each: text for each, text in tokens.items() if text is not None}
        self._write(_CREDENTIALS, json.dumps(kept, indent=1) + "\n")

    def _tokens(self) -> dict[str, str]:
        path = self.folder / _CREDENTIALS
        try:
            with path.open(encoding="utf-8") as file:
                if os.name == "posix" and os.fstat(file.fileno()).st_mode & _OTHERS:
                    raise ConfigurationError(
                        f"others may read the tokens in {path}: chmod 600 {path}"
                    )
                tokens = json.load(file)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"can't read the tokens in {path}: {error}") from None
        if not isinstance(tokens, dict):
            raise ConfigurationError(f"can't read the tokens in {path}: not a JSON object")
        return {str(name): str(token) for name, token in tokens.items()}

    def _write(self, name: str, text: str) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / name
        draft = self.folder / f".{name}.{os.getpid()}.{os.urandom(4).hex()}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def default_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the files; a relative `XDG_CONFIG_HOME` is ignored, as XDG says."""
    base = environ.get("XDG_CONFIG_HOME", "")
    root = Path(base) if Path(base).is_absolute() else Path("~/.config").expanduser()
    return root / "core4"


def _parse(document: Mapping[str, Any]) -> Contexts:
    known = {each.name for each in fields(Context)}
    contexts = {
        name: Context(**{key: str(value) for key, value in table.items() if key in known})
        for name, table in document.get("contexts", {}).items()
    }
    current = document.get("current")
    return Contexts(None if current is None else str(current), contexts)


def _toml(contexts: Contexts) -> str:
    lines = [] if contexts.current is None else [f"current = {_string(contexts.current)}"]
    for name, context in contexts.contexts.items():
        lines += ["", f"[contexts.{_string(name)}]"]
        for each in fields(Context):
            value = getattr(context, each.name)
            if value is not None:
                lines.append(f"{each.name} = {_string(value)}")
    return "\n".join(lines).lstrip("\n") + "\n"


def _string(text: str) -> str:
    """Return a TOML string: JSON has the same escapes, but leaves DEL as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
