"""A call of an endpoint: its access level, the call itself, and its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, NamedTuple, TypeVar

from src.domain.context import Context
from src.http import wire
from src.ports.switches import Switches

T_co = TypeVar("T_co", covariant=True)


class Access(Enum):
    """The access level of an endpoint. OPEN endpoints check a signature of their own."""

    OPEN = "open"
    ANY = "any key"
    USER = "user"
    OPS = "ops"
    SERVICE = "service"


def ops_unless(name: str, value: str) -> Callable[[Switches], Awaitable[Access]]:
    """Any key while the switch `name` has `value`, as with fixtures and mocks; else ops."""

    async def access(switches: Switches) -> Access:
        return Access.ANY if await switches.value(name) == value else Access.OPS

    return access


@dataclass(slots=True)
class Call:
    """One request to an endpoint.

    `facts` (ids, states and amounts only) go into its AUDIT line, also when it fails. `address` returns this service's
    address as the caller reaches it.
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
        """The service's address without a final slash."""
        return self.address()


class Answer(NamedTuple, Generic[T_co]):
    """A successful answer: the finished body as JSON of a T, or text for one provider."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    media_type: bytes = wire.JSON
