"""`metrics-incr` (docs/api.md, Small services)."""

from typing import Annotated

import msgspec
from litestar import Controller
from litestar.di import NamedDependency
from msgspec import Meta

from src.domain.counters import Increment
from src.http.call import Access, Answer, Call
from src.http.endpoint import endpoint
from src.ports.counters import Counters


class IncrementInput(msgspec.Struct, frozen=True):
    name: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9._:-]{1,128}$",
            description="Letters, digits and ._:-",
            examples=["checkout.opened"],
            extra={"message": "name must be 1 to 128 of A-Za-z0-9._:-"},
        ),
    ]
    delta: Annotated[int, Meta(ge=-1_000_000, le=1_000_000, description="What to add")] = 1


class Counter(msgspec.Struct, frozen=True):
    name: str
    count: int


class IncrementAnswer(msgspec.Struct, frozen=True):
    ok: bool
    request_id: str
    counter: Counter


class CountersController(Controller):
    @endpoint(
        "metrics-incr",
        audit="metrics.incr",
        access=Access.SERVICE,
        per_minute=None,
        atomic=True,
        functions=("public.increment_counter",),
    )
    async def increment(
        self, call: Call, data: IncrementInput, counters: NamedDependency[Counters]
    ) -> Answer[IncrementAnswer]:
        """Add to a named counter, which is made when it is new."""
        call.note(name=data.name, delta=data.delta)
        return Answer(await counters.increment(call.context, Increment(**msgspec.structs.asdict(data))))
