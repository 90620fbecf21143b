"""`ecotrips settings`: the table of settings with their values and where those come from."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from src.commands import local
from src.commands.arguments import Commands
from src.edge.errors import SettingsError
from src.settings import declared
from src.settings.kinds import UNSEEN
from src.settings.table import PRODUCTION, TABLE

ENVIRONMENT, INSTALLATION, DEFAULT, NOT_SET = "environment", "installation", "default", "not set"
NOT_KEPT = "not kept with the installation: commands ask for it"
DERIVED = ("DATABASE_ROLE_SECRET", "LINK_SECRETS", "PRIVACY_HMAC_SECRET")
FROM_JWT_SECRET = "derived from JWT_SECRET"  # noqa: S105 - a place
EMBEDDED = "postgresql:///ecotrips"


class Row(NamedTuple):
    """A setting with everything that is told of it: `kind` follows "must be", `needed` is in production."""

    name: str
    group: str
    meaning: str
    kind: str
    default: str
    example: str
    needed: bool


@dataclass(frozen=True, slots=True)
class InForce:
    """A setting's printable value, its origin, and its fault."""

    row: Row
    value: str
    source: str
    faults: list[str]


def add(commands: Commands) -> None:
    settings = commands.add_parser("settings", help="every setting: what is in force, and where that comes from")
    settings.add_argument("names", nargs="*", metavar="NAME", help="only those whose name begins so")
    settings.add_argument("--json", action="store_true", help="for programs")
    settings.set_defaults(run=show, names_faults=True)


def show(arguments: argparse.Namespace) -> int:
    """Print the table; 0 when all settings are valid, else 1."""
    found, faults = in_force(os.environ)
    wanted = [line for line in found if not arguments.names or line.row.name.startswith(tuple(arguments.names))]
    shown = [{**line.row._asdict(), "value": line.value, "source": line.source} for line in wanted]
    text = json.dumps({"settings": shown, "faults": faults}, indent=2) if arguments.json else "\n".join(_lines(wanted))
    with suppress(BrokenPipeError):  # the reader closed the pipe
        print(text, flush=True)
    begun = {name for name in arguments.names if any(line.row.name.startswith(name) for line in found)}
    faults += [f"no setting's name begins with {name}" for name in arguments.names if name not in begun]
    print("".join(f"ecotrips: {fault}\n" for fault in faults), end="", file=sys.stderr)
    return 1 if faults else 0


def rows() -> Iterator[Row]:
    for group, members in TABLE.items():
        for one in members:
            default, there = one.default, one.production or one.default
            told = default if there == default else f"{default}; in production {there}"
            needed = one.needed or one.everywhere
            yield Row(one.name, group, one.meaning, one.kind.must_be, told, one.example, needed=needed)


def in_force(environ: Mapping[str, str]) -> tuple[list[InForce], list[str]]:
    """Every setting, and all faults. Nothing starts, and nothing is asked but files. Raises OSError."""
    own = {name: value for name, value in environ.items() if value}
    kept: dict[str, str] = {}
    with suppress(SettingsError):  # one of those that are told below
        kept = local.kept(environ)
    production = own.get("ECOTRIPS_ENV") == PRODUCTION
    embedded = not production and "DATABASE_URL" not in own
    made = {"DATABASE_URL": EMBEDDED, "JWT_SECRET": local.UNMADE} if embedded else {}
    given = declared({**made, **kept, **own}, production=production)
    faults = given.all_faults()
    unkept = local.unsaid({**kept, **own}) if embedded and local.is_installed(environ) else []

    def value_and_source(name: str) -> tuple[str, str]:
        setting = given.declared[name]
        if name in own:
            return setting.kind.shown(own[name]), ENVIRONMENT
        if name in kept:
            return setting.kind.shown(kept[name]), INSTALLATION
        if name in made:
            return ("embedded" if name == "DATABASE_URL" else "made at the first start"), INSTALLATION
        if name in unkept:
            return "", NOT_KEPT
        if name in DERIVED and "JWT_SECRET" in {**kept, **own}:
            return "set", FROM_JWT_SECRET
        default = given.default(setting)
        return (default, DEFAULT) if default else ("", NOT_SET)

    found = []
    for row in rows():
        beginnings = tuple(f"{row.name}{mark}" for mark in " :=")
        of_it = [fault for fault in faults if fault.startswith(beginnings)]
        found.append(InForce(row, *value_and_source(row.name), of_it))
    return found, faults


def _lines(found: list[InForce]) -> Iterator[str]:
    group = ""
    for line in found:
        row = line.row
        if row.group != group:
            yield f"{chr(10) if group else ''}{row.group}"
            group = row.group
        value = repr(line.value) if UNSEEN.search(line.value) else line.value
        yield f"  {row.name} {f'= {value} ({line.source})' if value else f'({line.source})'}"
        yield f"      {row.meaning}"
        wanted = "; needed in production" if row.needed else ""
        usual = f". Unless it is set it is {row.default}" if row.default else ""
        yield f"      It must be {row.kind}{wanted}{usual}. Example: {row.example}"
        yield from (f"      BAD: {fault}" for fault in line.faults)
    yield ""
    yield "`ecotrips flags list` shows which switches are overridden."
