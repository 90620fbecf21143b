from collections.abc import AsyncIterator
from datetime import timedelta
from typing import IO, Protocol

from src.domain.context import Context
from src.domain.storage import Link, ObjectName, StoredObject


class Storage(Protocol):
    """Keeps objects. Every method raises Unavailable while the store is away."""

    async def put(self, name: ObjectName, content: bytes, *, replace: bool = False) -> StoredObject:
        """Store the whole object at once. Raises Conflict when it exists, unless it may be replaced."""

    async def put_file(self, name: ObjectName, file: IO[bytes]) -> StoredObject:
        """Store what is left to read in a file, of any size and piece by piece, in place of what was there."""

    async def head(self, name: ObjectName) -> StoredObject:
        """The object without its content. Raises NotFound."""

    def read(self, stored: StoredObject, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` to before `end` of this very version. Raises NotFound when it is gone or replaced."""

    async def delete(self, name: ObjectName) -> None:
        """Nothing happens when there is no such object."""

    async def listed(self, bucket: str, folder: str = "") -> list[StoredObject]:
        """All objects of a bucket, or of one folder in it, by path."""


class StorageTrail(Protocol):
    """Remembers which objects clients changed."""

    async def record(self, context: Context, action: str, name: ObjectName) -> None:
        """An object is about to be `put` or to be `delete`d. No change lacks its row; a row may lack its change."""


class Links(Protocol):
    """Signs links to objects and tells which object a link opens."""

    def sign(self, stored: StoredObject, lifetime: timedelta) -> Link:
        """A link to this version of the object; it dies with it, or after `lifetime`."""

    def opened(self, name: ObjectName, token: str) -> tuple[str, str]:
        """The link's id and the version it opens. Raises LinkRefused: altered, expired, or of another object."""
