"""Processes a request to an endpoint: caller, access, limit, body, handler, envelope, AUDIT line."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from litestar import Request
from litestar.enums import ScopeType
from litestar.types import HTTPScope, Receive, Scope, Send

from src.domain.audit import AuditLine
from src.domain.context import ANONYMOUS, REQUEST_ID, Context, Role
from src.domain.errors import CallerUnknown, InputInvalid, NotAllowed
from src.domain.idempotency import FirstAnswer
from src.edge.turns import Turns
from src.http import problems, wire
from src.http.auth import Authenticator
from src.http.call import Access, Answer, Call
from src.http.client_address import ClientAddresses
from src.http.decode import from_body
from src.http.limits import RateLimits
from src.ports.audit import AuditTrail
from src.ports.callers import Callers
from src.ports.idempotency import IdempotencyKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from src.http.endpoint import Endpoint, Run

REPLAYED = ((b"idempotent-replayed", b"true"),)
MAX_KEY_LENGTH = 255
# Bodies up to this size are decoded without taking a turn.
QUICKLY_READ = 16 * 1024
FOR_ANYBODY = (Access.OPEN, Access.ANY)


@dataclass(frozen=True, slots=True)
class Edge:
    """Serves endpoints. Without `limits` there is no rate limit. Large bodies take `turns`."""

    authenticator: Authenticator
    callers: Callers
    keys: IdempotencyKeys
    audit: AuditTrail
    clients: ClientAddresses
    limits: RateLimits | None = None
    turns: Turns = field(default_factory=Turns)

    def serve(self, endpoint: Endpoint, run: Run) -> Callable[[Scope, Receive, Send], Coroutine[None, None, None]]:
        """The endpoint as an ASGI application. Litestar's exception handlers answer its errors."""

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            assert scope["type"] == ScopeType.HTTP  # noqa: S101 - Litestar routes nothing else here
            headers = wire.headers_of(scope)
            call = Call(
                Context(ANONYMOUS, REQUEST_ID.get()),
                headers,
                scope["query_string"],
                address=partial(self.clients.base_url, scope),
            )
            request_id = call.context.request_id
            try:
                if endpoint.resolve_guards():
                    await endpoint.authorize_connection(Request(scope, receive, send))
                answer = await self._answer(endpoint, run, call, scope, receive)
            except Exception as error:  # noqa: BLE001 - it is raised again
                # No variable may hold the error, as the cycle through this call would live until the collector runs.
                # OPEN endpoints have no sign-in, so their refusals stay as they are.
                raise self._recorded(
                    endpoint, call, error if endpoint.access is Access.OPEN else seen_by(call.context, error)
                ) from None
            self._record(endpoint, call)
            await wire.send_answer(send, answer.status, answer.body, request_id, answer.headers, answer.media_type)

        return application

    def _recorded(self, endpoint: Endpoint, call: Call, failure: Exception) -> Exception:
        status, code = problems.status_and_code(failure)
        call.note(code=code, status=status)
        self._record(endpoint, call)
        return failure

    def _record(self, endpoint: Endpoint, call: Call) -> None:
        # A mock may have marked the call's id, and the body has that id.
        context = call.context
        self.audit.record(AuditLine(endpoint.audit, context.request_id, context.caller.actor, call.facts))

    async def _answer(
        self, endpoint: Endpoint, run: Run, call: Call, scope: HTTPScope, receive: Receive
    ) -> Answer[object]:
        if scope["method"] not in endpoint.takes:
            raise problems.MethodNotAllowed(endpoint.allowed)
        access = endpoint.access if isinstance(endpoint.access, Access) else await endpoint.access()
        if access is not Access.OPEN:
            caller = self.authenticator.caller(call.headers)
            call.context = Context(caller, call.context.request_id)
        reading = endpoint.method == "GET"
        # SQL refuses callers who are not ops in the same round trip; only a 400 has to wait for that check.
        if access not in FOR_ANYBODY:
            await self._require(access, call.context, ops_is_checked_later=reading)
        if self.limits is not None and endpoint.per_minute is not None:
            await self.limits.take(call.context, endpoint.name, endpoint.per_minute, scope)
        if not reading:
            call.body = await wire.read_body(call.headers, receive, call.context.caller.role, endpoint.largest_body)
            wire.require_json(call.headers, call.body)
            if len(call.body) > QUICKLY_READ:
                await self.turns.take()
            if endpoint.keyed and access is not Access.OPEN and b"idempotency-key" in call.headers:
                return await self._once(endpoint, run, call, scope)
        try:
            return await run(call)
        except InputInvalid:
            await self._require(access, call.context)
            raise

    async def _require(self, access: Access, context: Context, *, ops_is_checked_later: bool = False) -> None:
        role = context.caller.role
        allowed = access in FOR_ANYBODY or role is Role.SERVICE
        if not allowed and role is Role.USER and access is not Access.SERVICE:
            allowed = access is Access.USER or ops_is_checked_later or await self.callers.is_ops(context)
        if not allowed:
            message = f"Only {'ops' if access is Access.OPS else f'a {access.value}'} may do this"
            raise NotAllowed(message)

    async def _once(self, endpoint: Endpoint, run: Run, call: Call, scope: HTTPScope) -> Answer[object]:
        """The first answer for this Idempotency-Key: made now, or given again.

        Anonymous callers are apart by the itinerary that they name, so that who comes again from another address gets
        their answer, else by their address.
        """
        key = call.headers[b"idempotency-key"].decode("latin-1")
        if not (1 <= len(key) <= MAX_KEY_LENGTH and all("!" <= letter <= "~" for letter in key)):
            message = "Idempotency-Key must be 1 to 255 visible ASCII characters"
            raise InputInvalid(message)
        asking = call.context._replace(idempotency_key=key)
        owner = call.context.caller.actor
        if call.context.caller.role is Role.ANONYMOUS:
            owner = f"{owner}:{_itinerary_of(call.body) or self.clients.digest(scope)}"
        request_hash = hashlib.sha256(b"\n".join([endpoint.name.encode(), call.body])).digest()
        found = await self.keys.claim(asking, owner, request_hash)
        if isinstance(found, FirstAnswer):
            call.note(replayed=True)
            return Answer(found.body, found.status, REPLAYED)
        call.context = asking._replace(claim=found if endpoint.atomic else None)
        try:
            answer = await run(call)
        except Exception as error:
            status, _ = problems.status_and_code(seen_by(asking, error))
            if status in (400, 401, 403, 429) or status >= 500:  # noqa: PLR2004 - not validated, or worth a retry
                await self.keys.release(asking, found)
            else:
                body = problems.body_of(error, asking.request_id)
                await self.keys.settle(asking, found, FirstAnswer(status, body))
            raise
        if not endpoint.atomic:
            await self.keys.settle(asking, found, FirstAnswer(answer.status, answer.body))
        return answer


class _ItineraryInput(msgspec.Struct, frozen=True):
    itinerary_id: UUID | None = None


def _itinerary_of(body: bytes) -> UUID | None:
    """The itinerary that a body names; none in a body that the endpoint refuses."""
    try:
        return from_body(_ItineraryInput, body).itinerary_id
    except InputInvalid:
        return None


def seen_by(context: Context, error: Exception) -> Exception:
    """A missing right of the anonymous role means that the sign-in is missing."""
    if isinstance(error, NotAllowed) and context.caller.role is Role.ANONYMOUS:
        return CallerUnknown("Sign in to do this")
    return error
