"""The caller and the request, which every use case and port gets."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID


class Role(StrEnum):
    """The database role of a caller."""

    ANONYMOUS = "anon"
    USER = "authenticated"
    SERVICE = "service_role"


REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that this task serves, for log lines; everything else gets it handed in a Context."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified caller. `claims` is the token's claims as JSON text, handed to SQL as they are.

    `actor` is the caller's name in AUDIT lines: a user's uuid, service-role or anonymous.
    """

    role: Role
    claims: str
    user_id: UUID | None = None
    actor: str = field(init=False)

    def __post_init__(self) -> None:
        # Computed once for a token, not for each request.
        key = "service-role" if self.role is Role.SERVICE else "anonymous"
        object.__setattr__(self, "actor", key if self.user_id is None else str(self.user_id))


ANONYMOUS = Caller(Role.ANONYMOUS, '{"role":"anon"}')
SERVICE = Caller(Role.SERVICE, '{"role":"service_role"}')


class Context(NamedTuple):
    """One request: its caller, its id and the client's idempotency key when it sent one.

    A named tuple, as everything that is made for each request: a frozen dataclass takes three times as long to make.
    """

    caller: Caller
    request_id: str
    idempotency_key: str | None = None
    claim: UUID | None = None
    """Set where one SQL call is the whole effect: it keeps its answer under this claim in its own transaction."""

    def as_service(self) -> "Context":
        """The same request as the service, after the caller's access was checked."""
        return self._replace(caller=SERVICE)
