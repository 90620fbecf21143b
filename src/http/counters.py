"""`metrics-incr` (docs/api.md, Small services)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from src.domain.counters import Increment
from src.http.decode import from_body
from src.http.endpoint import Access, Answer, Call, Endpoint
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


def endpoints(counters: Counters) -> list[Endpoint]:
    async def increment(call: Call) -> Answer:
        """Add to a named counter, which is made when it is new."""
        asked = from_body(IncrementInput, call.body)
        call.note(name=asked.name, delta=asked.delta)
        return Answer(await counters.increment(call.context, Increment(**msgspec.structs.asdict(asked))))

    return [
        Endpoint(
            "metrics-incr",
            "metrics.incr",
            increment,
            IncrementInput,
            IncrementAnswer,
            access=Access.SERVICE,
            atomic=True,
            functions=("public.increment_counter",),
            per_minute=None,
        )
    ]
