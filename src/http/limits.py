"""Rate limits (docs/api.md, Limits): a token bucket for each endpoint and caller, over both APIs."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from src.domain.context import Context, Role
from src.domain.errors import RateLimited
from src.http.client_address import ClientAddresses, Scope
from src.http.endpoint import Endpoint
from src.ports.callers import Callers

MAX_REFUSED = 10_000


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Takes callers' tokens. Anonymous callers are told apart by their addresses, of which digests are kept.

    A refused caller is refused until its retry time without asking the database, so that a flood does not reach it.
    """

    callers: Callers
    clients: ClientAddresses
    refused: OrderedDict[tuple[str, str], float] = field(default_factory=OrderedDict)

    async def take(self, context: Context, name: str, per_minute: int, scope: Scope) -> None:
        """Take a token for a call of `name`. Raises RateLimited and Unavailable."""
        client = self.clients.digest(scope)
        caller = name, client if context.caller.role is Role.ANONYMOUS else context.caller.actor
        seconds = math.ceil(self.refused.get(caller, 0.0) - time.monotonic())
        if seconds <= 0:
            seconds = await self.callers.take_token(context, name, per_minute, client)
            if seconds:
                self._record(caller, time.monotonic() + seconds)
        if seconds:
            message = f"Too many calls of {name}; wait {seconds} s"
            raise RateLimited(message, seconds)

    def _record(self, caller: tuple[str, str], until: float) -> None:
        self.refused[caller] = until
        self.refused.move_to_end(caller)
        if len(self.refused) > MAX_REFUSED:
            self.refused.popitem(last=False)


def by_function(endpoints: Iterable[Endpoint]) -> Mapping[str, Endpoint]:
    """The endpoints by the SQL functions that they front. Raises ValueError for a function with two endpoints."""
    found: dict[str, Endpoint] = {}
    for endpoint in endpoints:
        for name in endpoint.functions:
            if found.setdefault(name, endpoint) is not endpoint:
                message = f"{name} is a function of {found[name].name} and of {endpoint.name}"
                raise ValueError(message)
    return found
