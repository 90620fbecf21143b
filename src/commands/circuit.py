"""`ecotrips circuit …`: shows and forces the hotel supplier's circuit."""

from __future__ import annotations

import argparse
import asyncio
import os

import msgspec

from src.commands import operators
from src.commands.arguments import Commands, group
from src.commands.wording import counted
from src.database.opened import connect
from src.logins import STAFF

SHOW = "select inventory.read_circuit('hbx')"
FORCE = "select public.force_circuit('hbx', $1)"


class CircuitAnswer(msgspec.Struct, frozen=True):
    """What inventory.read_circuit() answers."""

    state: str
    forced: bool
    failures: int
    retry_after: int

    def __str__(self) -> str:
        held = " (forced)" if self.forced else ""
        rest = f", {self.retry_after} s to rest" if self.state == "open" and not held else ""
        return f"hbx: {self.state}{held}, {counted(self.failures, 'failure')} in a row{rest}"


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
    with operators.acting_as(os.environ, STAFF) as dsn:
        print(asyncio.run(_asked(dsn, arguments.statement, arguments.forced)))
    return 0


async def _asked(dsn: str, statement: str, forced: list[str | None]) -> CircuitAnswer:
    connection = await connect(dsn)
    try:
        return msgspec.json.decode(await connection.fetchval(statement, *forced), type=CircuitAnswer)
    finally:
        await connection.close()
