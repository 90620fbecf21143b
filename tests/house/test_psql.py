"""`ecotrips psql` at a terminal: what a person sees, and that scripts get what psql itself gives."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import asyncpg
import pytest

from src.commands.db import GREETING
from src.settings import DEFAULT_SCHEMAS
from tests.support.postgres import JWT_SECRET
from tests.support.processes import TIMEOUT, environment

TALL = 2000
PROMPT = re.compile(r"(psql_staff@\w+[=-]|mine)[>#] ")
VIEWS = """
select c.oid::regclass::text from pg_class c
where c.relkind = 'v' and c.relnamespace::regnamespace::text = any ($1)
  and has_table_privilege('ops_staff', c.oid, 'select')
"""


def of(folder: Path, database: str) -> dict[str, str]:
    return environment(DATABASE_URL=database, JWT_SECRET=JWT_SECRET, HOME=str(folder))


def at_a_terminal(
    folder: Path, database: str, *arguments: str, typed: str = "", columns: int = 80, rows: int = TALL, **changes: str
) -> list[str]:
    """The lines on a terminal of that size after `ecotrips psql`, what was typed included, prompts left out."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    unset = {"COLUMNS", "PAGER", "PSQL_PAGER"}
    env = {name: value for name, value in of(folder, database).items() if name not in unset} | {
        "TERM": "dumb",
        **changes,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "src.cli", "psql", *arguments],
        cwd=folder,
        env=env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown: list[bytes] = []

    def read() -> None:
        # Linux says so when the other end is closed.
        try:
            while chunk := os.read(ours, 65536):
                shown.append(chunk)
        except OSError:
            pass

    reader = threading.Thread(target=read)
    reader.start()
    os.write(ours, typed.encode() + b"\n\\q\n" if not arguments else b"")
    assert process.wait(TIMEOUT) == 0
    reader.join(TIMEOUT)
    os.close(ours)
    return PROMPT.sub("", b"".join(shown).decode().replace("\r", "")).split("\n")


async def some_of_everything(admin: asyncpg.Connection) -> list[str]:
    await admin.execute("select meta.seed_volume(1, 30)")
    await admin.execute("select request_refund(id) from payment.payments where status = 'succeeded'")
    views = [row[0] for row in await admin.fetch(VIEWS, DEFAULT_SCHEMAS)]
    assert len(views) > 6
    return views


@pytest.mark.parametrize("columns", [80, 120])
async def test_every_view_of_operators_fits(
    database: str, admin: asyncpg.Connection, tmp_path: Path, columns: int
) -> None:
    views = await some_of_everything(admin)
    typed = "".join(f"\\echo ' {view}'\ntable {view} limit 5;\n" for view in views)
    lines = at_a_terminal(tmp_path, database, typed=typed, columns=columns)
    for view in views:
        assert f" {view}" in lines
    assert not [line for line in lines if len(line) > columns]
    assert "ERROR" not in "\n".join(lines)


def test_a_person_is_told_where_to_begin_and_who_they_are(database: str, tmp_path: Path) -> None:
    lines = at_a_terminal(
        tmp_path, database, typed="select null as nothing;\nselect request_refund(null);\n\\! echo pager=$PSQL_PAGER"
    )
    assert "ERROR:  Only the service may do this" in lines
    assert "HINT:  psql_staff is the login. As ops: ecotrips psql. As the service: ecotrips psql --service." in lines
    assert not [line for line in lines if line.startswith("CONTEXT")]
    assert GREETING in lines
    assert lines.count(" (null)") == 1
    assert "pager=less -FRX" in lines


def test_a_pager_and_a_psqlrc_of_ones_own_win(database: str, tmp_path: Path) -> None:
    (tmp_path / ".psqlrc").write_text("\\pset null nichts\n\\set PROMPT1 'mine> '\n\\pset expanded off\n")
    typed = "select null as nothing;\n\\! echo pager=$PSQL_PAGER,$PAGER\ntable ops.v_bookings limit 1;"
    lines = at_a_terminal(tmp_path, database, typed=typed, PAGER="cat")
    assert {" nichts", "pager=,cat", "(1 row)"} <= set(lines)


@pytest.mark.parametrize("arguments", [("-Atc",), ("-c",), ("--csv", "-c"), ("-x", "-c")])
def test_a_script_gets_what_psql_itself_gives(database: str, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    query = "select null as nothing, repeat('x', 200) as long, 1 as one"
    env = of(tmp_path, database)
    command = [sys.executable, "-m", "src.cli", "psql", *arguments, query]
    piped = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout
    assert "(null)" not in piped
    assert at_a_terminal(tmp_path, database, *arguments, query, PAGER="cat") == piped.split("\n")
    if arguments == ("-Atc",):
        assert piped == f"|{'x' * 200}|1\n"


def test_a_script_on_standard_input_gets_what_psql_itself_gives(database: str, tmp_path: Path) -> None:
    env = of(tmp_path, database)
    command = [sys.executable, "-m", "src.cli", "psql"]
    found = subprocess.run(
        command,
        cwd=tmp_path,
        env=env,
        input="select null as nothing, 1 as one;\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == " nothing | one \n---------+-----\n         |   1\n(1 row)\n\n"
