"""Privacy when things break: storage that fails, executions that are killed, exports and erasures that overlap."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from obstore.store import MemoryStore

from src.adapters.files.documents import TypstRenderer
from src.adapters.files.links import SignedLinks
from src.adapters.files.store import FileStore
from src.adapters.postgres.privacy import PostgresPrivacyErasures, PostgresPrivacyExports
from src.commands.privacy import finds
from src.composition import compose
from src.domain.context import Context
from src.domain.errors import Conflict, Unavailable
from src.domain.invoices import render_due
from src.domain.privacy import RequestStatus
from src.domain.privacy_erasure import dry_run, execute, purge_due
from src.domain.privacy_export import Export, export
from src.domain.storage import ObjectName, StoredObject
from tests.conftest import SERVICE_CONTEXT, Api, serving
from tests.support.documents import INVOICE
from tests.support.persons import SECRET, Person, approved, everything, make_person, rows_of
from tests.support.postgres import settings
from tests.support.processes import server
from tests.support.races import killed, post

LINKS = SignedLinks({"k": "a secret of links that is long enough"})


@dataclass
class FailingStore(FileStore):
    """Memory that refuses to delete `failures` times."""

    failures: int = 0
    deleted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(MemoryStore())

    async def delete(self, name: ObjectName) -> None:
        if self.failures:
            self.failures -= 1
            message = "The storage is temporarily unavailable"
            raise Unavailable(message)
        self.deleted.append(str(name))
        await super().delete(name)


@dataclass
class World:
    """A person to be erased, with files, and another one."""

    erasures: PostgresPrivacyErasures
    exports: PostgresPrivacyExports
    storage: FailingStore
    person: Person
    other: Person


@pytest.fixture
async def world(database: str, admin: asyncpg.Connection) -> AsyncIterator[World]:
    composed = compose(settings(database))
    person, other = await make_person(admin), await make_person(admin)
    storage = FailingStore()
    for owner in (person, other):
        await storage.put(ObjectName("travellers", f"{owner.user_id}/passport.txt"), f"Zuri {owner.word}".encode())
    yield World(
        PostgresPrivacyErasures(composed.database, SECRET),
        PostgresPrivacyExports(composed.database),
        storage,
        person,
        other,
    )
    await composed.database.close()


async def archive_of(world: World, target: str) -> zipfile.ZipFile:
    await export(SERVICE_CONTEXT, UUID(target), world.exports, world.storage, LINKS)
    stored = await world.storage.head(ObjectName("privacy_exports", f"{target}/export.zip"))
    return zipfile.ZipFile(io.BytesIO(await content(world.storage, stored)))


async def content(storage: FileStore, stored: StoredObject) -> bytes:
    return b"".join([chunk async for chunk in storage.read(stored)])


async def test_an_export_holds_all_of_the_person_and_nothing_of_others(world: World, admin: asyncpg.Connection) -> None:
    archive = await archive_of(world, await approved(admin, world.person, "export"))
    rows = await rows_of(admin, world.person)
    documents = {name: json.loads(archive.read(name)) for name in archive.namelist() if name.endswith(".json")}
    copied = {f"{d['schema']}.{d['table']}": len(d["rows"]) for d in documents.values()}
    assert copied == {name: len(found) for name, found in rows.items()}
    assert archive.read(f"files/travellers/{world.person.user_id}/passport.txt") == f"Zuri {world.person.word}".encode()
    everything_copied = " ".join(archive.namelist()) + "".join(archive.read(n).decode() for n in archive.namelist())
    assert world.other.word not in everything_copied
    assert world.other.user_id not in everything_copied


async def test_an_export_in_pages_is_the_same_as_in_one(
    world: World, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = await approved(admin, world.person, "export")
    await admin.execute(
        "insert into permits.requests (user_id, park, visit_date, pax_count)"
        " select $1, 'Akagera', now(), n from generate_series(1, 10) n",
        UUID(world.person.user_id),
    )
    whole = (await archive_of(world, target)).read("permits.requests.json")
    monkeypatch.setattr("src.domain.privacy_export.ROWS_AT_ONCE", 3)
    paged = (await archive_of(world, target)).read("permits.requests.json")
    assert json.loads(paged) == json.loads(whole)
    assert len(json.loads(paged)["rows"]) == 11


async def test_storage_that_fails_twice_is_purged_by_the_worker(world: World, admin: asyncpg.Connection) -> None:
    copied = await approved(admin, world.person, "export")
    await archive_of(world, copied)
    target = UUID(await approved(admin, world.person))
    await dry_run(SERVICE_CONTEXT, target, world.erasures, world.storage, LINKS)
    world.storage.failures = 3
    done = await execute(SERVICE_CONTEXT, target, "ERASE", world.erasures, world.storage)
    assert done.value.status == "processing"
    for _ in range(2):
        await admin.execute("update privacy.purges set next_attempt_at = now()")
        await purge_due(SERVICE_CONTEXT, world.erasures, world.storage)
    assert await admin.fetchval("select status from privacy.requests where id = $1", target) == "completed"
    assert await world.storage.listed("travellers", world.person.user_id) == []
    assert await world.storage.listed("privacy_exports") == []
    assert len(await world.storage.listed("travellers", world.other.user_id)) == 1
    again = await execute(SERVICE_CONTEXT, target, "ERASE", world.erasures, world.storage)
    assert json.loads(again.body)["certificate"] == json.loads(done.body)["certificate"]


@pytest.mark.parametrize("way", ["approved and executed again", "its exception retried"])
async def test_a_folder_that_cannot_be_emptied_ends_as_an_exception_and_can_be_tried_again(
    world: World, admin: asyncpg.Connection, way: str
) -> None:
    target = UUID(await approved(admin, world.person))
    await dry_run(SERVICE_CONTEXT, target, world.erasures, world.storage, LINKS)
    world.storage.failures = 1000
    await execute(SERVICE_CONTEXT, target, "ERASE", world.erasures, world.storage)
    for _ in range(10):
        await admin.execute("update privacy.purges set next_attempt_at = now()")
        await purge_due(SERVICE_CONTEXT, world.erasures, world.storage)
    state = "select status from privacy.requests where id = $1"
    opened = "select status from ops.exceptions where kind = 'erasure' and cause = $1"
    assert await admin.fetchval(state, target) == "failed"
    assert await admin.fetchval(opened, str(target)) == "open"
    world.storage.failures = 0
    if way == "its exception retried":
        await admin.execute("select retry_exception(id) from ops.exceptions where cause = $1", str(target))
        await purge_due(SERVICE_CONTEXT, world.erasures, world.storage)
    else:
        await admin.execute("select review_privacy_request($1, 'approve')", target)
        await execute(SERVICE_CONTEXT, target, "ERASE", world.erasures, world.storage)
    assert await admin.fetchval(state, target) == "completed"
    assert await admin.fetchval(opened, str(target)) == "resolved"


async def test_a_file_that_appears_after_the_dry_run_stops_the_execution(
    world: World, admin: asyncpg.Connection
) -> None:
    target = UUID(await approved(admin, world.person))
    await dry_run(SERVICE_CONTEXT, target, world.erasures, world.storage, LINKS)
    await world.storage.put(ObjectName("travellers", f"{world.person.user_id}/visa.txt"), b"new")
    with pytest.raises(Conflict, match="plan_stale"):
        await execute(SERVICE_CONTEXT, target, "ERASE", world.erasures, world.storage)
    assert len(await world.storage.listed("travellers", world.person.user_id)) == 2


async def test_an_export_that_an_erasure_overtakes_is_not_kept(world: World, admin: asyncpg.Connection) -> None:
    copied, target = await approved(admin, world.person, "export"), UUID(await approved(admin, world.person))

    class Overtaken(PostgresPrivacyExports):
        async def record(self, context: Context, done: Export) -> RequestStatus:
            await dry_run(SERVICE_CONTEXT, target, world.erasures, world.storage, LINKS)
            await execute(SERVICE_CONTEXT, target, "ERASE", world.erasures, world.storage)
            await world.storage.put(ObjectName("privacy_exports", f"{copied}/export.zip"), b"late", replace=True)
            return await super().record(context, done)

    with pytest.raises(Conflict, match="erased while it was copied"):
        await export(SERVICE_CONTEXT, UUID(copied), Overtaken(world.exports._database), world.storage, LINKS)  # noqa: SLF001
    assert await world.storage.listed("privacy_exports") == []


async def test_an_execution_whose_server_is_killed_has_done_nothing(
    world: World, database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    target = UUID(await approved(admin, world.person))
    await dry_run(SERVICE_CONTEXT, target, world.erasures, FileStore(MemoryStore()), LINKS)
    before = await everything(admin)
    asked = {"request_id": str(target), "confirm": "ERASE"}
    with server(database, tmp_path, PRIVACY_HMAC_SECRET=SECRET, STORAGE_URL=f"file://{tmp_path}/storage") as running:
        # The certificates are held, so that the execution stops after its last change, and there its process is killed.
        async with admin.transaction():
            await admin.execute("lock table privacy.certificates in exclusive mode")
            await killed(running, admin, post(running, "privacy-erasure-execute", Api.service, **asked))
    assert await everything(admin) == before
    async with serving(database, privacy_hmac_secret=SECRET) as api:
        done = (await api.post("privacy-erasure-execute", asked, api.service)).json()
    assert done["status"] == "completed"
    assert (await rows_of(admin, world.person))["core.profiles"] == []
    assert await admin.fetchval("select count(*) from privacy.certificates") == 1


async def test_verify_reads_columns_files_and_documents(
    world: World, admin: asyncpg.Connection, database: str, tmp_path: Path
) -> None:
    given = replace(settings(database), privacy_hmac_secret=SECRET, storage_url="", data_dir=tmp_path)
    composed = compose(given)
    storage = composed.storage
    await storage.put(ObjectName("travellers", f"{world.person.user_id}/passport.txt"), b"-")
    await admin.execute("update fin.invoices set next_render_at = now()")
    assert await render_due(SERVICE_CONTEXT, composed.invoices, composed.documents, storage) > 0
    target = UUID(await approved(admin, world.person))
    await dry_run(SERVICE_CONTEXT, target, world.erasures, storage, LINKS)
    await execute(SERVICE_CONTEXT, target, "ERASE", world.erasures, storage)
    found = await finds(given, target)
    assert [find for find in found if not find.kept] == []
    # The invoice's page names its buyer, and the law keeps it.
    assert {(find.place.split("/")[0], find.kind) for find in found if find.place.endswith(".pdf")} == {
        ("invoices", "name")
    }
    page = TypstRenderer().rendered(
        INVOICE | {"facturx": True, "buyer": {"name": "A", "reference": world.person.user_id}}
    )
    for name, content in {
        "notes.txt": f"{world.person.word}@mail.example".encode(),
        "letter.pdf": page,
        "broken.pdf": b"%PDF-1.7 and no more",
    }.items():
        await storage.put(ObjectName("travellers", name), content)
    left = {f"{find.place}: {find.kind}" for find in await finds(given, target) if not find.kept}
    assert left == {
        "travellers/notes.txt: email",
        "travellers/letter.pdf: id",
        "travellers/broken.pdf: a document that cannot be read",
    }
    await composed.close()
