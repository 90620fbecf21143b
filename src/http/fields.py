"""Field types that several families share."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

EXAMPLE_ITINERARY = "11111111-1111-4111-8111-111111111111"

AmountCents = Annotated[
    int,
    Meta(
        ge=1,
        le=1_000_000_000_000,
        description="Minor units of the currency; RWF has none, so whole francs",
        examples=[25000],
        extra={"message": "{name} must be a positive integer"},
    ),
]
Currency = Annotated[
    str,
    Meta(
        pattern="^([Uu][Ss][Dd]|[Ee][Uu][Rr]|[Rr][Ww][Ff])$",
        description="ISO 4217 code, any letter case; RWF has no minor unit",
        examples=["USD"],
        extra={"normalise": str.upper, "message": "{name} must be USD|EUR|RWF"},
    ),
]
ItineraryId = Annotated[UUID, Meta(description="The itinerary", examples=[EXAMPLE_ITINERARY])]
PageNumber = Annotated[int, Meta(ge=1, le=1_000_000_000, description="Page, from 1", examples=[1])]
PageSize = Annotated[int, Meta(ge=1, le=100, description="Rows on a page", examples=[20])]
GroupId = Annotated[UUID, Meta(description="The group")]
EscrowId = Annotated[UUID, Meta(description="The escrow")]
OtherUserId = Annotated[UUID, Meta(description="For ops: the user to act for")]
