"""Contributions and cancelled escrows: counted first, then the provider or the refunds."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from src.domain.answered import Answered
from src.domain.context import Role
from src.domain.errors import Conflict, NotAllowed, ProviderUnknown
from src.domain.groups import Contributed, Contribution, Escrow, cancel, contribute
from src.domain.payments import Intent, Payment
from src.ports.groups import Escrows, Groups
from src.ports.payments import PaymentProvider, Payments
from tests.conftest import user_context
from tests.support.ports import Ports

ASKED = Contribution(UUID(int=1), 25000)
PAYMENT = Payment(UUID(int=2), 25000, "USD", "processing", "live", provider_key="payment:2")
COUNTED = Contributed(UUID(int=3), PAYMENT.payment_id, "open", 25000, PAYMENT)
RECORDED = Answered(COUNTED, b"recorded")
INTENT = Intent("pi_1", "secret")


async def test_a_contribution_is_counted_before_its_money_is_asked_for() -> None:
    ports = Ports()
    groups = ports.fake(Groups, contribute=Answered(COUNTED, b"counted"), record_intent=RECORDED)
    provider = ports.fake(PaymentProvider, create_intent=INTENT)
    assert await contribute(user_context(), ASKED, groups, ports.fake(Payments), {"live": provider}) == RECORDED
    assert ports.asked == ["Groups.contribute", "PaymentProvider.create_intent", "Groups.record_intent"]
    assert (ports.calls[0].role, ports.calls[2].role) == (Role.USER, Role.SERVICE)
    assert ports.calls[2].arguments == {"contribution_id": COUNTED.contribution_id, "intent": INTENT}


async def test_a_contribution_that_has_its_intent_gets_no_second_one() -> None:
    ports = Ports()
    begun = replace(COUNTED, payment=replace(PAYMENT, payment_intent="pi_1"))
    groups = ports.fake(Groups, contribute=Answered(begun, b"counted"), record_intent=RECORDED)
    provider = ports.fake(PaymentProvider, find_intent=INTENT)
    await contribute(user_context(), ASKED, groups, ports.fake(Payments), {"live": provider})
    assert ports.asked == ["Groups.contribute", "PaymentProvider.find_intent", "Groups.record_intent"]


async def test_a_contribution_whose_money_is_taken_asks_no_provider() -> None:
    ports = Ports()
    taken = Answered(replace(COUNTED, payment=None), b"taken")
    groups = ports.fake(Groups, contribute=taken)
    assert await contribute(user_context(), ASKED, groups, ports.fake(Payments), {}) == taken


async def test_a_contribution_that_is_refused_takes_no_money() -> None:
    ports = Ports()
    groups = ports.fake(Groups, contribute=Conflict("closed"))
    with pytest.raises(Conflict):
        await contribute(user_context(), ASKED, groups, ports.fake(Payments), {})


async def test_a_provider_that_fails_is_noted_on_the_contributions_payment() -> None:
    ports = Ports()
    groups = ports.fake(Groups, contribute=Answered(COUNTED, b"counted"))
    payments = ports.fake(Payments, record_intent_failure=None)
    provider = ports.fake(PaymentProvider, create_intent=ProviderUnknown("silence", "no_answer"))
    with pytest.raises(ProviderUnknown):
        await contribute(user_context(), ASKED, groups, payments, {"live": provider})
    assert ports.calls[-1].role is Role.SERVICE
    assert ports.calls[-1].arguments == {"payment_id": PAYMENT.payment_id, "error": "no_answer", "definite": False}


async def test_a_cancelled_escrow_asks_for_its_refunds_at_once() -> None:
    ports = Ports()
    cancelled = Answered(Escrow(UUID(int=1), "cancelled"), b"cancelled")
    escrows = ports.fake(Escrows, cancel=cancelled, request_refunds=2)
    assert await cancel(user_context(), UUID(int=1), escrows) == cancelled
    assert [(call.method, call.role) for call in ports.calls] == [
        ("Escrows.cancel", Role.USER),
        ("Escrows.request_refunds", Role.SERVICE),
    ]


async def test_an_escrow_that_may_not_be_cancelled_gives_nothing_back() -> None:
    ports = Ports()
    escrows = ports.fake(Escrows, cancel=NotAllowed("not yours"), request_refunds=2)
    with pytest.raises(NotAllowed):
        await cancel(user_context(), UUID(int=1), escrows)
    assert ports.asked == ["Escrows.cancel"]
