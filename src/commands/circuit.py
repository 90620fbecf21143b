"""`ecotrips circuit …`: the hotel supplier's circuit, seen and forced by ops."""

from __future__ import annotations

import argparse
import asyncio
import json
import os

import asyncpg

from src.commands import local
from src.commands.arguments import Commands, group

SHOW = "select inventory.read_circuit('hbx')"
FORCE = "select public.force_circuit('hbx', $1)"


def add(commands: Commands) -> None:
    circuit = group(commands, "circuit", "whether the hotel supplier is called")
    for name, text, forced in (
        ("open", "call it no more, whatever happens", "open"),
        ("close", "call it always, whatever happens", "closed"),
        ("auto", "close it and let outcomes decide again", None),
    ):
        circuit.add_parser(name, help=text).set_defaults(run=_run, statement=FORCE, forced=[forced])
    circuit.add_parser("show", help="its state now").set_defaults(run=_run, statement=SHOW, forced=[])


def _run(arguments: argparse.Namespace) -> int:
    with local.database(os.environ) as settings:
        print(asyncio.run(_asked(settings.direct_url, arguments.statement, arguments.forced)))
    return 0


async def _asked(dsn: str, statement: str, forced: list[str | None]) -> str:
    connection = await asyncpg.connect(dsn)
    try:
        circuit = json.loads(await connection.fetchval(statement, *forced))
    finally:
        await connection.close()
    held = " (forced)" if circuit["forced"] else ""
    rest = f", {circuit['retry_after']} s to rest" if circuit["state"] == "open" and not held else ""
    return f"hbx: {circuit['state']}{held}, {circuit['failures']} failures in a row{rest}"
