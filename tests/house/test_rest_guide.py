"""src/rest/README.md: the schema, the file, the command and the calls that it shows work together as they stand."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from src.rest.server.options import ALIASES
from src.rest.server.settings import OPTIONS, STORED
from tests.support import postgres
from tests.support.guides import blocks
from tests.support.processes import ROOT, command, environment, free_port

GUIDE = "src/rest/README.md"


async def test_a_foreign_schema_is_served_as_the_guide_says(server: postgres.Server, tmp_path: Path) -> None:
    dsn = await server.create()
    connection = await asyncpg.connect(dsn)
    await connection.execute(blocks(GUIDE, "sql")[0])
    await connection.close()
    own = urlsplit(dsn)._replace(netloc=urlsplit(dsn).netloc.replace("postgres", "shop_gate:gate", 1)).geturl()
    ports = {"3000": str(free_port()), "3001": str(free_port())}
    text = blocks(GUIDE, "ini")[0].replace("postgresql://shop_gate:gate@localhost:5432/shop", own)
    serve, calls = blocks(GUIDE, "sh")
    for written, free in ports.items():
        text, calls = text.replace(written, free), calls.replace(written, free)
    (tmp_path / "shop.conf").write_text(text)
    assert serve.split()[0] == "ecotrips"
    with command(tmp_path, *serve.split()[1:], ready="serving http", env=environment()):
        answer = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-euc", calls],
            capture_output=True,
            text=True,
            check=True,
        )
    assert answer.stdout == '[{"name":"basket","price":12.50,"makers":{"name": "Azizi"}}]'
    await server.drop(dsn)
    await server.execute("drop role shop_gate, shopper")


def test_every_option_is_in_the_guide() -> None:
    named = set(re.findall(r"`([a-z][a-z0-9-]+)`", (ROOT / GUIDE).read_text()))
    assert STORED <= OPTIONS
    assert OPTIONS - set(ALIASES.values()) <= named
