"""Objects in a directory, in S3 or in memory, by one library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import LocalStore, MemoryStore, S3Store

from src.domain.errors import Conflict, NotFound, Unavailable
from src.domain.storage import BUCKETS, PATH, ObjectName, StoredObject

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CHUNK = 256 * 1024
PIECES_AT_ONCE = 2  # of 5 MiB each, so that a large file does not take a server's memory
# The library's default is three minutes, which is too long for a waiting caller.
CLIENT: ClientConfig = {
    "connect_timeout": timedelta(seconds=3),
    "timeout": timedelta(seconds=20),
}
RETRIES: RetryConfig = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2},
}


class UnknownStoreError(ValueError):
    """STORAGE_URL names no kind of store that we have."""


def store_at(url: str, directory: Path, *, only_https: bool, make: bool = True) -> FileStore:
    """The store of a STORAGE_URL, or the directory when there is none. Raises UnknownStoreError.

    A folder is made when it is missing; without `make` FileNotFoundError is raised. Unless `only_https`, a store of S3
    may be one of plain http: where AWS_ENDPOINT_URL says so.

    `s3://bucket/prefix` (credentials, region and endpoint from AWS_*), `file:///absolute/path` or `memory://`.
    """
    scheme, _, rest = url.partition("://")
    match scheme:
        case "":
            return _directory(directory, make=make)
        case "file":
            return _directory(Path(rest), make=make)
        case "memory":
            return FileStore(MemoryStore())
        case "s3":
            client: ClientConfig = {**CLIENT, "allow_http": not only_https}
            try:
                return FileStore(
                    S3Store.from_url(url, client_options=client, retry_config=RETRIES, config={"skip_signature": False})
                )
            except BaseError as error:
                # The error's text would show the AWS_* values.
                message = f"STORAGE_URL cannot be used with the AWS_… that are set: {type(error).__name__}"
                raise UnknownStoreError(message) from None
        case _:
            message = f"STORAGE_URL must begin with s3://, file:// or memory://, not {scheme}://"
            raise UnknownStoreError(message)


def _directory(directory: Path, *, make: bool) -> FileStore:
    directory = directory.absolute()
    if not make and not directory.is_dir():
        raise FileNotFoundError(directory)
    return FileStore(LocalStore(directory, mkdir=True), directory)


class FileStore:
    """Objects whose buckets are the top folders of one store.

    `directory` is the store's folder when it is on this machine.
    """

    def __init__(self, store: LocalStore | MemoryStore | S3Store, directory: Path | None = None) -> None:
        self._store = store
        self._directory = directory

    async def put(self, name: ObjectName, content: bytes, *, replace: bool = False) -> StoredObject:
        with _translated():
            await obstore.put_async(
                self._store, str(name), content, mode="overwrite" if replace else "create", use_multipart=False
            )
        return await self.head(name)

    async def put_file(self, name: ObjectName, file: IO[bytes]) -> StoredObject:
        with _translated():
            await obstore.put_async(self._store, str(name), file, mode="overwrite", max_concurrency=PIECES_AT_ONCE)
        return await self.head(name)

    async def head(self, name: ObjectName) -> StoredObject:
        self._require_inside(name)
        with _translated():
            return _stored(name, await obstore.head_async(self._store, str(name)))

    async def read(self, stored: StoredObject, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        end = stored.size if end is None else end
        if start >= end:
            return
        self._require_inside(stored.name)
        with _translated():
            found = await obstore.get_async(
                self._store, str(stored.name), options={"range": (start, end), "if_match": stored.etag}
            )
            async for chunk in found.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    async def delete(self, name: ObjectName) -> None:
        with _translated(), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, str(name))

    async def listed(self, bucket: str, folder: str = "") -> list[StoredObject]:
        if bucket not in BUCKETS:
            message = "Bucket not found"
            raise NotFound(message)
        with _translated():
            found = await obstore.list(self._store, prefix=f"{bucket}/{folder}").collect_async()
        paths = {meta["path"].removeprefix(f"{bucket}/"): meta for meta in found}
        # Files whose names are no object names are not listed: somebody else put them there.
        return [_stored(ObjectName(bucket, path), paths[path]) for path in sorted(paths) if PATH.fullmatch(path)]

    def _require_inside(self, name: ObjectName) -> None:
        """Refuses symbolic links that lead out of the bucket."""
        if self._directory is not None:
            bucket = self._directory / name.bucket
            if not (bucket / name.path).resolve().is_relative_to(bucket.resolve()):
                raise NotFound(ABSENT)


ABSENT = "Object not found"


def _stored(name: ObjectName, meta: obstore.ObjectMeta) -> StoredObject:
    return StoredObject(name, meta["size"], meta["last_modified"], meta["e_tag"] or "")


@contextmanager
def _translated() -> Iterator[None]:
    """Inside this block, errors of the store become domain errors. Their texts hold addresses and are dropped."""
    try:
        yield
    except (FileNotFoundError, PreconditionError):
        raise NotFound(ABSENT) from None
    except AlreadyExistsError:
        message = "The object exists and is never replaced"
        raise Conflict(message) from None
    except (BaseError, OSError) as error:
        message = "The storage is temporarily unavailable"
        raise Unavailable(message) from error
