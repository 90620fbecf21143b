"""What a function of /functions/v1 asks of its callers, one call of it, and its answer."""

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
    """The least a caller must be. OPEN functions check a signature of their own."""

    OPEN = "open"
    ANY = "any key"
    USER = "user"
    OPS = "ops"
    SERVICE = "service"


def ops_unless(name: str, value: str) -> Callable[[Switches], Awaitable[Access]]:
    """Any key while the switch `name` has `value` (fixtures and mocks are for everyone), else ops."""

    async def access(switches: Switches) -> Access:
        return Access.ANY if await switches.value(name) == value else Access.OPS

    return access


@dataclass(slots=True)
class Call:
    """One request on its way through a function.

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


class Answer(NamedTuple, Generic[T_co]):
    """A success: the finished body, the JSON of a T but for the one provider that wants its own text back."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    media_type: bytes = wire.JSON
