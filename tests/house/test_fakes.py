"""The fake WhatsApp as docs/develop.md starts it, and a server with the settings that it prints."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx

from tests.conftest import Api
from tests.processes import ROOT, free_port, server

PATIENCE = 30
COMMAND = re.compile(
    r"^\.venv/bin/python (-m tests\.fakes\.whatsapp) 8430 http://127\.0\.0\.1:8000(\S+)$", re.MULTILINE
)


@contextmanager
def fake_whatsapp(port: int) -> Iterator[dict[str, str]]:
    """The settings that the fake prints, told of a service on the port."""
    found = COMMAND.search((ROOT / "docs" / "develop.md").read_text())
    assert found
    arguments = [*shlex.split(found[1]), str(free_port()), f"http://127.0.0.1:{port}{found[2]}"]
    with subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield dict(setting.split("=", 1) for setting in process.stdout.readline().split())
        finally:
            process.kill()


async def test_the_fake_whatsapp_runs_by_hand(database: str, admin: asyncpg.Connection, tmp_path: Path) -> None:
    port = free_port()
    with fake_whatsapp(port) as live, server(database, tmp_path, PORT=str(port), **live) as running:
        async with httpx.AsyncClient(base_url=running.address, headers=Api.service, timeout=PATIENCE) as client:
            for ending, status in (("0001", 200), ("0026", 200), ("0190", 502), ("0408", 202)):
                body = {"to": f"25078812{ending}", "text": "Muraho"}
                assert (await client.post("/functions/v1/wa-send", json=body)).status_code == status
            written = {"from": "250788120001", "text": "Murakoze 🙏"}
            (await client.post(f"{live['WA_GRAPH_BASE']}/_ctl/inbound", json=written)).raise_for_status()
        ends = {"0001": "read", "0026": "failed", "0190": "failed", "0408": "read"}
        query = "select right(msisdn, 4) as ending, status from wa.messages where direction = 'out'"
        deadline = time.monotonic() + PATIENCE
        while (seen := {row["ending"]: row["status"] for row in await admin.fetch(query)}) != ends:
            assert time.monotonic() < deadline, seen
    assert await admin.fetchval("select body from wa.messages where direction = 'in'") == "Murakoze 🙏"
