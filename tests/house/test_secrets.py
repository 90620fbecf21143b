"""docs/secrets.md has an entry for every secret that is a setting, with all that is asked in the hour of need."""

from __future__ import annotations

import re

import asyncpg

from tests.support.guides import blocks, secret_settings
from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "secrets.md").read_text()
SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
ASKED = ("**What it opens.**", "**What to do.**", "**How to see misuse.**")


def test_every_secret_has_its_entry() -> None:
    told = {name for section in SECTIONS for name in re.findall(r"`([A-Z_]+)`", section.splitlines()[0])}
    assert {"JWT_SECRET", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY"} <= secret_settings()
    assert told == secret_settings()


def test_every_entry_says_what_it_opens_what_to_do_and_how_misuse_is_seen() -> None:
    for section in SECTIONS:
        found = [section.find(part) for part in ASKED]
        assert -1 not in found, section.splitlines()[0]
        assert found == sorted(found), section.splitlines()[0]


# tests/faults/test_managed.py runs these too, on a server of its own.
OF_THE_SERVER = ("select count(pg_terminate_backend", "grant ", "revoke ")


async def test_its_queries_run(admin: asyncpg.Connection) -> None:
    for block in blocks("docs/secrets.md", "sql"):
        await admin.execute("\n".join(line for line in block.splitlines() if not line.startswith(OF_THE_SERVER)))
