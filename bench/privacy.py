"""How long 100,000 rows of one person take to plan, copy and erase among 400,000 others: `python -m bench.privacy`."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Awaitable
from uuid import UUID

import asyncpg
from obstore.store import MemoryStore

from src.adapters.files.links import SignedLinks
from src.adapters.files.store import FileStore
from src.adapters.postgres.privacy import PostgresPrivacyErasures, PostgresPrivacyExports
from src.composition import compose
from src.domain.context import SERVICE, Context
from src.domain.privacy_erasure import dry_run, execute
from src.domain.privacy_export import export
from tests import postgres
from tests.persons import SECRET, approved, make_person

ROWS = 100_000
LINKS = SignedLinks({"k": "a secret of links that is long enough"})
CONTEXT = Context(SERVICE, "bench")


async def timed(what: str, work: Awaitable[object]) -> None:
    began = time.monotonic()
    await work
    taken = time.monotonic() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:<10} {taken:6.2f} s   {ROWS / taken:>9,.0f} rows/s   peak of this process {memory:,.0f} MiB")


async def measure(dsn: str) -> None:
    admin = await asyncpg.connect(dsn)
    person = await make_person(admin)
    await admin.execute(
        "insert into permits.requests (user_id, park, visit_date, pax_count, note)"
        " select case when n <= $2 then $1::uuid else gen_random_uuid() end, 'Akagera', current_date, 2, 'note ' || n"
        " from generate_series(1, 5 * $2) n",
        UUID(person.user_id),
        ROWS,
    )
    await admin.execute("analyze")
    composed = compose(postgres.settings(dsn))
    storage = FileStore(MemoryStore())
    erasures = PostgresPrivacyErasures(composed.database, SECRET)
    exports = PostgresPrivacyExports(composed.database)
    copied, target = UUID(await approved(admin, person, "export")), UUID(await approved(admin, person))
    await timed("dry-run", dry_run(CONTEXT, target, erasures, storage, LINKS))
    await timed("export", export(CONTEXT, copied, exports, storage, LINKS))
    await dry_run(CONTEXT, target, erasures, storage, LINKS)
    await timed("execute", execute(CONTEXT, target, "ERASE", erasures, storage))
    await composed.database.close()
    await admin.close()


if __name__ == "__main__":
    with postgres.disposable("auto") as server:
        asyncio.run(measure(server.url(postgres.make_template(server))))
