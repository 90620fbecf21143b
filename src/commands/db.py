"""`ecotrips db …`: the database of this installation."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
from pathlib import Path

from src.adapters.postgres.seed import seed_demo, seed_volume
from src.commands import backup, clients, local, operators, restore
from src.commands.arguments import Commands, group, number
from src.database.opened import connect
from src.logins import SERVICE, STAFF

PASSED_ON = (
    "All other options go to psql as they stand, for example `{0} -Atc 'select 1'` or `{0} -f FILE`;"
    " `{0} -- --help` shows psql's own. Where the database is, and who logs in, the settings say."
)
# A bound, so that a demo does not fill the disk.
MAX_ROWS = 100_000_000
GREETING = "What to do, and who may: select * from ops.help where task like '%refund%';"
# Wide rows are shown expanded, and the prompt names the login. ~/.psqlrc overrides both.
LOOK = (
    *("-P", "expanded=auto", "-P", "null=(null)"),
    # Errors show message and hint; \errverbose shows the rest.
    *("-v", "SHOW_CONTEXT=never"),
    *("-v", "PROMPT1=%n@%/%R%x%# ", "-v", "PROMPT2=%n@%/%R%x%# "),
)
# The pager quits when the output fits the screen, and leaves the output there.
PAGER = "less -FRX"


def add(commands: Commands) -> None:
    database = group(commands, "db", "the database")
    for name, text, run in (
        ("start", "start the embedded PostgreSQL and leave it running", _start),
        ("stop", "stop it", _stop),
        ("status", "say whether it runs", _status),
        ("apply", "apply the shipped SQL to the database", _apply),
    ):
        database.add_parser(name, help=text).set_defaults(run=run)
    seed = database.add_parser("seed", help="add data")
    seed.add_argument("--demo", action="store_true", help="the curated fixtures")
    seed.add_argument(
        "--volume", type=number(0, MAX_ROWS), default=0, metavar="N", help="N made-up itineraries with payments"
    )
    seed.set_defaults(run=_seed)
    reset = database.add_parser("reset", help="drop the embedded database and make it anew")
    reset.add_argument("--yes", action="store_true", help="really")
    reset.set_defaults(run=_reset)
    saving = database.add_parser("backup", help="write the whole database to a file, while it serves")
    saving.add_argument("file", type=Path)
    saving.set_defaults(run=backup.backup)
    restoring = database.add_parser("restore", help="fill an empty database from a backup")
    restoring.add_argument("file", type=Path)
    restoring.set_defaults(run=restore.restore)
    shell = database.add_parser(
        "psql",
        help="open psql on the database as its administrator",
        usage="ecotrips db psql [PSQL OPTION ...]",
        epilog=PASSED_ON.format("ecotrips db psql"),
    )
    shell.set_defaults(run=_administrators_psql, passes_on=True)
    ops = commands.add_parser(
        "psql",
        help="open psql as ops: the same rules as over HTTP",
        usage="ecotrips psql [--service] [PSQL OPTION ...]",
        epilog=PASSED_ON.format("ecotrips psql"),
    )
    ops.add_argument("--service", action="store_true", help="as the service role, which moves money and messages")
    ops.set_defaults(run=_operators_psql, passes_on=True)


def _start(_arguments: argparse.Namespace) -> int:
    server = local.postgres(os.environ)
    started = server.start()
    print(f"{'started' if started else 'already running'}: {server.url()}")
    return 0


def _stop(_arguments: argparse.Namespace) -> int:
    """Stops the server under its users, and names them."""
    server = local.postgres(os.environ)
    users = server.users()
    if not server.stop():
        print("not running")
        return 0
    print(f"stopped; it was in use by {', '.join(users)}" if users else "stopped")
    return 0


def _status(_arguments: argparse.Namespace) -> int:
    """0 when the embedded server runs, else 3, the code that init scripts use."""
    server = local.postgres(os.environ)
    pid = server.running_pid()
    if not pid and not server.listening():
        print(f"not running: {server.data}")
        return 3
    print(f"running ({f'pid {pid}' if pid else 'in another container'}): {server.url()}")
    return 0


def _apply(_arguments: argparse.Namespace) -> int:
    with operators.administering(os.environ) as settings:
        ran = local.apply_sql(settings, lambda name: print(f"  {name}"))
    print(f"{len(ran)} files applied" if ran else "up to date")
    return 0


def _seed(arguments: argparse.Namespace) -> int:
    volume: int = arguments.volume
    with operators.administering(os.environ) as settings:
        local.apply_sql(settings)
        if arguments.demo or not volume:
            print(f"{asyncio.run(seed_demo(settings.direct_url))} demo rows added")
        if volume:
            asyncio.run(seed_volume(settings.direct_url, volume, lambda done: _bar(done, volume)))
            print()
    return 0


def _reset(arguments: argparse.Namespace) -> int:
    """Drop the embedded database and make it again with the demo data."""
    if not arguments.yes:
        print("this drops the database; say --yes", file=sys.stderr)
        return 2
    if os.environ.get("DATABASE_URL"):
        print("only the embedded database can be reset; unset DATABASE_URL", file=sys.stderr)
        return 2
    with local.database(os.environ, exclusive=True) as settings:
        asyncio.run(_drop(settings.direct_url))
        local.apply_sql(settings)
        print(f"{asyncio.run(seed_demo(settings.direct_url))} demo rows added")
    return 0


def _administrators_psql(arguments: argparse.Namespace) -> int:
    with operators.administering(os.environ) as settings:
        return _psql(settings.direct_url, arguments.others)


def _operators_psql(arguments: argparse.Namespace) -> int:
    with operators.acting_as(os.environ, SERVICE if arguments.service else STAFF) as dsn:
        return _psql(dsn, arguments.others)


def _psql(dsn: str, arguments: list[str]) -> int:
    """A psql shell on the database, with readable output on a terminal; returns its exit status."""
    asyncio.run(_reach(dsn))
    if arguments[:1] == ["--"]:  # all other arguments are psql's
        arguments = arguments[1:]
    if arguments or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return clients.run("psql", dsn, *arguments)
    print(GREETING)
    if "PAGER" not in os.environ and shutil.which("less"):
        os.environ.setdefault("PSQL_PAGER", PAGER)
    return clients.run("psql", dsn, *LOOK)


async def _reach(dsn: str) -> None:
    """Psql does not say what helps where nothing is applied yet."""
    await (await connect(dsn)).close()


async def _drop(dsn: str) -> None:
    connection = await connect(dsn.replace(f"/{local.DATABASE}?", "/postgres?"))
    try:
        await connection.execute(f'drop database if exists "{local.DATABASE}" with (force)')
    finally:
        await connection.close()


def _bar(done: int, total: int, width: int = 40) -> None:
    filled = width * done // total
    print(f"\r[{'#' * filled}{'.' * (width - filled)}] {done:,} of {total:,}", end="", flush=True)
