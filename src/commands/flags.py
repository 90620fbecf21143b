"""`ecotrips flags …`: run-time switches (docs/api.md, Switches)."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from src.commands import operators
from src.commands.arguments import Commands, group
from src.database.opened import connect
from src.logins import STAFF
from src.settings import SWITCHES


def add(commands: Commands) -> None:
    flags = group(commands, "flags", "run-time switches")
    flags.add_parser("list", help="show the overrides").set_defaults(run=_list)
    change = flags.add_parser("set", help="NAME=VALUE, or NAME= to remove the override")
    change.add_argument("assignment", help="|".join(SWITCHES))
    change.set_defaults(run=_set)


def _list(_arguments: argparse.Namespace) -> int:
    with operators.acting_as(os.environ, STAFF) as dsn:
        asyncio.run(_show(dsn))
    return 0


def _set(arguments: argparse.Namespace) -> int:
    name, separator, value = arguments.assignment.partition("=")
    if not separator or name not in SWITCHES:
        message = f"say NAME=VALUE with one of {', '.join(SWITCHES)}"
        raise ValueError(message)
    with operators.acting_as(os.environ, STAFF) as dsn:
        asyncio.run(_change(dsn, name, value or None))
    return 0


async def _show(dsn: str) -> None:
    connection = await connect(dsn)
    try:
        overrides = await connection.fetch("select name, value, updated_by, updated_at from ops.flags order by name")
        if not overrides:
            print("no overrides: the environment of each process decides", file=sys.stderr)
        for row in overrides:
            print(f"{row['name']}={row['value']}  ({row['updated_by']}, {row['updated_at']:%Y-%m-%d %H:%M:%S} UTC)")
    finally:
        await connection.close()


async def _change(dsn: str, name: str, value: str | None) -> None:
    connection = await connect(dsn)
    try:
        await connection.execute("select ops.set_flag($1, $2)", name, value)
    finally:
        await connection.close()
    print(f"{name}={value}" if value is not None else f"{name}: override removed")
