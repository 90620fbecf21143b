"""What an endpoint of /functions/v1 is: a declaration that the edge serves and the OpenAPI document describes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, TypeAlias

import msgspec

from src.domain.context import Context
from src.http import wire
from src.ports.switches import Switches


class Access(Enum):
    """The least a caller must be. OPEN endpoints check a signature of their own."""

    OPEN = "open"
    ANY = "any key"
    USER = "user"
    OPS = "ops"
    SERVICE = "service"


def ops_unless(switches: Switches, name: str, value: str) -> Callable[[], Awaitable[Access]]:
    """Any key while the switch `name` has `value` (fixtures and mocks are for everyone), else ops."""

    async def access() -> Access:
        return Access.ANY if await switches.value(name) == value else Access.OPS

    return access


@dataclass(slots=True)
class Call:
    """One request on its way through an endpoint.

    `facts` become its AUDIT line, whether it succeeds or fails: ids, states and amounts only. `address` tells this
    service's own address as the caller reaches it.
    """

    context: Context
    headers: dict[bytes, bytes]
    query: bytes = b""
    body: bytes = b""
    address: Callable[[], str] = str
    facts: dict[str, object] = field(default_factory=dict)

    def note(self, **facts: object) -> None:
        self.facts.update(facts)

    @property
    def base_url(self) -> str:
        """Our own address, without a slash at its end."""
        return self.address()


class Answer(NamedTuple):
    """A success: the finished body, JSON but for the one provider that wants its own text back."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    media_type: bytes = wire.JSON


Run: TypeAlias = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One function.

    `run` takes the call, decodes and answers; its docstring is the endpoint's description. `input` and `answer` are
    the structs that document it. `audit` names its AUDIT line. `per_minute` is its limit for one caller, None for what
    the service alone may call.

    A POST honours Idempotency-Key unless it is not `keyed`, because it changes nothing. `atomic` says that one SQL call
    is its whole effect and answer, so that the first answer is kept in that call's own transaction. Others rest on the
    natural keys of their steps. `get` answers GET on the path of a POST, for a provider that checks the address first;
    `largest_body` is in bytes. `statuses` are those that come with `answer`, `errors` the failures beyond those that
    any endpoint may give.

    `functions` are the SQL functions, `schema.name`, that take the input on; each belongs to one endpoint. They refuse
    what `input` refuses, and a call of them by /rest/v1/rpc takes from this endpoint's limit.
    """

    name: str
    audit: str
    run: Run
    input: type[msgspec.Struct] | None
    answer: type[msgspec.Struct]
    access: Access | Callable[[], Awaitable[Access]] = Access.ANY
    method: str = "POST"
    per_minute: int | None = 60
    keyed: bool = True
    atomic: bool = False
    statuses: tuple[int, ...] = (200,)
    errors: tuple[int, ...] = ()
    get: Run | None = None
    largest_body: int = wire.LARGEST_BODY
    functions: tuple[str, ...] = ()
