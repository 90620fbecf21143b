"""What each step of docs/scale.md costs and gives: `python -m bench.scale [--rounds N] [--seconds N]`."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import report
from bench.cases import BOOKINGS, SUPPLIER
from bench.harness import Case, measure
from bench.load import Wrk
from bench.stack import Service, Stack
from src.adapters.postgres.seed import seed_volume
from tests.support.cluster import Cluster, cluster
from tests.support.pgbouncer import PREPARING, pgbouncer, require_version
from tests.support.postgres import settings
from tests.support.processes import server

ROWS = 10_000
ALONE = "one process on the primary"


@contextmanager
def steps() -> Iterator[Stack]:
    """One database with a hot standby, and a service process (two where it says so) for each step."""
    with ExitStack() as life:
        pair = life.enter_context(cluster())
        asyncio.run(seed_volume(pair.primary_dsn, ROWS, lambda _: None))
        pooled = {"PgBouncer": {**_behind_pgbouncer(life, pair), "DATABASE_POOLER": "transaction"}}
        if require_version() >= PREPARING:
            pooled["PgBouncer that prepares"] = _behind_pgbouncer(life, pair, prepares=True)
        made = Stack(pair.primary)
        ways: Mapping[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
            "main": ((), {}),
            "two processes": (("--workers", "2"), {}),
            "standby": ((), {"DATABASE_REPLICA_URL": pair.standby_dsn}),
            **{name: ((), changes) for name, changes in pooled.items()},
        }
        for name, (arguments, changes) in ways.items():
            folder = Path(life.enter_context(tempfile.TemporaryDirectory(prefix="ecotrips-bench-")))
            live = {"USE_FIXTURES": "0", **changes}
            process = life.enter_context(server(pair.primary_dsn, folder, *arguments, **live))
            made.services[name] = Service(process, settings(pair.primary_dsn))
        yield made


def _behind_pgbouncer(life: ExitStack, pair: Cluster, *, prepares: bool = False) -> dict[str, str]:
    port = life.enter_context(pgbouncer(pair.primary.socket_folder, size=4, prepares=prepares))
    return {
        "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{port}/{pair.database}",
        "DATABASE_DIRECT_URL": pair.primary_dsn,
    }


def cases(running: Stack) -> list[Case]:
    """Each step against one process on the primary; the database's processor time is the primary's alone."""
    key = running.execute("select meta.made_id('itinerary', 4711)")
    paths = {
        "one row by key": f"/rest/v1/ops.v_bookings?id=eq.{key}",
        "live page of a supplier": BOOKINGS + SUPPLIER,
        "live page of all": BOOKINGS,
    }
    return [
        Case(f"{name}, {step}", Wrk(path, running.user(), service=step), {ALONE: Wrk(path, running.user())})
        for step in running.services
        if step != "main"
        for name, path in paths.items()
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.scale")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=2, help="length of one measurement")
    asked = parser.parse_args()
    with steps() as service:
        found = report.rows(measure(service, cases(service), asked.rounds, asked.seconds))
    print(report.table(found))
    print(f"{report.machine()}\nwritten: {report.save(found, 'scale')}")
