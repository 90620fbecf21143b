"""A copy of a person's data and its end: what is read, stored, deleted and recorded, and in which order."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any
from uuid import UUID

import pytest

from src.domain import privacy_export
from src.domain.answered import Answered
from src.domain.context import Role
from src.domain.errors import Conflict, NotFound, Unavailable
from src.domain.privacy import Folder, RequestStatus
from src.domain.privacy_erasure import LISTINGS, ErasurePlan, Purge, dry_run, execute, purge_due
from src.domain.privacy_export import Contents, ExportedTable, export
from src.domain.storage import Link, ObjectName
from src.ports.privacy_erasures import PrivacyErasures
from src.ports.privacy_exports import PrivacyExports
from src.ports.storage import Links
from tests.conftest import SERVICE_CONTEXT, user_context
from tests.support.ports import NOW, MemoryStorage, Ports

REQUEST = UUID(int=1)
ARCHIVE = ObjectName("privacy_exports", f"{REQUEST}/export.zip")
LINK = Link("/object/sign/x", "link", NOW)
MINE = [Folder("travellers", "me/"), Folder("invoices", "2026/1.pdf")]
FILES = {
    "travellers/me/b.txt": b"b",
    "travellers/me/a.txt": b"a",
    "travellers/meg/c.txt": b"c",
    "invoices/2026/1.pdf": b"1",
}
PLAN = ErasurePlan(REQUEST, "0" * 64, [], [], '{"plan":[]}')
PROCESSING = Answered(RequestStatus(REQUEST, "processing"), b"processing")
DONE = Answered(RequestStatus(REQUEST, "done"), b"done")
PURGES = [
    Purge(UUID(int=n), bucket, folder, 1)
    for n, (bucket, folder) in enumerate([("travellers", "me/"), ("travellers", "meg")])
]


def links(ports: Ports) -> Any:
    return ports.fake(Links, sign=LINK)


def table(rows: int) -> ExportedTable:
    return ExportedTable("core", "profiles", "What you told us", rows, {"name": "Your name"})


def exports(ports: Ports, *tables: ExportedTable, folders: tuple[Folder, ...] = (), **answers: object) -> Any:
    contents = Contents(REQUEST, tables, folders)
    return ports.fake(PrivacyExports, begin=contents, **{"record": RequestStatus(REQUEST, "done")} | answers)


def erasures(ports: Ports, **answers: object) -> Any:
    return ports.fake(PrivacyErasures, **{"folders": MINE[:1], "plan": PLAN, "finish_purge": None} | answers)


async def test_an_export_is_stored_and_linked_before_it_is_recorded() -> None:
    ports, storage = Ports(), MemoryStorage(**FILES)
    kept = exports(ports, table(1), folders=tuple(MINE), rows=b'[{"name": "Amina"}]')
    assert await export(user_context(), REQUEST, kept, storage, links(ports)) == LINK
    assert ports.asked == ["PrivacyExports.begin", "PrivacyExports.rows", "Links.sign", "PrivacyExports.record"]
    archive = storage.objects[ARCHIVE]
    assert ports.calls[-1].arguments["done"].sha256 == hashlib.sha256(archive).hexdigest()
    with zipfile.ZipFile(io.BytesIO(archive)) as found:
        assert found.namelist() == [
            *("README.txt", "core.profiles.json", "files/travellers/me/a.txt", "files/travellers/me/b.txt"),
            "files/invoices/2026/1.pdf",
        ]
        document = json.loads(found.read("core.profiles.json"))
    assert document["rows"] == [{"name": "Amina"}]
    assert document["columns"] == {"name": "Your name"}


async def test_the_same_data_makes_the_same_archive() -> None:
    digests = set()
    for _ in range(2):
        ports, storage = Ports(), MemoryStorage(**FILES)
        kept = exports(ports, table(1), folders=tuple(MINE), rows=b'[{"name": "Amina"}]')
        await export(user_context(), REQUEST, kept, storage, links(ports))
        digests.add(hashlib.sha256(storage.objects[ARCHIVE]).digest())
    assert len(digests) == 1


async def test_many_rows_are_read_piece_by_piece_into_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy_export, "ROWS_AT_ONCE", 2)
    ports, storage = Ports(), MemoryStorage()
    kept = exports(ports, table(5), rows=iter([b"[1, 2]", b"[3, 4]\n", b"[5]"]))
    await export(user_context(), REQUEST, kept, storage, links(ports))
    asked = [call.arguments for call in ports.calls if call.method == "PrivacyExports.rows"]
    assert [(one["offset"], one["limit"]) for one in asked] == [(0, 2), (2, 2), (4, 2)]
    with zipfile.ZipFile(io.BytesIO(storage.objects[ARCHIVE])) as found:
        assert json.loads(found.read("core.profiles.json"))["rows"] == [1, 2, 3, 4, 5]


async def test_an_export_holds_no_earlier_export_and_lacks_what_is_gone() -> None:
    ports, storage = Ports(), MemoryStorage(**{f"privacy_exports/{REQUEST}/export.zip": b"earlier"})
    folders = (Folder("privacy_exports", f"{REQUEST}/"), Folder("invoices", "2026/gone.pdf"))
    await export(user_context(), REQUEST, exports(ports, folders=folders), storage, links(ports))
    with zipfile.ZipFile(io.BytesIO(storage.objects[ARCHIVE])) as found:
        assert found.namelist() == ["README.txt"]


async def test_no_export_stays_of_a_person_who_was_erased_meanwhile() -> None:
    ports, storage = Ports(), MemoryStorage()
    with pytest.raises(Conflict):
        await export(user_context(), REQUEST, exports(ports, record=Conflict("erased")), storage, links(ports))
    assert storage.asked == [f"put {ARCHIVE}", f"delete {ARCHIVE}"]
    assert storage.objects == {}


async def test_what_may_not_be_exported_is_not_stored() -> None:
    ports, storage = Ports(), MemoryStorage()
    refused = ports.fake(PrivacyExports, begin=NotFound("no such request"))
    with pytest.raises(NotFound):
        await export(user_context(), REQUEST, refused, storage, links(ports))
    assert storage.asked == []


async def test_a_dry_run_stores_its_plan_and_deletes_nothing() -> None:
    ports, storage = Ports(), MemoryStorage(**FILES)
    assert await dry_run(user_context(), REQUEST, erasures(ports), storage, links(ports)) == (PLAN, LINK)
    assert ports.asked == ["PrivacyErasures.folders", "PrivacyErasures.plan", "Links.sign"]
    assert storage.asked == [f"put privacy_plans/{REQUEST}_plan.json"]
    files = json.loads(ports.calls[1].arguments["files"])
    assert [file["path"] for file in files] == ["me/a.txt", "me/b.txt"]


async def test_files_are_deleted_only_after_the_erasure_is_committed() -> None:
    ports, storage = Ports(), MemoryStorage(**FILES)
    kept = erasures(ports, execute=iter([PROCESSING, DONE]), claim_purges=PURGES[:1])
    assert await execute(user_context(), REQUEST, "ERASE", kept, storage) == DONE
    assert [(call.method.partition(".")[2], call.role) for call in ports.calls] == [
        ("folders", Role.USER),
        ("execute", Role.USER),
        ("claim_purges", Role.SERVICE),
        ("finish_purge", Role.SERVICE),
        ("execute", Role.USER),
    ]
    assert ports.calls[1].arguments == ports.calls[4].arguments
    assert storage.asked == ["delete travellers/me/a.txt", "delete travellers/me/b.txt"]


async def test_an_erasure_that_is_refused_deletes_no_file() -> None:
    ports, storage = Ports(), MemoryStorage(**FILES)
    with pytest.raises(Conflict):
        await execute(user_context(), REQUEST, "ERASE", erasures(ports, execute=Conflict("plan_stale")), storage)
    assert storage.asked == []


async def test_an_erasure_that_is_done_gives_its_certificate_again() -> None:
    ports, storage = Ports(), MemoryStorage(**FILES)
    assert await execute(user_context(), REQUEST, "ERASE", erasures(ports, execute=DONE), storage) == DONE
    assert storage.asked == []


async def test_a_store_that_is_away_leaves_the_folder_due_and_the_others_are_tried() -> None:
    ports, storage = Ports(), MemoryStorage(**FILES)
    storage.failure = Unavailable("away")
    assert await purge_due(SERVICE_CONTEXT, erasures(ports, claim_purges=PURGES), storage) == 2
    finished = [call.arguments for call in ports.calls if call.method.endswith("finish_purge")]
    assert finished == [{"purge": purge, "error": "Unavailable"} for purge in PURGES]


async def test_only_what_is_in_the_folder_is_deleted() -> None:
    ports, storage = Ports(), MemoryStorage(**FILES)
    await purge_due(SERVICE_CONTEXT, erasures(ports, claim_purges=PURGES[:1]), storage)
    assert [str(name) for name in storage.objects] == ["travellers/meg/c.txt", "invoices/2026/1.pdf"]
    assert ports.calls[-1].arguments == {"purge": PURGES[0]}


async def test_a_folder_that_fills_as_fast_as_it_is_emptied_stays_due() -> None:
    class Filling(MemoryStorage):
        async def delete(self, name: ObjectName) -> None:
            self._change(f"delete {name}")

    ports, storage = Ports(), Filling(**{"travellers/me/a.txt": b"a"})
    await purge_due(SERVICE_CONTEXT, erasures(ports, claim_purges=PURGES[:1]), storage)
    assert ports.calls[-1].arguments == {"purge": PURGES[0], "error": "Unavailable"}
    assert len(storage.asked) == LISTINGS
