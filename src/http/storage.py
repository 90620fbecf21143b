"""`/storage/v1` (docs/api.md, Files): objects for the service, and links that open one object for whoever has them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, TypeAlias
from urllib.parse import unquote

import msgspec
from litestar import Controller, delete, get, post, put, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod, ScopeType
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, RequestBody, Schema
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send
from msgspec import Meta

from src.domain.audit import AuditLine, digest
from src.domain.context import ANONYMOUS, REQUEST_ID, Context, Role
from src.domain.errors import DomainError, NotAllowed, NotFound
from src.domain.storage import MEDIA_TYPES, LinkMismatched, ObjectName
from src.http import storage_problems, wire
from src.http.auth import Authenticator
from src.http.call import Call
from src.http.decode import from_body, from_query
from src.http.downloads import Download, download, send_download
from src.http.edge import seen_by
from src.http.openapi import json_body, operation_with
from src.http.problems import MethodNotAllowed
from src.ports.audit import AuditTrail
from src.ports.storage import Links, Storage, StorageTrail

log = logging.getLogger(__name__)

PREFIX = "/storage/v1/object/"
MAX_LIFETIME = 366 * 24 * 3600


class SignInput(msgspec.Struct, frozen=True):
    expires_in: Annotated[
        int,
        Meta(
            ge=1,
            le=MAX_LIFETIME,
            description="Seconds",
            extra={"message": f"expiresIn must be an integer from 1 to {MAX_LIFETIME}"},
        ),
    ] = msgspec.field(name="expiresIn")


class Written(msgspec.Struct, frozen=True):
    key: str = msgspec.field(name="Key")


class Deleted(msgspec.Struct, frozen=True):
    message: str


class Signed(msgspec.Struct, frozen=True):
    signed_url: str = msgspec.field(name="signedURL")


class LinkInput(msgspec.Struct, frozen=True):
    token: str = ""
    download: Annotated[str, Meta(max_length=255, description="The file name to save as")] | None = None


Action: TypeAlias = "Callable[[StorageEdge, Call, str, Receive], Awaitable[Download]]"


@dataclass(frozen=True, slots=True)
class StorageEdge:
    """Processes the actions: path, AUDIT line, and failures in Supabase's form."""

    storage: Storage
    links: Links
    trail: StorageTrail
    authenticator: Authenticator
    audit: AuditTrail

    def serve(self, action: Action) -> ASGIApp:
        """An action on the path below /storage/v1/object/."""

        async def served(scope: Scope, receive: Receive, send: Send) -> None:
            assert scope["type"] == ScopeType.HTTP  # noqa: S101 - no route takes websockets
            call = Call(Context(ANONYMOUS, REQUEST_ID.get()), wire.headers_of(scope), scope["query_string"])
            request_id = call.context.request_id
            call.note(method=scope["method"])
            try:
                sent = await action(self, call, _below_object(scope), receive)
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

        return served

    async def read(self, call: Call, path: str, _: Receive) -> Download:
        self._require_service(call)
        name = _noted(call, path)
        return download(self.storage, await self.storage.head(name), call.headers, name.file_name)

    async def write(self, call: Call, path: str, receive: Receive) -> Download:
        self._require_service(call)
        name = _noted(call, path)
        content = await wire.read_body(call.headers, receive, call.context.caller.role)
        await self.trail.record(call.context, "put", name)
        await self.storage.put(name, content, replace=True)
        return _json(msgspec.json.encode(Written(str(name))))

    async def delete(self, call: Call, path: str, _: Receive) -> Download:
        self._require_service(call)
        name = _noted(call, path)
        await self.storage.head(name)
        await self.trail.record(call.context, "delete", name)
        await self.storage.delete(name)
        return _json(msgspec.json.encode(Deleted("Successfully deleted")))

    async def open(self, call: Call, path: str, _: Receive) -> Download:
        """A signed link. Its token is the only credential."""
        asked = from_query(LinkInput, call.query)
        name = _name(_below_sign(path))
        link_id, version = self.links.opened(name, asked.token)
        _note(call, name)
        call.note(link=link_id)
        stored = await self.storage.head(name)
        if stored.version != version:
            raise LinkMismatched
        return download(self.storage, stored, call.headers, asked.download or name.file_name)

    async def sign(self, call: Call, path: str, receive: Receive) -> Download:
        self._require_service(call)
        body = await wire.read_body(call.headers, receive, call.context.caller.role)
        wire.require_json(call.headers, body)
        asked = from_body(SignInput, body)
        name = _noted(call, _below_sign(path))
        link = self.links.sign(await self.storage.head(name), timedelta(seconds=asked.expires_in))
        call.note(link=link.link_id)
        return _json(msgspec.json.encode(Signed(link.path)))

    async def refuse(self, call: Call, _: str, __: Receive) -> Download:
        self._require_service(call)
        message = "DELETE, GET, HEAD, PUT"
        raise MethodNotAllowed(message)

    async def refuse_link(self, _: Call, __: str, ___: Receive) -> Download:
        message = "GET, HEAD, POST"
        raise MethodNotAllowed(message)

    def _require_service(self, call: Call) -> None:
        call.context = Context(self.authenticator.caller(call.headers), call.context.request_id)
        if call.context.caller.role is not Role.SERVICE:
            message = "Only a service may do this"
            raise NotAllowed(message)


OBJECT, LINK = "/object/{bucket:str}/{path:path}", "/object/sign/{bucket:str}/{path:path}"
WRONG_FOR_OBJECTS = (HttpMethod.POST, HttpMethod.PATCH)
WRONG_FOR_LINKS = (HttpMethod.PUT, HttpMethod.DELETE, HttpMethod.PATCH)
KINDS = ("application/octet-stream", *sorted(set(MEDIA_TYPES.values())))
EXAMPLE = "invoices/2026/INV-20260131-0001.pdf"
WHOLE = ResponseSpec(bytes, description="The file", generate_examples=False)
# Registers the schema of failures.
FAILURE = ResponseSpec(storage_problems.StorageProblem, generate_examples=False)
PART = ResponseSpec(bytes, description="The range asked for", generate_examples=False)


def _done(kind: type[msgspec.Struct]) -> Mapping[int, ResponseSpec]:
    return {200: ResponseSpec(kind, description="Done", generate_examples=False)}


class StorageController(Controller):
    """Each method returns the ASGI application of its action."""

    path = "/storage/v1"
    tags = ("storage",)

    @get(
        OBJECT,
        name="object-get",
        responses={200: WHOLE, 206: PART, 500: FAILURE},
        operation_class=operation_with(400, 401, 403, 404, 405, 416, 500, 503, kind="Storage", files=KINDS),
        sync_to_thread=False,
    )
    def read(self, storage_edge: NamedDependency[StorageEdge]) -> ASGIApp:
        """Read an object.

        Caller: service.
        """
        return storage_edge.serve(StorageEdge.read)

    @put(
        OBJECT,
        name="object-put",
        responses=_done(Written),
        operation_class=operation_with(
            *(400, 401, 403, 404, 405, 408, 409, 413, 415, 500, 503),
            kind="Storage",
            body=RequestBody({"application/octet-stream": OpenAPIMediaType(schema=Schema())}, required=True),
            examples={200: {"Key": EXAMPLE}},
        ),
        sync_to_thread=False,
    )
    def write(self, storage_edge: NamedDependency[StorageEdge]) -> ASGIApp:
        """Write an object.

        Caller: service. Links to what it replaces die.
        """
        return storage_edge.serve(StorageEdge.write)

    @delete(
        OBJECT,
        name="object-delete",
        status_code=200,
        responses=_done(Deleted),
        operation_class=operation_with(
            *(400, 401, 403, 404, 405, 500, 503),
            kind="Storage",
            examples={200: {"message": "Successfully deleted"}},
        ),
        sync_to_thread=False,
    )
    def delete(self, storage_edge: NamedDependency[StorageEdge]) -> ASGIApp:
        """Delete an object.

        Caller: service. Links to it die.
        """
        return storage_edge.serve(StorageEdge.delete)

    @get(
        LINK,
        name="object-open",
        responses={200: WHOLE, 206: PART},
        operation_class=operation_with(
            *(400, 404, 405, 416, 500, 503), kind="Storage", open_to_all=True, query=LinkInput, files=KINDS
        ),
        sync_to_thread=False,
    )
    def open(self, storage_edge: NamedDependency[StorageEdge]) -> ASGIApp:
        """Open a signed link.

        Its token says all: no key is asked for.
        """
        return storage_edge.serve(StorageEdge.open)

    @post(
        LINK,
        name="object-sign",
        status_code=200,
        responses=_done(Signed),
        operation_class=operation_with(
            *(400, 401, 403, 404, 405, 408, 413, 415, 500, 503),
            kind="Storage",
            body=json_body(SignInput, {"expiresIn": 3600}),
            examples={200: {"signedURL": f"/object/sign/{EXAMPLE}?token=eyJ…"}},
        ),
        sync_to_thread=False,
    )
    def sign(self, storage_edge: NamedDependency[StorageEdge]) -> ASGIApp:
        """Sign a link to an object.

        Caller: service. The link opens this version of the object for whoever has it, until it expires.
        """
        return storage_edge.serve(StorageEdge.sign)

    @route(OBJECT, http_method=WRONG_FOR_OBJECTS, status_code=405, include_in_schema=False, sync_to_thread=False)
    def refuse(self, storage_edge: NamedDependency[StorageEdge]) -> ASGIApp:
        return storage_edge.serve(StorageEdge.refuse)

    @route(LINK, http_method=WRONG_FOR_LINKS, status_code=405, include_in_schema=False, sync_to_thread=False)
    def refuse_link(self, storage_edge: NamedDependency[StorageEdge]) -> ASGIApp:
        return storage_edge.serve(StorageEdge.refuse_link)


def _below_sign(path: str) -> str:
    if not path.startswith("sign/"):
        raise NotFound(ABSENT)
    return path.removeprefix("sign/")


def _below_object(scope: HTTPScope) -> str:
    """The path below /storage/v1/object/, decoded once from the request line.

    The router's path has lost doubled and final slashes.
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
    """Only a digest of an object's name, as in audit.events, because file names may hold personal names."""
    call.note(bucket=name.bucket, object=digest(str(name)))


def _json(body: bytes, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Download:
    async def once() -> AsyncIterator[bytes]:
        yield body

    return Download(status, ((b"content-type", wire.JSON), *headers), len(body), once())
