"""A person's copy of what we know of them: one JSON document for each table, and their files, in one archive."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO, TYPE_CHECKING
from uuid import UUID

from src.domain.context import Context
from src.domain.errors import Conflict, NotFound
from src.domain.privacy import Folder
from src.domain.storage import Link, ObjectName, StoredObject

if TYPE_CHECKING:
    from src.ports.privacy_exports import PrivacyExports
    from src.ports.storage import Links, Storage

BUCKET = "privacy_exports"
LINK_LIFETIME = timedelta(days=7)
ROWS_AT_ONCE = 5_000
IN_MEMORY = 16 * 1024 * 1024

README = """This archive holds what ecoTrips knows of you.

Each .json document is one kind of record: "label" says what it is, "columns" what each value means, "rows" are yours.
Amounts ending in _cents are minor units of their currency (RWF has none); times are UTC. Your files are below files/.
Records of sales and payments stay with us for as long as tax law demands, also after you asked for an erasure.
"""


@dataclass(frozen=True, slots=True)
class ExportedTable:
    """One table with `rows` rows of the person; `columns` gives each exported column its label."""

    schema: str
    table: str
    label: str
    rows: int
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Contents:
    """What an export will hold."""

    request_id: UUID
    tables: tuple[ExportedTable, ...]
    folders: tuple[Folder, ...]


@dataclass(frozen=True, slots=True)
class Export:
    """A stored archive."""

    request_id: UUID
    path: str
    sha256: str
    expires_at: datetime


async def export(context: Context, request_id: UUID, exports: PrivacyExports, storage: Storage, links: Links) -> Link:
    """Store a new archive and sign a link to it; links to earlier archives become invalid.

    Memory use does not depend on the amount of data. Raises NotFound, Conflict (not approved; the person was erased
    meanwhile), Unavailable.
    """
    contents = await exports.begin(context, request_id)
    name = ObjectName(BUCKET, f"{request_id}/export.zip")
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file:
        with zipfile.ZipFile(file, "w") as archive:
            await _member(archive, "README.txt", _once(README.encode()))
            for table in contents.tables:
                document = _document(context, request_id, table, exports)
                await _member(archive, f"{table.schema}.{table.table}.json", document)
            async for stored in _files(contents, storage):
                await _member(archive, f"files/{stored.name}", storage.read(stored))
        sha256 = _sha256(file)
        file.seek(0)
        stored = await storage.put_file(name, file)
    link = links.sign(stored, LINK_LIFETIME)
    done = Export(request_id, name.path, sha256, link.expires_at)
    try:
        await exports.record(context, done)
    except Conflict:
        await storage.delete(name)
        raise
    return link


async def _document(
    context: Context, request_id: UUID, table: ExportedTable, exports: PrivacyExports
) -> AsyncIterator[bytes]:
    head = {"schema": table.schema, "table": table.table, "label": table.label, "columns": dict(table.columns)}
    yield json.dumps(head, ensure_ascii=False, sort_keys=True)[:-1].encode() + b', "rows": ['
    for offset in range(0, table.rows, ROWS_AT_ONCE):
        rows = await exports.rows(context, request_id, table, offset, ROWS_AT_ONCE)
        yield (b",\n" if offset else b"") + rows.strip()[1:-1]
    yield b"]}\n"


async def _files(contents: Contents, storage: Storage) -> AsyncIterator[StoredObject]:
    for folder in contents.folders:
        # Archives of earlier exports are not exported.
        if folder.bucket == BUCKET:
            continue
        if folder.path.endswith("/"):
            for stored in await storage.listed(folder.bucket, folder.path.rstrip("/")):
                yield stored
        else:
            with suppress(NotFound):
                yield await storage.head(ObjectName(folder.bucket, folder.path))


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _member(archive: zipfile.ZipFile, name: str, parts: AsyncIterator[bytes]) -> None:
    # A constant timestamp, so that equal data make equal bytes.
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(info, "w", force_zip64=True) as member:
        async for part in parts:
            member.write(part)


def _sha256(file: IO[bytes]) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while part := file.read(IN_MEMORY):
        digest.update(part)
    return digest.hexdigest()
