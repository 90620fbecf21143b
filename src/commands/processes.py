"""`ecotrips demo|serve|worker|rest`: long-running commands. They import lazily to keep other commands fast."""

from __future__ import annotations

import argparse
import asyncio
import os

from src.commands import local
from src.commands.arguments import Commands, number

# No machine has more processors, and Linux no higher process ids.
MAX_WORKERS = 1024
MAX_PROCESS_IDS = 2**22


def add(commands: Commands) -> None:
    demo = commands.add_parser("demo", help="run everything offline: database, demo data, server, worker")
    demo.set_defaults(run=_demo)
    serve = commands.add_parser("serve", help="serve HTTP on PORT (8000)")
    serve.add_argument("--workers", type=number(1, MAX_WORKERS), default=1, help="server processes")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on")
    serve.set_defaults(run=_serve)
    worker = commands.add_parser("worker", help="do what is due, until stopped; any number may run")
    worker.add_argument("--once", action="store_true", help="one turn of everything, for cron")
    worker.add_argument(
        "--parent", type=number(1, MAX_PROCESS_IDS), metavar="PID", help="stop when this parent process is gone"
    )
    worker.set_defaults(run=_work)
    rest = commands.add_parser(
        "rest", help="serve PostgREST's interface over any database, by a file, PGRST_* settings or --db-uri …"
    )
    rest.set_defaults(run=_rest, passes_on=True)


def _demo(_arguments: argparse.Namespace) -> int:
    from src.commands import serve  # noqa: PLC0415 - only for who serves

    serve.demo()
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from src.commands import serve  # noqa: PLC0415 - only for who serves

    serve.serve(arguments.workers, arguments.host)
    return 0


def _work(arguments: argparse.Namespace) -> int:
    from src import worker  # noqa: PLC0415 - only for who works

    with local.database(os.environ) as settings:
        asyncio.run(local.require_environment(settings))
        return worker.main(settings, once=arguments.once, parent=arguments.parent)


def _rest(arguments: argparse.Namespace) -> int:
    from src.rest import server  # noqa: PLC0415 - only for who serves it

    server.serve(os.environ, *server.command_line(arguments.others))
    return 0
