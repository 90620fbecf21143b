"""Rate limits (API.md section 1, Limits): one token bucket for each endpoint and caller, whichever way it is called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from src.domain.context import Context
from src.domain.errors import RateLimited
from src.http.client_address import ClientAddresses, Scope
from src.http.endpoint import Endpoint
from src.ports.callers import Callers


@dataclass(frozen=True, slots=True)
class Limits:
    """Takes callers' tokens. Anonymous callers are told apart by their addresses, of which digests are kept."""

    callers: Callers
    clients: ClientAddresses

    async def take(self, context: Context, name: str, per_minute: int, scope: Scope) -> None:
        """One call of `name`. Raises RateLimited when the minute's are used up, Unavailable."""
        seconds = await self.callers.take_token(context, name, per_minute, self.clients.digest(scope))
        if seconds:
            message = f"Too many calls of {name}; wait {seconds} s"
            raise RateLimited(message, seconds)


def by_function(endpoints: Iterable[Endpoint]) -> Mapping[str, Endpoint]:
    """The endpoint of each SQL function that one fronts. Raises ValueError for one that two front."""
    found: dict[str, Endpoint] = {}
    for endpoint in endpoints:
        for function in endpoint.functions:
            if found.setdefault(function, endpoint) is not endpoint:
                message = f"{function} is a function of {found[function].name} and of {endpoint.name}"
                raise ValueError(message)
    return found
