"""`ecotrips privacy verify`: proves that an erasure left nothing but what the law keeps."""

from __future__ import annotations

import asyncio
import io
import os
import zipfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from src.adapters.files.store import FileStore
from src.commands import local, operators
from src.commands.arguments import Commands, group
from src.database.opened import connect
from src.domain.storage import BUCKETS, StoredObject
from src.logins import STAFF
from src.settings import Settings

PIECE = 200_000
# No identifier is longer, so an overlap of this size misses none.
OVERLAP = 400
UNREADABLE = "a document that cannot be read"


@dataclass(frozen=True, slots=True)
class Find:
    """An identifier of the person, where it was found, and whether the law keeps it there."""

    place: str
    kind: str
    count: int
    kept: bool

    def __str__(self) -> str:
        return f"{'kept ' if self.kept else 'FOUND'}  {self.place}: {self.kind} ({self.count})"


def add(commands: Commands) -> None:
    verify = group(commands, "privacy", "privacy requests").add_parser(
        "verify", help="look for what is left of an erased person, in every column and file"
    )
    verify.add_argument("request", type=UUID, help="the erasure's request id")
    verify.set_defaults(run=lambda arguments: _verify(arguments.request))


def _verify(request_id: UUID) -> int:
    """Print every find; 0 when all are kept by law, else 1. Only the text of PDFs is searched."""
    with local.database(os.environ) as settings:
        found = asyncio.run(finds(settings, request_id))
    for find in found:
        print(find)
    left = sum(not find.kept for find in found)
    print(f"{left} places to look at" if left else "nothing is left outside what the law keeps")
    return 1 if left else 0


async def finds(settings: Settings, request_id: UUID) -> list[Find]:
    """Identifiers of the person in the database and in stored files, as ops see them."""
    from src.composition import store_of  # noqa: PLC0415 - the service's imports would slow every other command

    connection = await connect(await operators.dsn_of(settings, STAFF))
    try:
        return [
            *await _in_columns(connection, request_id, settings.privacy_secret),
            *[
                find
                async for find in _in_files(
                    connection,
                    store_of(settings),
                    request_id,
                    settings.privacy_secret,
                )
            ],
        ]
    finally:
        await connection.close()


async def _in_columns(connection: asyncpg.Connection, request_id: UUID, secret: str) -> list[Find]:
    rows = await connection.fetch("select * from public.find_erased_subject($1, $2)", request_id, secret)
    return [
        Find(f"{row['table_schema']}.{row['table_name']}.{row['column_name']}", row["kind"], row["found"], row["kept"])
        for row in rows
    ]


async def _in_files(
    connection: asyncpg.Connection, storage: FileStore, request_id: UUID, secret: str
) -> AsyncIterator[Find]:
    kept = {
        row["bucket"]
        for row in await connection.fetch(
            "select split_part(files, '/', 1) as bucket from privacy.mapped_tables where files_kept"
        )
    }
    for bucket in BUCKETS:
        for stored in await storage.listed(bucket):
            for text in [str(stored.name), *_texts(stored.name.path, await _content(storage, stored))]:
                if text is None:
                    yield Find(str(stored.name), UNREADABLE, 1, bucket in kept)
                    continue
                kinds = await connection.fetchval(
                    "select public.find_erased_subject_in_text($1, $2, $3)", request_id, text, secret
                )
                for kind in kinds or ():
                    yield Find(str(stored.name), kind, 1, bucket in kept)


async def _content(storage: FileStore, stored: StoredObject) -> bytes:
    return b"".join([chunk async for chunk in storage.read(stored)])


def _texts(name: str, content: bytes) -> Iterator[str | None]:
    """The text of a file, or of the files in an archive, in pieces; None for an unreadable document."""
    if name.endswith(".pdf"):
        yield from _pdf_texts(content)
    elif zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                yield member
                yield from _texts(member, archive.read(member))
    else:
        yield from _pieces(content.decode(errors="replace"))


def _pdf_texts(content: bytes) -> Iterator[str | None]:
    """The text of the pages, the metadata and the attachments."""
    import pypdf  # noqa: PLC0415 - only for this command

    try:
        reader = pypdf.PdfReader(io.BytesIO(content))
        shown = [page.extract_text() for page in reader.pages]
        described = [str(value) for value in (reader.metadata or {}).values()]
        attached = [(name, part) for name, parts in reader.attachments.items() for part in parts]
    except (pypdf.errors.PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        yield None
        return
    yield from _pieces("\n".join([*shown, *described]))
    for name, part in attached:
        yield name
        yield from _texts(name, part)


def _pieces(text: str) -> Iterator[str]:
    text = text.replace("\0", " ")
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE + OVERLAP]
