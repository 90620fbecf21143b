"""How long 100,000 rows of one person take to copy, plan and erase among 400,000 others: `python -m bench.privacy`.

A quarter of them first: what does not grow between the two is bounded. The person has a file beside them.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import asyncpg

from src.adapters.files.links import SignedLinks
from src.adapters.files.store import store_at
from src.adapters.postgres.privacy import PostgresPrivacyErasures, PostgresPrivacyExports
from src.composition import compose
from src.domain.context import SERVICE, Context
from src.domain.privacy_erasure import dry_run, execute
from src.domain.privacy_export import export
from src.domain.storage import ObjectName
from tests.support import postgres
from tests.support.persons import SECRET, approved, make_person

ROWS = 100_000
FILE_MEBIBYTES = 100
LINKS = SignedLinks({"k": "a secret of links that is long enough"})
CONTEXT = Context(SERVICE, "bench")


def anonymous_mebibytes(pid: int) -> float:
    """What a process has for itself alone, without what it shares."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


async def timed(what: str, rows: int, admin: asyncpg.Connection, work: Awaitable[object]) -> None:
    """Print the time and the most memory that this process and a session of PostgreSQL had meanwhile."""
    ours = theirs = 0.0
    began = time.monotonic()
    running = asyncio.ensure_future(work)
    while not running.done():
        await asyncio.wait([running], timeout=0.05)
        ours = max(ours, anonymous_mebibytes(os.getpid()))
        for row in await admin.fetch("select pid from pg_stat_activity where usename like 'web%'"):
            with suppress(FileNotFoundError):
                theirs = max(theirs, anonymous_mebibytes(row["pid"]))
    await running
    taken = time.monotonic() - began
    print(
        f"{what:<8} {rows:>7,} rows {taken:6.2f} s {rows / taken:>9,.0f} rows/s"
        f"   memory: service {ours:4.0f} MiB, database session {theirs:4.0f} MiB"
    )


async def measure(dsn: str, rows: int, folder: Path) -> None:
    admin = await asyncpg.connect(dsn)
    person = await make_person(admin)
    await admin.execute(
        "insert into permits.requests (user_id, park, visit_date, pax_count, note)"
        " select case when n <= $2 then $1::uuid else gen_random_uuid() end, 'Akagera', current_date, 2, 'note ' || n"
        " from generate_series(1, 5 * $2) n",
        UUID(person.user_id),
        rows,
    )
    await admin.execute("analyze")
    composed = compose(postgres.settings(dsn))
    storage = store_at("", folder, only_https=False)
    with tempfile.TemporaryFile() as file:
        for _ in range(FILE_MEBIBYTES):
            file.write(os.urandom(1024 * 1024))
        file.seek(0)
        await storage.put_file(ObjectName("travellers", f"{person.user_id}/scan.bin"), file)
    erasures = PostgresPrivacyErasures(composed.database, SECRET)
    exports = PostgresPrivacyExports(composed.database)
    copied, target = UUID(await approved(admin, person, "export")), UUID(await approved(admin, person))
    await timed("export", rows, admin, export(CONTEXT, copied, exports, storage, LINKS))
    await timed("dry-run", rows, admin, dry_run(CONTEXT, target, erasures, storage, LINKS))
    await timed("execute", rows, admin, execute(CONTEXT, target, "ERASE", erasures, storage))
    await composed.close()
    await admin.close()


if __name__ == "__main__":
    with postgres.disposable("auto") as server, tempfile.TemporaryDirectory() as made:
        for many in (ROWS // 4, ROWS):
            asyncio.run(measure(server.url(postgres.make_template(server)), many, Path(made) / str(many)))
