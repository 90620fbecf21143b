"""`/storage/v1` (docs/api.md, Files): objects for the service, and links that open one object for whoever has them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from urllib.parse import unquote

import msgspec
from litestar.enums import ScopeType
from litestar.types import HTTPScope, Receive, Scope, Send
from msgspec import Meta

from src.domain.audit import AuditLine, digest
from src.domain.context import ANONYMOUS, REQUEST_ID, Context, Role
from src.domain.errors import DomainError, NotAllowed, NotFound
from src.domain.storage import LinkMismatched, ObjectName
from src.http import storage_problems, wire
from src.http.auth import Authenticator
from src.http.call import Call
from src.http.decode import from_body, from_query
from src.http.downloads import Sent, download, send_download
from src.http.edge import seen_by
from src.http.problems import MethodNotAllowed
from src.ports.audit import AuditTrail
from src.ports.storage import Links, Storage, StorageTrail

log = logging.getLogger(__name__)

PREFIX = "/storage/v1/object/"
LONGEST_LIFETIME = 366 * 24 * 3600


class SignInput(msgspec.Struct, frozen=True):
    expires_in: Annotated[
        int,
        Meta(
            ge=1,
            le=LONGEST_LIFETIME,
            description="Seconds",
            extra={"message": f"expiresIn must be an integer from 1 to {LONGEST_LIFETIME}"},
        ),
    ] = msgspec.field(name="expiresIn")


class LinkInput(msgspec.Struct, frozen=True):
    token: str = ""
    download: Annotated[str, Meta(max_length=255, description="The file name to save as")] | None = None


@dataclass(frozen=True, slots=True)
class StorageRoutes:
    """Everything below /storage/v1, as one ASGI application."""

    storage: Storage
    links: Links
    trail: StorageTrail
    authenticator: Authenticator
    audit: AuditTrail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == ScopeType.HTTP  # noqa: S101 - Litestar routes nothing else here
        headers = wire.headers_of(scope)
        call = Call(Context(ANONYMOUS, REQUEST_ID.get()), headers, scope["query_string"])
        request_id = call.context.request_id
        call.note(method=scope["method"])
        try:
            sent = await self._answer(call, scope, receive)
            first = await anext(sent.chunks, b"")
        except Exception as error:
            status, body, extra = storage_problems.answer_of(seen_by(call.context, error))
            sent = _json(body, status, tuple(extra))
            first = await anext(sent.chunks)
            if not isinstance(error, DomainError):
                log.exception("storage failed")
        call.note(status=sent.status)
        self.audit.record(AuditLine("storage.object", request_id, call.context.caller.actor, call.facts))
        await send_download(send, sent, first, request_id, body=scope["method"] != "HEAD")

    async def _answer(self, call: Call, scope: HTTPScope, receive: Receive) -> Sent:
        path = _below_object(scope)
        if not path.startswith("sign/"):
            return await self._object(call, path, scope["method"], receive)
        match scope["method"]:
            case "GET" | "HEAD":
                return await self._open(call, path.removeprefix("sign/"))
            case "POST":
                return await self._sign(call, path.removeprefix("sign/"), receive)
            case _:
                message = "GET, HEAD, POST"
                raise MethodNotAllowed(message)

    async def _open(self, call: Call, path: str) -> Sent:
        """A signed link. Its token says all: no key is asked for."""
        asked = from_query(LinkInput, call.query)
        name = _name(path)
        link_id, version = self.links.opened(name, asked.token)
        _note(call, name)
        call.note(link=link_id)
        stored = await self.storage.head(name)
        if stored.version != version:
            raise LinkMismatched
        return download(self.storage, stored, call.headers, asked.download or name.file_name)

    async def _sign(self, call: Call, path: str, receive: Receive) -> Sent:
        self._require_service(call)
        body = await wire.read_body(call.headers, receive, call.context.caller.role)
        wire.require_json(call.headers, body)
        asked = from_body(SignInput, body)
        name = _noted(call, path)
        link = self.links.sign(await self.storage.head(name), timedelta(seconds=asked.expires_in))
        call.note(link=link.link_id)
        return _json(msgspec.json.encode({"signedURL": link.path}))

    async def _object(self, call: Call, path: str, method: str, receive: Receive) -> Sent:
        self._require_service(call)
        match method:
            case "GET" | "HEAD":
                name = _noted(call, path)
                return download(self.storage, await self.storage.head(name), call.headers, name.file_name)
            case "PUT":
                name = _noted(call, path)
                content = await wire.read_body(call.headers, receive, call.context.caller.role)
                await self.trail.record(call.context, "put", name)
                await self.storage.put(name, content, replace=True)
                return _json(msgspec.json.encode({"Key": str(name)}))
            case "DELETE":
                name = _noted(call, path)
                await self.storage.head(name)
                await self.trail.record(call.context, "delete", name)
                await self.storage.delete(name)
                return _json(msgspec.json.encode({"message": "Successfully deleted"}))
            case _:
                message = "DELETE, GET, HEAD, PUT"
                raise MethodNotAllowed(message)

    def _require_service(self, call: Call) -> None:
        call.context = Context(self.authenticator.caller(call.headers), call.context.request_id)
        if call.context.caller.role is not Role.SERVICE:
            message = "Only a service may do this"
            raise NotAllowed(message)


def _below_object(scope: HTTPScope) -> str:
    """What follows /storage/v1/object/, decoded exactly once from the bytes of the request line.

    The router's own path is of no use here: it has dropped doubled and final slashes.
    """
    raw = scope["raw_path"].partition(b"?")[0]
    try:
        path = unquote(raw.decode("ascii"), errors="strict")
    except UnicodeError:
        path = ""
    if not path.startswith(PREFIX):
        raise NotFound(ABSENT)
    return path.removeprefix(PREFIX)


ABSENT = "Object not found"


def _name(path: str) -> ObjectName:
    bucket, _, inside = path.partition("/")
    return ObjectName(bucket, inside)


def _noted(call: Call, path: str) -> ObjectName:
    name = _name(path)
    _note(call, name)
    return name


def _note(call: Call, name: ObjectName) -> None:
    """Of an object's name only a digest, the beginning of the one in audit.events: people name files after people."""
    call.note(bucket=name.bucket, object=digest(str(name)))


def _json(body: bytes, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Sent:
    async def once() -> AsyncIterator[bytes]:
        yield body

    return Sent(status, ((b"content-type", wire.JSON), *headers), len(body), once())
