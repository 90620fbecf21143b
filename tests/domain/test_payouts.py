"""Paying out: claimed, asked for under the claim, and recorded by what the provider's answer means."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from src.domain import payouts as domain
from src.domain.answered import Answered
from src.domain.context import Role
from src.domain.errors import InputInvalid, NotAllowed, ProviderFailed, ProviderUnknown, Unavailable
from src.domain.payouts import (
    ClaimedPayout,
    Expired,
    Payout,
    PayoutOutcome,
    PayoutsQuery,
    Touched,
    expire_due,
    pay_due,
    pay_now,
    sweep,
)
from src.ports.audit import AuditTrail
from src.ports.groups import Escrows
from src.ports.payouts import PayoutProvider, Payouts
from tests.conftest import SERVICE_CONTEXT, user_context
from tests.support.ports import Ports

ESCROW = UUID(int=1)
CLAIMED = ClaimedPayout(UUID(int=2), ESCROW, 50000, "USD", "live", 1, "payout:2", datetime(2026, 11, 24, tzinfo=UTC))
PROCESSING = Answered(Payout(ESCROW, "processing", 50000, "USD", CLAIMED.payout_id), b"processing")
DONE = Answered(replace(PROCESSING.value, payout_status="succeeded"), b"done")


def payouts(ports: Ports, **answers: object) -> Any:
    return ports.fake(Payouts, **{"request": PROCESSING, "claim": [CLAIMED], "finish": DONE} | answers)


def providers(ports: Ports, answer: object = "tr_1") -> Any:
    return {"live": ports.fake(PayoutProvider, transfer=answer)}


def trail(ports: Ports) -> Any:
    return ports.fake(AuditTrail, record=None)


def told(ports: Ports) -> list[dict[str, object]]:
    return [dict(call.arguments["line"].facts) for call in ports.calls if call.method == "AuditTrail.record"]


async def test_a_payout_is_asked_for_then_claimed_then_made_then_recorded() -> None:
    ports = Ports()
    assert await pay_now(user_context(), ESCROW, payouts(ports), providers(ports)) == DONE
    assert ports.asked == ["Payouts.request", "Payouts.claim", "PayoutProvider.transfer", "Payouts.finish"]
    request, claim, transfer, finish = ports.calls
    assert (request.role, claim.role, finish.role) == (Role.USER, Role.SERVICE, Role.SERVICE)
    assert claim.arguments == {"escrow_id": ESCROW}
    assert transfer.arguments == {"payout": CLAIMED}
    assert finish.arguments == {"claimed": CLAIMED, "outcome": PayoutOutcome("succeeded", "tr_1")}


@pytest.mark.parametrize("status", ["succeeded", "failed", "skipped"])
async def test_nothing_is_claimed_where_there_is_nothing_to_pay(status: str) -> None:
    ports = Ports()
    answer = Answered(replace(PROCESSING.value, payout_status=status), b"as it is")
    assert await pay_now(user_context(), ESCROW, payouts(ports, request=answer), providers(ports)) == answer
    assert ports.asked == ["Payouts.request"]


async def test_a_payout_that_a_worker_is_making_is_not_made_here() -> None:
    ports = Ports()
    assert await pay_now(user_context(), ESCROW, payouts(ports, claim=[]), providers(ports)) == PROCESSING
    assert ports.asked == ["Payouts.request", "Payouts.claim"]


async def test_who_may_not_ask_for_a_payout_makes_none() -> None:
    ports = Ports()
    with pytest.raises(NotAllowed):
        await pay_now(user_context(), ESCROW, payouts(ports, request=NotAllowed("ops")), providers(ports))
    assert ports.asked == ["Payouts.request"]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("tr_1", PayoutOutcome("succeeded", "tr_1")),
        (ProviderFailed("no", "balance_insufficient"), PayoutOutcome("failed", error="balance_insufficient")),
        (ProviderUnknown("silence", "no_answer"), PayoutOutcome("unknown", error="no_answer")),
    ],
)
async def test_what_the_provider_says_is_recorded_as_what_it_means(answer: object, outcome: PayoutOutcome) -> None:
    ports = Ports()
    await pay_now(user_context(), ESCROW, payouts(ports), providers(ports, answer))
    assert ports.calls[-1].arguments["outcome"] == outcome


async def test_a_provider_that_does_not_answer_in_time_may_have_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain, "ASKING_SECONDS", 0.01)

    async def silence(payout: ClaimedPayout) -> str:
        await asyncio.Event().wait()
        return payout.provider_key

    ports = Ports()
    silent: Any = {"live": SimpleNamespace(transfer=silence)}
    await pay_now(user_context(), ESCROW, payouts(ports), silent)
    assert ports.calls[-1].arguments["outcome"] == PayoutOutcome("unknown", error="no_answer")


async def test_a_payout_whose_outcome_cannot_be_recorded_keeps_no_other_from_being_paid() -> None:
    ports = Ports()
    other = replace(CLAIMED, payout_id=UUID(int=4), escrow_id=UUID(int=3))
    kept = payouts(ports, claim=[CLAIMED, other], finish=iter([Unavailable("away"), DONE]))
    touched = await pay_due(SERVICE_CONTEXT, kept, providers(ports), trail(ports))
    assert touched == [
        Touched(ESCROW, "processing", 50000, CLAIMED.payout_id, "Unavailable"),
        Touched(other.escrow_id, "succeeded", 50000, other.payout_id),
    ]
    assert told(ports) == [
        {"escrow": ESCROW, "status": "processing", "total": 50000, "error": "Unavailable"},
        {"escrow": other.escrow_id, "status": "succeeded", "total": 50000},
    ]


async def test_every_escrow_that_expires_is_told_of() -> None:
    ports = Ports()
    expired = [Expired(ESCROW, "expired", 0), Expired(UUID(int=3), "failed", 700, UUID(int=4))]
    touched = await expire_due(SERVICE_CONTEXT, ports.fake(Escrows, expire_due=expired), trail(ports))
    assert [(one.escrow_id, one.status, one.payout_id) for one in touched] == [
        (ESCROW, "expired", None),
        (UUID(int=3), "failed", UUID(int=4)),
    ]
    assert [line["escrow"] for line in told(ports)] == [ESCROW, UUID(int=3)]


async def test_a_sweep_expires_refunds_and_pays_until_nothing_is_due() -> None:
    ports = Ports()
    expiries = iter([[Expired(ESCROW, "expired", 0)], [], [], []])
    escrows = ports.fake(Escrows, expire_due=expiries, request_refunds=iter([0, 2, 0, 0]))
    kept = payouts(ports, claim=iter([[], [], [CLAIMED], []]))
    touched = await sweep(SERVICE_CONTEXT, escrows, kept, providers(ports), trail(ports))
    assert [one.status for one in touched] == ["expired", "succeeded"]
    batch = ["Escrows.expire_due", "Escrows.request_refunds", "Payouts.claim"]
    assert [name for name in ports.asked if name in batch] == 4 * batch


async def test_a_sweep_that_never_ends_leaves_the_rest_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain, "MAX_BATCHES", 3)
    ports = Ports()
    escrows = ports.fake(Escrows, expire_due=[], request_refunds=1)
    await sweep(SERVICE_CONTEXT, escrows, payouts(ports, claim=[]), providers(ports), trail(ports))
    assert ports.asked.count("Escrows.request_refunds") == 3


def test_a_range_of_days_ends_no_earlier_than_it_begins() -> None:
    day = date(2026, 11, 24)
    assert PayoutsQuery(day, day).start_to == day
    with pytest.raises(InputInvalid, match="from must not be after to"):
        PayoutsQuery(day, date(2026, 11, 23))
