"""`ecotrips`: the command line. Each module of src/commands adds its commands and says what runs them."""

from __future__ import annotations

import argparse
import logging
import sys

import asyncpg

from src.adapters.postgres.apply import ApplyError
from src.adapters.postgres.embedded import EmbeddedPostgresError
from src.commands import check, circuit, db, flags, local, privacy, processes, tokens
from src.domain.errors import DomainError
from src.settings import SettingsError

COMMANDS = (processes, check, db, flags, privacy, tokens)

# What the person at the terminal can mend: one line and exit status 1.
MENDABLE = (EmbeddedPostgresError, ApplyError, SettingsError, OSError, asyncpg.PostgresError, ValueError, DomainError)


def main() -> None:
    parser = argparse.ArgumentParser(prog="ecotrips", description="The ecoTrips Ops service and its tools.")
    commands = parser.add_subparsers(dest="command", required=True)
    for module in COMMANDS:
        module.add(commands)
    arguments, others = parser.parse_known_args()
    arguments.others = others
    if others and not getattr(arguments, "passes_on", False):
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        sys.exit(arguments.run(arguments))
    except MENDABLE as error:
        sys.exit(f"ecotrips: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ecotrips", description="The ecoTrips Ops service and its tools.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="run everything offline: database, demo data, server")
    serve = commands.add_parser("serve", help="serve HTTP on PORT (8000)")
    serve.add_argument("--workers", type=int, default=1, help="server processes")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on")
    worker = commands.add_parser("worker", help="do what is due, until stopped; any number may run")
    worker.add_argument("--once", action="store_true", help="one turn of everything, for cron")
    worker.add_argument("--parent", type=int, metavar="PID", help="stop when this parent process is gone")
    commands.add_parser("check", help="look at everything the service depends on")
    database = commands.add_parser("db", help="the database").add_subparsers(dest="action", required=True)
    for name, text in (
        ("start", "start the embedded PostgreSQL and leave it running"),
        ("stop", "stop it"),
        ("status", "say whether it runs"),
        ("apply", "apply the shipped SQL to the database"),
    ):
        database.add_parser(name, help=text)
    seed = database.add_parser("seed", help="add data")
    seed.add_argument("--demo", action="store_true", help="the curated fixtures")
    seed.add_argument("--volume", type=int, default=0, metavar="N", help="N made-up itineraries with payments")
    reset = database.add_parser("reset", help="drop the embedded database and make it anew")
    reset.add_argument("--yes", action="store_true", help="really")
    shell = database.add_parser("psql", help="open psql on the database")
    shell.add_argument("arguments", nargs=argparse.REMAINDER)
    flags = commands.add_parser("flags", help="run-time switches").add_subparsers(dest="action", required=True)
    flags.add_parser("list", help="show the overrides")
    change = flags.add_parser("set", help="NAME=VALUE, or NAME= to remove the override")
    change.add_argument("assignment", help="|".join(SWITCHES))
    requests = commands.add_parser("privacy", help="privacy requests").add_subparsers(dest="action", required=True)
    verify = requests.add_parser("verify", help="look for what is left of an erased person, in every column and file")
    verify.add_argument("request", type=UUID, help="the erasure's request id")
    breaker = commands.add_parser("circuit", help="whether the hotel supplier is called")
    breaker.add_argument("action", choices=["show", "open", "close", "auto"], help="auto: outcomes decide again")
    token = commands.add_parser("token", help="sign a key or a user's token")
    token.add_argument("role", choices=["anon", "service_role", "authenticated"])
    token.add_argument("--user", metavar="UUID", help="the user of an authenticated token")
    token.add_argument("--hours", type=float, default=24, help="how long a user's token lasts")
    return parser


def _run(arguments: argparse.Namespace) -> int:  # noqa: PLR0911 - a table, one line a command
    match arguments.command:
        case "demo" | "serve" | "psql":
            return _serve(arguments)
        case "worker":
            return _work(arguments)
        case "check":
            return check.check()
        case "db":
            return _database(arguments)
        case "flags":
            return _flags(arguments)
        case "circuit":
            circuit.run(arguments.action)
            return 0
        case "privacy":
            return privacy.verify(arguments.request)
        case _:
            lifetime = timedelta(hours=arguments.hours) if arguments.role == "authenticated" else None
            with local.database(os.environ) as settings:
                print(local.token(settings, arguments.role, arguments.user, lifetime))
            return 0


def _serve(arguments: argparse.Namespace) -> int:
    from src.commands import serve  # noqa: PLC0415 - the server's imports would slow every other command

    if arguments.command == "demo":
        serve.demo()
    else:
        serve.serve(arguments.workers, arguments.host)
    return 0


def _work(arguments: argparse.Namespace) -> int:
    from src import worker  # noqa: PLC0415 - likewise

    with local.database(os.environ) as settings:
        return worker.main(settings, once=arguments.once, parent=arguments.parent)


def _database(arguments: argparse.Namespace) -> int:
    match arguments.action:
        case "start":
            db.start()
        case "stop":
            db.stop()
        case "status":
            return db.status()
        case "apply":
            db.apply_sql()
        case "seed":
            db.seed(demo=arguments.demo, volume=arguments.volume)
        case "reset":
            return db.reset(confirmed=arguments.yes)
        case _:
            return db.psql(arguments.arguments)
    return 0


def _flags(arguments: argparse.Namespace) -> int:
    with local.database(os.environ) as settings:
        if arguments.action == "list":
            asyncio.run(_show_flags(settings.direct_url))
            return 0
        name, separator, value = arguments.assignment.partition("=")
        if not separator or name not in SWITCHES:
            message = f"say NAME=VALUE with one of {', '.join(SWITCHES)}"
            raise ValueError(message)
        asyncio.run(_set_flag(settings.direct_url, name, value or None))
    return 0


async def _show_flags(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for row in await connection.fetch("select name, value, updated_by, updated_at from ops.flags order by name"):
            print(f"{row['name']}={row['value']}  ({row['updated_by']}, {row['updated_at']:%Y-%m-%d %H:%M:%S} UTC)")
    finally:
        await connection.close()


async def _set_flag(dsn: str, name: str, value: str | None) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("select ops.set_flag($1, $2)", name, value)
    finally:
        await connection.close()
    print(f"{name}={value}" if value is not None else f"{name}: override removed")


if __name__ == "__main__":
    main()
