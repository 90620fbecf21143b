"""`ecotrips circuit …`: the supplier's circuit, seen and forced by ops."""

from __future__ import annotations

import asyncio
import json
import os

import asyncpg

from src.commands import local

FORCED = {"open": "open", "close": "closed", "auto": None}


def run(action: str) -> None:
    """Show the circuit, or hold it open or closed; auto closes it and lets outcomes decide again."""
    with local.database(os.environ) as settings:
        print(asyncio.run(_run(settings.database_url, action)))


async def _run(dsn: str, action: str) -> str:
    connection = await asyncpg.connect(dsn)
    try:
        if action in FORCED:
            text = await connection.fetchval("select public.force_circuit('hbx', $1)", FORCED[action])
        else:
            text = await connection.fetchval("select inventory.read_circuit('hbx')")
    finally:
        await connection.close()
    circuit = json.loads(text)
    forced = " (forced)" if circuit["forced"] else ""
    rest = f", {circuit['retry_after']} s to rest" if circuit["state"] == "open" and not circuit["forced"] else ""
    return f"hbx: {circuit['state']}{forced}, {circuit['failures']} failures in a row{rest}"
