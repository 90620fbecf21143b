"""Payment providers: one suite, on the mock and on the live adapter against the fake Stripe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from src.adapters.stripe.live import LiveStripe
from src.adapters.stripe.mock import MockStripe
from src.domain.errors import CardDeclined, ProviderFailed, ProviderUnknown
from src.domain.payments import Payment
from src.domain.payouts import ClaimedPayout
from src.domain.refunds import Refund
from tests.fakes.stripe import FakeStripe
from tests.fakes.wire import listening


@dataclass
class Live:
    stripe: LiveStripe
    fake: FakeStripe
    address: str


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    fake = FakeStripe()
    async with listening(fake) as address:
        stripe = LiveStripe("sk_test", address, timeout=5, payout_account="acct_operator")
        yield Live(stripe, fake, address)
        await stripe.close()


@pytest.fixture(params=["mock", "live"])
async def provider(request: pytest.FixtureRequest, live: Live) -> MockStripe | LiveStripe:
    return MockStripe() if request.param == "mock" else live.stripe


def payment(currency: str = "USD") -> Payment:
    identity = uuid4()
    return Payment(identity, 25000, currency, "processing", "live", provider_key=f"pi:create:{identity}")


async def paid(live: Live) -> Payment:
    """A payment whose money the fake has taken."""
    made = payment()
    intent = await live.stripe.create_intent(made)
    live.fake.confirm(intent.intent_id)
    return replace(made, payment_intent=intent.intent_id)


def refund_of(asked: Payment, cents: int = 5000, age: timedelta = timedelta()) -> Refund:
    intent = asked.payment_intent or ""
    when = datetime.now(UTC) - age
    return Refund(uuid4(), asked.payment_id, cents, 0, "USD", "pending", "live", intent, when, reason="why")


def payout(currency: str = "USD", age: timedelta = timedelta()) -> ClaimedPayout:
    escrow = uuid4()
    when = datetime.now(UTC) - age
    return ClaimedPayout(uuid4(), escrow, 50000, currency, "live", 1, f"payout:{escrow}:1", when)


async def test_a_payment_has_one_intent_however_often_it_is_asked_for(provider: MockStripe | LiveStripe) -> None:
    asked = payment()
    made = [await provider.create_intent(asked) for _ in range(2)]
    found = await provider.find_intent(made[0].intent_id)
    assert made[0].intent_id == made[1].intent_id == found.intent_id


async def test_every_payment_has_an_intent_of_its_own_in_its_own_currency(provider: MockStripe | LiveStripe) -> None:
    made = [(await provider.create_intent(payment(currency))).intent_id for currency in ("USD", "EUR", "RWF", "USD")]
    assert len(set(made)) == len(made)
    assert [(await provider.find_intent(intent)).intent_id for intent in made] == made


async def test_a_payment_may_be_refunded_in_parts_each_under_its_own_id(
    provider: MockStripe | LiveStripe, live: Live
) -> None:
    asked = await paid(live)
    outcomes = [await provider.refund(refund_of(asked)) for _ in range(3)]
    assert {outcome.status for outcome in outcomes} == {"succeeded"}
    assert len({outcome.provider_refund_id for outcome in outcomes}) == 3


async def test_a_refund_is_made_once_however_often_it_is_asked_for(
    provider: MockStripe | LiveStripe, live: Live
) -> None:
    asked = refund_of(await paid(live))
    outcomes = [await provider.refund(asked) for _ in range(2)]
    assert outcomes[0] == outcomes[1]
    assert outcomes[0].status == "succeeded"


async def test_a_payout_is_made_once_however_often_it_is_asked_for(provider: MockStripe | LiveStripe) -> None:
    asked = payout()
    made = [await provider.transfer(asked) for _ in range(2)]
    assert made[0] == made[1]
    assert await provider.transfer(payout()) != made[0]


async def test_five_at_once_under_one_key_make_one_refund_and_one_payout(live: Live) -> None:
    refund, transfer = refund_of(await paid(live)), payout()
    live.fake.delay = 0.05
    asked = [*(live.stripe.refund(refund) for _ in range(5)), *(live.stripe.transfer(transfer) for _ in range(5))]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert (len(live.fake.refunds), len(live.fake.transfers)) == (1, 1)
    assert {type(outcome) for outcome in outcomes if isinstance(outcome, Exception)} <= {ProviderUnknown}


async def test_what_stripe_gets_is_what_it_must_know_and_no_more(live: Live) -> None:
    asked = payment("RWF")
    intent = live.fake.intents[(await live.stripe.create_intent(asked)).intent_id]
    assert (intent["amount"], intent["currency"]) == (25000, "rwf")
    assert intent["metadata"] == {"payment_id": str(asked.payment_id)}
    paying = payout("RWF")
    transfer = live.fake.transfers[await live.stripe.transfer(paying)]
    assert (transfer["amount"], transfer["currency"], transfer["destination"]) == (50000, "rwf", "acct_operator")
    assert transfer["transfer_group"] == f"escrow:{paying.escrow_id}"
    assert transfer["metadata"] == {"escrow_id": str(paying.escrow_id), "payout_id": str(paying.payout_id)}


async def test_an_answer_that_is_lost_after_the_work_is_found_by_the_sdks_own_try(live: Live) -> None:
    live.fake.plan.append("hang_up")
    asked = payment()
    intent = await live.stripe.create_intent(asked)
    assert list(live.fake.intents) == [intent.intent_id]
    live.fake.plan.append("hang_up")
    transfer = await live.stripe.transfer(payout())
    assert list(live.fake.transfers) == [transfer]


@pytest.mark.parametrize("planned", [500, 503, 429, 401, 403, "hang_up_before"])
async def test_nobody_knows_is_not_a_refusal(live: Live, planned: int | str) -> None:
    for asking in (live.stripe.create_intent(payment()), live.stripe.transfer(payout())):
        live.fake.plan.extend([planned] * 3)
        with pytest.raises(ProviderUnknown):
            await asking
        live.fake.plan.clear()


@pytest.mark.parametrize("planned", ["deep", "nonsense"])
async def test_an_answer_that_cannot_be_read_says_nothing_of_what_was_done(live: Live, planned: str) -> None:
    for asking in (live.stripe.create_intent(payment()), live.stripe.transfer(payout())):
        live.fake.plan.append(planned)
        with pytest.raises(ProviderUnknown):
            await asking
    assert len(live.fake.intents) == len(live.fake.transfers) == 1


async def test_a_refusal_is_definite_and_names_the_code(live: Live) -> None:
    asked = await paid(live)
    with pytest.raises(ProviderFailed) as failure:
        await live.stripe.refund(refund_of(asked, 25001))
    assert not isinstance(failure.value, ProviderUnknown)
    assert failure.value.code == "amount_too_large"


async def test_a_payout_without_a_destination_or_to_an_unknown_one_is_refused(live: Live) -> None:
    for account, code in (("", "payout_account_missing"), ("nobody", "account_invalid")):
        stripe = LiveStripe("sk_test", live.address, timeout=5, payout_account=account)
        with pytest.raises(ProviderFailed) as failure:
            await stripe.transfer(payout())
        await stripe.close()
        assert not isinstance(failure.value, ProviderUnknown)
        assert failure.value.code == code
    assert live.fake.transfers == {}


async def test_a_declined_card_is_told_apart(live: Live) -> None:
    live.fake.plan.append(402)
    with pytest.raises(CardDeclined):
        await live.stripe.create_intent(payment())


async def test_after_a_day_a_refund_or_a_payout_is_looked_for_before_it_is_made_again(live: Live) -> None:
    refund, paying = refund_of(await paid(live), age=timedelta(hours=25)), payout(age=timedelta(hours=25))
    made = await live.stripe.refund(refund), await live.stripe.transfer(paying)
    live.fake.keys.clear()
    assert (await live.stripe.refund(refund), await live.stripe.transfer(paying)) == made
    assert (len(live.fake.refunds), len(live.fake.transfers)) == (1, 1)


async def test_a_refund_pending_at_the_provider_is_asked_after(live: Live) -> None:
    asked = await paid(live)
    live.fake.intents[asked.payment_intent or ""]["payment_method"] = "pm_card_pendingRefund"
    refund = refund_of(asked)
    first = await live.stripe.refund(refund)
    assert first.status == "pending"
    live.fake.end_refund(first.provider_refund_id or "", "failed")
    later = await live.stripe.refund(replace(refund, provider_refund_id=first.provider_refund_id))
    assert later.status == "failed"


async def test_what_is_not_there_is_a_definite_failure(live: Live) -> None:
    for asking in (live.stripe.find_intent("pi_none"), live.stripe.totals("pi_none")):
        with pytest.raises(ProviderFailed) as failure:
            await asking
        assert not isinstance(failure.value, ProviderUnknown)


async def test_an_intent_has_changed_when_it_was_made_or_refunded_since(live: Live) -> None:
    today = datetime.now(UTC)
    live.fake.clock = (today - timedelta(days=30)).timestamp
    old, untouched = await paid(live), await paid(live)
    live.fake.clock = today.timestamp
    new = await paid(live)
    await live.stripe.refund(refund_of(old))
    since = today - timedelta(days=7)
    assert await live.stripe.changed(since) == {old.payment_intent, new.payment_intent}
    assert untouched.payment_intent in await live.stripe.changed(today - timedelta(days=31))
    assert await live.stripe.totals(old.payment_intent or "") == (25000, 5000)


async def test_without_a_key_nothing_is_asked_and_nothing_is_mocked() -> None:
    with pytest.raises(ProviderUnknown):
        await LiveStripe("").create_intent(payment())
