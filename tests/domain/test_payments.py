"""Taking a payment: the row before the provider, the provider's word after it, whatever fails in between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from src.domain.answered import Answered
from src.domain.context import Role
from src.domain.errors import CardDeclined, NotFound, ProviderFailed, ProviderUnknown, Unavailable
from src.domain.payments import SETTLED, Checkout, Intent, Payment, finish_due, start_checkout
from src.ports.payments import PaymentProvider, Payments
from tests.conftest import ITINERARY, SERVICE_CONTEXT, user_context
from tests.support.ports import Ports

CHECKOUT = Checkout(UUID(ITINERARY), 25000, "USD")
NEW = Payment(UUID(int=1), 25000, "USD", "processing", "live", provider_key="payment:1")
BEGUN = replace(NEW, payment_intent="pi_1", provider_key=None)
INTENT = Intent("pi_1", "pi_1_secret")
RECORDED = Answered(BEGUN, b"recorded")


def payments(ports: Ports, **answers: object) -> Any:
    return ports.fake(Payments, **{"record_intent": RECORDED, "record_intent_failure": None} | answers)


def providers(ports: Ports, mode: str = "live", **answers: object) -> Any:
    return {mode: ports.fake(PaymentProvider, **answers)}


async def test_a_new_payment_is_kept_before_its_provider_is_asked_and_after_it_answered() -> None:
    ports = Ports()
    kept = payments(ports, start=Answered(NEW, b"started"))
    answer = await start_checkout(user_context(), CHECKOUT, kept, providers(ports, create_intent=INTENT))
    assert answer == RECORDED
    assert ports.asked == ["Payments.start", "PaymentProvider.create_intent", "Payments.record_intent"]
    started, created, recorded = ports.calls
    assert (started.role, started.arguments) == (Role.USER, {"checkout": CHECKOUT})
    assert created.arguments == {"payment": NEW}
    assert (recorded.role, recorded.arguments) == (Role.SERVICE, {"payment_id": NEW.payment_id, "intent": INTENT})


async def test_a_payment_that_has_its_intent_gets_no_second_one() -> None:
    ports = Ports()
    kept = payments(ports, start=Answered(BEGUN, b"started"))
    await start_checkout(user_context(), CHECKOUT, kept, providers(ports, find_intent=INTENT))
    assert ports.asked == ["Payments.start", "PaymentProvider.find_intent", "Payments.record_intent"]
    assert ports.calls[1].arguments == {"intent_id": "pi_1"}


@pytest.mark.parametrize("status", SETTLED)
async def test_a_settled_payment_is_answered_without_the_provider(status: str) -> None:
    ports = Ports()
    started = Answered(replace(BEGUN, status=status), b"started")
    assert await start_checkout(user_context(), CHECKOUT, payments(ports, start=started), providers(ports)) == started
    assert ports.asked == ["Payments.start"]


async def test_only_the_provider_of_the_payments_mode_is_asked() -> None:
    ports = Ports()
    kept = payments(ports, start=Answered(replace(NEW, mode="mock"), b"started"))
    by_mode = providers(ports) | providers(ports, "mock", create_intent=INTENT)
    await start_checkout(user_context(), CHECKOUT, kept, by_mode)
    assert "PaymentProvider.create_intent" in ports.asked


async def test_a_checkout_that_is_refused_never_reaches_the_provider() -> None:
    ports = Ports()
    with pytest.raises(NotFound):
        await start_checkout(user_context(), CHECKOUT, payments(ports, start=NotFound("no trip")), providers(ports))
    assert ports.asked == ["Payments.start"]


@pytest.mark.parametrize(
    ("failure", "definite"),
    [
        (ProviderFailed("no", "api_error"), True),
        (CardDeclined("no", "api_error"), True),
        (ProviderUnknown("silence", "api_error"), False),
    ],
)
async def test_a_failure_is_recorded_for_what_it_is_before_it_is_raised(failure: Exception, *, definite: bool) -> None:
    ports = Ports()
    kept = payments(ports, start=Answered(NEW, b"started"))
    with pytest.raises(type(failure)) as raised:
        await start_checkout(user_context(), CHECKOUT, kept, providers(ports, create_intent=failure))
    assert raised.value is failure
    assert ports.asked[1:] == ["PaymentProvider.create_intent", "Payments.record_intent_failure"]
    assert ports.calls[2].role is Role.SERVICE
    assert ports.calls[2].arguments == {"payment_id": NEW.payment_id, "error": "api_error", "definite": definite}


async def test_the_worker_goes_on_after_a_payment_that_the_provider_refused() -> None:
    ports = Ports()
    due = [NEW, replace(NEW, payment_id=UUID(int=2)), replace(NEW, payment_id=UUID(int=3))]
    answers = iter([INTENT, ProviderUnknown("silence"), INTENT])
    assert (
        await finish_due(SERVICE_CONTEXT, payments(ports, claim_due=due), providers(ports, create_intent=answers)) == 3
    )
    assert [call.arguments["payment_id"].int for call in ports.calls if "record" in call.method] == [1, 2, 3]
    assert ports.asked.count("Payments.record_intent_failure") == 1


async def test_the_worker_stops_when_the_database_goes_away() -> None:
    """What it has not reached is still leased, and comes back when the lease ends."""
    ports = Ports()
    kept = payments(ports, claim_due=[NEW, NEW], record_intent=Unavailable("away"))
    with pytest.raises(Unavailable):
        await finish_due(SERVICE_CONTEXT, kept, providers(ports, create_intent=INTENT))
    assert ports.asked.count("PaymentProvider.create_intent") == 1
