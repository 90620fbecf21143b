"""Ports that answer what a test tells them and note what they were asked, in one order over all of them."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import IO, Any, NamedTuple

from src.domain.context import Context, Role
from src.domain.errors import NotFound
from src.domain.storage import ObjectName, StoredObject

NOW = datetime(2026, 11, 24, 5, tzinfo=UTC)


class Call(NamedTuple):
    """A call of a port, with its arguments by their names; `role` is whom it was made for."""

    method: str
    arguments: dict[str, Any]
    role: Role | None


class Ports:
    """What a use case is given in place of its ports."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    @property
    def asked(self) -> list[str]:
        return [call.method for call in self.calls]

    def fake(self, port: type, **answers: object) -> Any:
        """A port of these methods alone.

        An answer is a value, an error to be raised, or an iterator of these, one for each call. A call that the port's
        own signature would refuse is refused here as well.
        """
        return SimpleNamespace(**{name: self._method(port, name, answer) for name, answer in answers.items()})

    def _method(self, port: type, name: str, answer: object) -> Callable[..., Any]:
        declared = getattr(port, name)
        signature = inspect.signature(declared)

        def ask(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(None, *args, **kwargs).arguments
            del given["self"]
            context = given.pop("context", None)
            role = context.caller.role if isinstance(context, Context) else None
            self.calls.append(Call(f"{port.__name__}.{name}", given, role))
            found = next(answer) if isinstance(answer, Iterator) else answer
            if isinstance(found, Exception):
                raise found
            return found

        async def ask_later(*args: Any, **kwargs: Any) -> Any:
            return ask(*args, **kwargs)

        return ask_later if inspect.iscoroutinefunction(declared) else ask


class MemoryStorage:
    """A store in a dictionary. `asked` notes what changed it; `failure` is raised by every change."""

    def __init__(self, **contents: bytes) -> None:
        self.objects = {ObjectName(*path.split("/", 1)): content for path, content in contents.items()}
        self.asked: list[str] = []
        self.failure: Exception | None = None

    def _change(self, change: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.asked.append(change)

    def _stored(self, name: ObjectName) -> StoredObject:
        content = self.objects[name]
        return StoredObject(name, len(content), NOW, hashlib.sha256(content).hexdigest())

    async def put(self, name: ObjectName, content: bytes, *, replace: bool = False) -> StoredObject:
        assert replace or name not in self.objects
        self._change(f"put {name}")
        self.objects[name] = content
        return self._stored(name)

    async def put_file(self, name: ObjectName, file: IO[bytes]) -> StoredObject:
        return await self.put(name, file.read(), replace=True)

    async def head(self, name: ObjectName) -> StoredObject:
        if name not in self.objects:
            message = "Object not found"
            raise NotFound(message)
        return self._stored(name)

    async def read(self, stored: StoredObject, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        yield self.objects[stored.name][start:end]

    async def delete(self, name: ObjectName) -> None:
        self._change(f"delete {name}")
        self.objects.pop(name, None)

    async def listed(self, bucket: str, folder: str = "") -> list[StoredObject]:
        within = f"{folder}/" if folder else ""
        names = [name for name in self.objects if name.bucket == bucket and name.path.startswith(within)]
        return [self._stored(name) for name in sorted(names, key=str)]
