"""Giving money back: set aside before the provider is asked, and nothing called done that may not be."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import pytest

from src.domain.answered import Answered
from src.domain.context import Role
from src.domain.errors import Conflict, ProviderFailed, ProviderUnknown
from src.domain.refunds import (
    ItineraryRefundRequest,
    Refund,
    RefundOutcome,
    RefundRequest,
    refund_itinerary,
    refund_payment,
    settle_due,
)
from src.ports.refunds import RefundProvider, Refunds
from tests.conftest import ITINERARY, SERVICE_CONTEXT, user_context
from tests.support.ports import Ports

ASKED = RefundRequest(UUID(int=1), 5000)
PENDING = Refund(
    *(UUID(int=2), UUID(int=1), 5000, 0, "USD", "pending", "live", "pi_1"),
    requested_at=datetime(2026, 11, 24, tzinfo=UTC),
)
MADE = Answered(replace(PENDING, status="refunded", provider_refund_id="re_1"), b"made")
FAILED = Answered(replace(PENDING, status="failed"), b"failed")
SUCCEEDED = RefundOutcome("succeeded", "re_1")


def refunds(ports: Ports, **answers: object) -> Any:
    return ports.fake(Refunds, **{"request": Answered(PENDING, b"asked"), "record": MADE} | answers)


def providers(ports: Ports, answer: object = SUCCEEDED) -> Any:
    return {"live": ports.fake(RefundProvider, refund=answer)}


async def test_a_refund_is_set_aside_before_the_provider_is_asked_and_its_word_kept_after() -> None:
    ports = Ports()
    assert await refund_payment(user_context(), ASKED, refunds(ports), providers(ports)) == MADE
    assert ports.asked == ["Refunds.request", "RefundProvider.refund", "Refunds.record"]
    asked, made, recorded = ports.calls
    assert (asked.role, recorded.role) == (Role.USER, Role.SERVICE)
    assert made.arguments["refund"].provider_key == f"refund:{PENDING.refund_id}"
    assert recorded.arguments == {"refund_id": PENDING.refund_id, "outcome": SUCCEEDED}


async def test_a_refund_of_an_itinerary_goes_the_same_way() -> None:
    ports = Ports()
    asked = ItineraryRefundRequest(UUID(ITINERARY), 5000, "cancelled")
    kept = refunds(ports, request_for_itinerary=Answered(PENDING, b"asked"))
    assert await refund_itinerary(user_context(), asked, kept, providers(ports)) == MADE
    assert ports.asked == ["Refunds.request_for_itinerary", "RefundProvider.refund", "Refunds.record"]


@pytest.mark.parametrize("status", ["refunded", "failed"])
async def test_a_refund_that_is_settled_is_not_made_again(status: str) -> None:
    ports = Ports()
    settled = Answered(replace(PENDING, status=status), b"settled")
    assert await refund_payment(user_context(), ASKED, refunds(ports, request=settled), providers(ports)) == settled
    assert ports.asked == ["Refunds.request"]


async def test_a_refund_that_is_refused_never_reaches_the_provider() -> None:
    ports = Ports()
    with pytest.raises(Conflict):
        await refund_payment(user_context(), ASKED, refunds(ports, request=Conflict("disputed")), providers(ports))
    assert ports.asked == ["Refunds.request"]


@pytest.mark.parametrize(
    ("provider_refund_id", "failure", "status", "raises"),
    [
        (None, ProviderUnknown("silence", "no_answer"), "pending", False),
        (None, ProviderFailed("no", "charge_disputed"), "failed", True),
        ("re_1", ProviderUnknown("silence", "no_answer"), "pending", False),
        ("re_1", ProviderFailed("no", "api_error"), "pending", False),
    ],
    ids=["no answer", "refused", "made, no answer", "made, not told how it stands"],
)
async def test_only_a_refusal_to_make_it_ends_a_refund(
    provider_refund_id: str | None, failure: ProviderFailed, status: Literal["pending", "failed"], *, raises: bool
) -> None:
    ports = Ports()
    asked = Answered(replace(PENDING, provider_refund_id=provider_refund_id), b"asked")
    kept = refunds(ports, request=asked, record=Answered(replace(PENDING, status=status), b"kept"))
    if raises:
        with pytest.raises(ProviderFailed) as raised:
            await refund_payment(user_context(), ASKED, kept, providers(ports, failure))
        assert raised.value is failure
    else:
        answer = await refund_payment(user_context(), ASKED, kept, providers(ports, failure))
        assert answer.value.status == "pending"
    assert ports.calls[-1].arguments["outcome"] == RefundOutcome(status, error=failure.code)


@pytest.mark.parametrize(
    ("error", "code"), [("lost_or_stolen_card", "lost_or_stolen_card"), (None, "failed_at_provider")]
)
async def test_a_refund_that_failed_at_the_provider_is_told_as_its_failure(error: str | None, code: str) -> None:
    ports = Ports()
    failed = RefundOutcome("failed", "re_1", error)
    with pytest.raises(ProviderFailed) as raised:
        await refund_payment(user_context(), ASKED, refunds(ports, record=FAILED), providers(ports, failed))
    assert raised.value.code == code
    assert ports.asked[-1] == "Refunds.record"


async def test_the_worker_goes_on_after_a_refund_that_the_provider_refused() -> None:
    ports = Ports()
    due = [replace(PENDING, refund_id=UUID(int=n)) for n in (1, 2, 3)]
    answers = iter([ProviderFailed("no"), ProviderUnknown("silence"), SUCCEEDED])
    assert await settle_due(SERVICE_CONTEXT, refunds(ports, claim_due=due), providers(ports, answers)) == 3
    kept = [(call.arguments["refund_id"].int, call.arguments["outcome"].status) for call in ports.calls[2::2]]
    assert kept == [(1, "failed"), (2, "pending"), (3, "succeeded")]
