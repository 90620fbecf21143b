"""Sources of PostgREST's options: a file, the environment, flags, the database."""

from __future__ import annotations

import json
import re
from collections import ChainMap
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from src.edge.errors import SettingsError
from src.rest.catalog.model import Name

PREFIX = "PGRST_"
APP_SETTINGS, APP_VARIABLES = "app.settings.", "PGRST_APP_SETTINGS_"
ALIASES = {
    "db-schemas": "db-schema",
    "db-max-rows": "max-rows",
    "db-pre-request": "pre-request",
    "db-root-spec": "root-spec",
    "db-pool-max-idletime": "db-pool-timeout",
    "jwt-role-claim-key": "role-claim-key",
    "jwt-secret-is-base64": "secret-is-base64",
}
LINE = re.compile(
    r"""\s*(?:(?P<option>[A-Za-z][\w.-]*)\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"|[^\s"\#]+)\s*)?(?:\#.*)?""", re.VERBOSE
)
QUOTED = r'"(?:[^"]|"")*"'
LISTED = re.compile(rf"\s*({QUOTED}|[^,]*?)\s*(?:,|$)")
QUALIFIED = re.compile(rf"(?:(?!{QUOTED}$)({QUOTED}|[^.]*)\.)?(.*)", re.DOTALL)
MAX_NAME_LENGTH = 63
FILE_MODES = range(0o600, 0o1000)
VARIABLE = re.compile(r"\$(?:\((\w+)\)|(\$))")


def of_file(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """`option = value` lines, comments after #, texts in double quotes, in which `$(NAME)` is that variable.

    Raises SettingsError with the line that is wrong.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise SettingsError(str(error)) from None
    found = {}
    for number, line in enumerate(lines, 1):
        match = LINE.fullmatch(line)
        try:
            if match is None:
                raise ValueError  # noqa: TRY301 - one message for all that is wrong with a line
            if match["option"]:
                found[match["option"]] = _value(match["value"], environ)
        except (ValueError, KeyError):
            message = f"{path}:{number} is not `option = value`, or names an environment variable that is not set"
            raise SettingsError(message) from None
    return found


def _value(text: str, environ: Mapping[str, str]) -> str:
    if not text.startswith('"'):
        return {"on": "true", "off": "false"}.get(text, text)
    return VARIABLE.sub(lambda match: "$" if match[2] else environ[match[1]], json.loads(text))


def of_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Options from PGRST_*: PGRST_DB_URI is db-uri, PGRST_APP_SETTINGS_Motto is app.settings.Motto."""
    found = {}
    for variable, value in environ.items():
        if variable.startswith(APP_VARIABLES):
            found[APP_SETTINGS + variable.removeprefix(APP_VARIABLES)] = value
        elif variable.startswith(PREFIX):
            found[variable.removeprefix(PREFIX).lower().replace("_", "-")] = value
    return found


class Options:
    """Options by name; the first of `sources` that gives one wins. Readers raise SettingsError with its name."""

    def __init__(self, *sources: Mapping[str, str]) -> None:
        self._given = ChainMap(*map(dict, sources))

    def _get(self, name: str) -> str | None:
        return self._given.get(name, self._given.get(ALIASES.get(name, name)))

    def beginning(self, prefix: str) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self._given.items() if name.startswith(prefix)]

    def text(self, name: str, default: str) -> str:
        return self._get(name) or default

    def file_or_text(self, name: str) -> str:
        """The value, or the content of the file that `@path` names."""
        value = self.text(name, "")
        if not value.startswith("@"):
            return value
        path = Path(value[1:])
        try:
            return _content(path) if path.is_file() else _content_once(path)
        except OSError as error:
            # The path is not quoted, because it may be a secret that begins with an @.
            message = f"{name} names a file that cannot be read: {error.strerror}"
            raise SettingsError(message) from None

    def words(self, name: str, default: str, *, empty: bool = False) -> tuple[str, ...]:
        given = self._get(name)
        value = default if given is None or (not given and not empty) else given
        return tuple(filter(None, (word.strip() for word in value.split(","))))

    def names(self, name: str, default: str, *, empty: bool = False) -> tuple[str, ...]:
        """Comma-separated database names; names with a comma are double-quoted, as in SQL."""
        given = self._get(name)
        value = default if given is None or (not given and not empty) else given
        return tuple(filter(None, map(database_name, LISTED.findall(value))))

    def function(self, name: str) -> Name | None:
        """`schema.function`, or a `function` on the search path; either may be double-quoted."""
        schema, bare = QUALIFIED.fullmatch(self.text(name, "")).groups("")  # type: ignore[union-attr]  # all texts match
        return Name(database_name(schema), database_name(bare)) if bare else None

    def number(self, name: str, default: int) -> int:
        return self._read(name, default, int, "a whole number")

    def file_mode(self, name: str, default: int) -> int:
        mode = self._read(name, default, lambda value: int(value, 8), "octal, as 660")
        if mode not in FILE_MODES:
            message = f"{name} must be between 600 and 777"
            raise SettingsError(message)
        return mode

    def truth(self, name: str, *, default: bool) -> bool:
        words = {"true": 1, "false": 0, "1": 1, "0": 0}
        return bool(self._read(name, int(default), lambda value: words[value.strip().lower()], "true or false"))

    def one_of(self, name: str, default: str, allowed: frozenset[str]) -> str:
        value = self.text(name, default)
        if value not in allowed:
            message = f"{name} must be one of {', '.join(sorted(allowed))}"
            raise SettingsError(message)
        return value

    def _read(self, name: str, default: int, read: Callable[[str], int], meaning: str) -> int:
        value = self._get(name)
        if not value:
            return default
        try:
            return read(value)
        except (ValueError, KeyError):
            message = f"{name} must be {meaning}"
            raise SettingsError(message) from None


def database_name(text: str) -> str:
    """The name that SQL means by a text in double quotes, else the text itself; as much as PostgreSQL keeps of it."""
    name = text[1:-1].replace('""', '"') if re.fullmatch(QUOTED, text) else text
    return name.encode()[:MAX_NAME_LENGTH].decode(errors="ignore")


def _content(path: Path) -> str:
    return path.read_text().rstrip("\n")


# A pipe such as /dev/stdin can be read only once.
_content_once = lru_cache(_content)
