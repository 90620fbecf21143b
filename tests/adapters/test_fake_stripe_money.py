"""The fake Stripe as a model: each rule of the provider's documentation that it follows, by its own clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import pytest

from tests.fakes.stripe import FakeStripe, Refused
from tests.fakes.stripe.events import queued
from tests.fakes.wire import listening

DESTINATION = "acct_1"


@pytest.fixture
def fake() -> FakeStripe:
    """An account without own money: what it gives it has got."""
    return FakeStripe(own_money=0)


@pytest.fixture
async def client(fake: FakeStripe) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": "Bearer sk_test"}
    async with listening(fake) as address, httpx.AsyncClient(base_url=address, headers=headers) as client:
        yield client


def paid(fake: FakeStripe, amount: int = 10000, method: str = "pm_card_visa", currency: str = "usd") -> str:
    intent = fake._create_intent({"amount": str(amount), "currency": currency})["id"]  # noqa: SLF001 - as by the API
    fake.confirm(intent, method)
    return str(intent)


def available(fake: FakeStripe, amount: int = 10000) -> str:
    return paid(fake, amount, "pm_card_bypassPending")


def transfer(fake: FakeStripe, amount: int, **more: str) -> str:
    asked = {"amount": str(amount), "currency": "usd", "destination": DESTINATION, **more}
    return str(fake._create_transfer(asked)["id"])  # noqa: SLF001 - as by the API


def kinds(fake: FakeStripe) -> list[str]:
    return [event["type"] for event in fake.history.values()]


def booked(fake: FakeStripe) -> list[tuple[str, int, int, int]]:
    names = ("reporting_category", "amount", "fee", "net")
    return [tuple(one[name] for name in names) for one in fake.transactions.values()]


def amounts(fake: FakeStripe) -> tuple[int, int]:
    balance = fake.balance()
    pending, ready = ({one["currency"]: one["amount"] for one in balance[side]} for side in ("pending", "available"))
    return pending.get("usd", 0), ready.get("usd", 0)


def refuses(code: str) -> pytest.RaisesExc[Refused]:
    return pytest.raises(Refused, check=lambda refused: refused.code == code)


def test_card_money_is_pending_before_it_is_available(fake: FakeStripe) -> None:
    paid(fake)
    assert booked(fake) == [("charge", 10000, 320, 9680)]
    assert amounts(fake) == (9680, 0)
    fake.advance(days=1)
    assert amounts(fake) == (9680, 0)
    fake.advance(days=1)
    assert amounts(fake) == (0, 9680)


def test_a_charge_settles_in_the_accounts_currency_and_the_fee_is_in_it(fake: FakeStripe) -> None:
    fake.settlement = {"eur": ("usd", Decimal("1.1"))}
    paid(fake, currency="eur")
    (transaction,) = fake.transactions.values()
    assert (transaction["currency"], transaction["exchange_rate"]) == ("usd", 1.1)
    assert booked(fake) == [("charge", 11000, 349, 10651)]


def test_a_refund_waits_for_available_money(fake: FakeStripe) -> None:
    intent = paid(fake)
    refund = fake.refund_in_dashboard(intent, 4000)
    assert (refund["status"], refund["pending_reason"]) == ("pending", "insufficient_funds")
    fake.advance(days=2)
    assert (refund["status"], amounts(fake)) == ("succeeded", (0, 5680))
    assert kinds(fake)[-4:] == ["charge.refunded", "refund.created", "charge.refund.updated", "refund.updated"]


def test_a_refund_fails_days_later_and_its_money_comes_back(fake: FakeStripe) -> None:
    available(fake, 50000)
    refund = fake.refund_in_dashboard(paid(fake, method="pm_card_refundFail"), 4000)
    assert refund["status"] == "succeeded"
    fake.advance(days=5)
    assert (refund["status"], kinds(fake)[-1]) == ("failed", "refund.failed")
    assert booked(fake)[-1] == ("refund_failure", 4000, 0, 4000)
    assert refund["failure_balance_transaction"] in fake.transactions
    assert fake.refunded(refund["payment_intent"]) == 0


def test_a_canceled_refund_gives_its_money_back(fake: FakeStripe) -> None:
    made = fake.refund_in_dashboard(available(fake), 4000)
    with refuses("refund_not_cancelable"):
        fake.cancel_refund(made["id"])
    fake.end_refund(made["id"], "requires_action")
    assert fake.cancel_refund(made["id"])["status"] == "canceled"
    assert (fake.refunded(made["payment_intent"]), amounts(fake)) == (0, (0, 9680))
    with refuses("refund_ended"):
        fake.end_refund(made["id"], "failed")


def test_a_refund_that_was_never_made_has_no_balance_transaction(fake: FakeStripe) -> None:
    waiting = fake.refund_in_dashboard(paid(fake), 4000)
    fake.end_refund(waiting["id"], "failed")
    assert [category for category, *_ in booked(fake)] == ["charge"]


def test_an_inquiry_moves_no_money_and_is_refundable(fake: FakeStripe) -> None:
    intent = available(fake)
    inquiry = fake.dispute(intent, "warning_needs_response")
    fake.refund_in_dashboard(intent, 1000)
    fake.dispute(intent, "warning_closed", inquiry["id"])
    assert inquiry["balance_transactions"] == []
    assert [kind for kind in kinds(fake) if "dispute" in kind] == ["charge.dispute.created", "charge.dispute.closed"]


def test_an_inquiry_becomes_a_dispute_under_the_same_id(fake: FakeStripe) -> None:
    intent = available(fake)
    inquiry = fake.dispute(intent, "warning_needs_response")
    assert fake.dispute(intent, "needs_response", inquiry["id"]) is inquiry
    assert booked(fake)[-1] == ("dispute", -10000, 1500, -11500)
    assert kinds(fake)[-2:] == ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]
    with refuses("charge_disputed"):
        fake.refund_in_dashboard(intent, 1000)


def test_what_is_wholly_refunded_loses_no_more_money(fake: FakeStripe) -> None:
    available(fake)
    intent = available(fake)
    inquiry = fake.dispute(intent, "warning_needs_response")
    fake.refund_in_dashboard(intent, 10000)
    fake.dispute(intent, "lost", inquiry["id"])
    assert inquiry["balance_transactions"] == []
    with refuses("charge_already_refunded"):
        fake.dispute(intent)


@pytest.mark.parametrize(
    ("opened", "ends", "moved"),
    [
        (None, [("won", None)], [-10000, 10000]),
        (None, [("lost", None)], [-10000]),
        (4000, [("lost", None)], [-4000]),
        (4000, [("won", None)], [-4000, 4000]),
        (None, [("lost", 7000)], [-10000, 3000]),
        (None, [("won", 7000)], [-10000, 7000]),
        (4000, [("lost", 6000)], [-4000, -2000]),
        (None, [("lost", None), ("won", None)], [-10000, 10000]),
        (None, [("won", None), ("lost", None)], [-10000, 10000, -10000]),
    ],
)
def test_money_of_a_dispute_goes_and_returns(
    fake: FakeStripe, opened: int | None, ends: list[tuple[str, int | None]], moved: list[int]
) -> None:
    intent = available(fake)
    dispute = fake.dispute(intent, amount=opened)
    for status, amount in ends:
        fake.dispute(intent, status, dispute["id"], amount)
    assert [one["amount"] for one in dispute["balance_transactions"]] == moved
    told = [kind for kind in kinds(fake) if "dispute.funds" in kind]
    assert told == [f"charge.dispute.funds_{'withdrawn' if one < 0 else 'reinstated'}" for one in moved]
    assert kinds(fake).count("charge.dispute.closed") == len(ends)


def test_a_transfer_is_within_the_available_balance(fake: FakeStripe) -> None:
    paid(fake)
    with refuses("balance_insufficient"):
        transfer(fake, 9680)
    fake.advance(days=2)
    transfer(fake, 9680)
    with refuses("balance_insufficient"):
        transfer(fake, 1)
    assert amounts(fake) == (0, 0)


def test_a_transfer_from_a_charge_may_be_made_before_its_money_is_available(fake: FakeStripe) -> None:
    charge = fake.intents[paid(fake)]["latest_charge"]
    transfer(fake, 6000, source_transaction=charge)
    transfer(fake, 4000, source_transaction=charge)
    with pytest.raises(Refused, match="must not exceed"):
        transfer(fake, 1, source_transaction=charge)
    assert amounts(fake) == (-320, 0)
    fake.advance(days=2)
    assert amounts(fake) == (0, -320)


def test_a_transfer_from_a_charge_is_in_the_currency_that_it_settled_in(fake: FakeStripe) -> None:
    fake.settlement = {"eur": ("usd", Decimal("1.1"))}
    charge = fake.intents[paid(fake, currency="eur")]["latest_charge"]
    with pytest.raises(Refused, match="currency"):
        transfer(fake, 100, source_transaction=charge, currency="eur")
    transfer(fake, 11000, source_transaction=charge)
    with refuses("resource_missing"):
        transfer(fake, 1, source_transaction="ch_none")


def test_a_transfer_is_reversed_from_the_balance_of_the_connected_account(fake: FakeStripe) -> None:
    available(fake)
    made = transfer(fake, 9000)
    fake.reverse_transfer(made, "2000")
    assert booked(fake)[-1] == ("transfer_reversal", 2000, 0, 2000)
    with pytest.raises(Refused, match="left of the transfer"):
        fake.reverse_transfer(made, "7001")
    fake.connected[DESTINATION, "usd"] -= 1
    with refuses("balance_insufficient"):
        fake.reverse_transfer(made)
    fake.connected[DESTINATION, "usd"] += 1
    fake.reverse_transfer(made)
    assert (fake.transfers[made]["reversed"], kinds(fake)[-1]) == (True, "transfer.reversed")


async def test_a_payout_arrives_and_may_come_back(fake: FakeStripe, client: httpx.AsyncClient) -> None:
    available(fake)
    asked = {"amount": "9680", "currency": "usd"}
    payout = (await client.post("/v1/payouts", data=asked)).json()["id"]
    again = (await client.post("/v1/payouts", data=asked)).json()
    assert again["error"]["code"] == "balance_insufficient"
    fake.advance(days=2)
    assert (fake.payouts[payout]["status"], amounts(fake)) == ("paid", (0, 0))
    fake.fail_payout(payout)
    assert amounts(fake) == (0, 9680)
    second = (await client.post("/v1/payouts", data=asked)).json()["id"]
    assert (await client.post(f"/v1/payouts/{second}/cancel")).json()["status"] == "canceled"
    told = [kind for kind in kinds(fake) if kind.startswith("payout.")]
    assert told == ["payout.created", "payout.paid", "payout.failed", "payout.created", "payout.canceled"]


def test_a_decline_ends_the_attempt_and_not_the_intent(fake: FakeStripe) -> None:
    intent = fake._create_intent({"amount": "500", "currency": "usd"})["id"]  # noqa: SLF001 - as by the API
    with refuses("card_declined"):
        fake.confirm(intent, "pm_card_visa_chargeDeclinedInsufficientFunds")
    assert fake.intents[intent]["status"] == "requires_payment_method"
    assert fake.confirm(intent)["status"] == "succeeded"


def test_the_bank_may_ask_the_customer(fake: FakeStripe) -> None:
    intent = fake._create_intent({"amount": "500", "currency": "usd"})["id"]  # noqa: SLF001 - as by the API
    assert fake.confirm(intent, "pm_card_authenticationRequired")["status"] == "requires_action"
    assert fake.authenticate(intent, "no")["status"] == "requires_payment_method"
    fake.confirm(intent, "pm_card_authenticationRequired")
    assert fake.authenticate(intent)["status"] == "succeeded"
    told = [kind.partition(".")[2] for kind in kinds(fake) if kind.startswith("payment_intent.")]
    assert told == ["requires_action", "payment_failed", "requires_action", "succeeded"]


def test_an_expired_intent_takes_no_payment(fake: FakeStripe) -> None:
    intent = fake._create_intent({"amount": "500", "currency": "usd"})["id"]  # noqa: SLF001 - as by the API
    assert fake.expire(intent)["status"] == "canceled"
    with refuses("payment_intent_unexpected_state"):
        fake.confirm(intent)


@pytest.mark.parametrize(
    ("version", "refund_events", "refunds_in_charge"),
    [("2020-08-27", 0, True), ("2023-10-16", 0, False), ("2024-10-28.acacia", 1, False)],
)
def test_the_version_decides_how_a_refund_is_told(version: str, refund_events: int, *, refunds_in_charge: bool) -> None:
    fake = FakeStripe(api_version=version)
    fake.refund_in_dashboard(paid(fake), 100)
    assert kinds(fake).count("refund.created") == refund_events
    (told,) = [event for event in fake.events if event["type"] == "charge.refunded"]
    assert (told["api_version"], "refunds" in told["data"]["object"]) == (version, refunds_in_charge)


def test_events_come_in_any_order_and_without_their_objects(fake: FakeStripe) -> None:
    fake.refund_in_dashboard(available(fake), 100)
    backwards = queued(fake.events, "backwards", times=2)
    assert [event["id"] for event in backwards] == [event["id"] for event in fake.events * 2][::-1]
    (thin,) = queued(fake.events[:1], thinly=True)
    assert (thin["object"], thin["type"], "data" in thin) == ("v2.core.event", "v1.payment_intent.succeeded", False)
    assert thin["related_object"]["id"] in fake.intents


async def test_a_key_holds_for_a_day_and_for_its_parameters(fake: FakeStripe, client: httpx.AsyncClient) -> None:
    async def ask(amount: str, status: int) -> str:
        asked = {"amount": amount, "currency": "usd"}
        answer = await client.post("/v1/payment_intents", data=asked, headers={"idempotency-key": "k"})
        assert answer.status_code == status
        return str(answer.json().get("id"))

    await ask("0", 400)
    first = await ask("500", 200)
    assert await ask("500", 200) == first
    await ask("600", 400)
    fake.advance(days=1)
    assert await ask("600", 200) != first


async def test_a_failure_after_the_beginning_is_kept(fake: FakeStripe, client: httpx.AsyncClient) -> None:
    fake.plan.append("error")
    for key, status in (("k", 500), ("k", 500), ("l", 200)):
        asked = {"amount": "500", "currency": "usd"}
        answer = await client.post("/v1/payment_intents", data=asked, headers={"idempotency-key": key})
        assert answer.status_code == status


async def test_a_key_in_use_is_a_conflict(fake: FakeStripe, client: httpx.AsyncClient) -> None:
    fake.delay = 0.05
    asked = {"amount": "500", "currency": "usd"}
    calls = [client.post("/v1/payment_intents", data=asked, headers={"idempotency-key": "k"}) for _ in range(2)]
    answers = await asyncio.gather(*calls)
    assert sorted(answer.status_code for answer in answers) == [200, 409]


@pytest.mark.parametrize(
    "name", ["balance_transactions", "charges", "events", "refunds", "disputes", "payouts", "transfers"]
)
async def test_lists_have_pages(fake: FakeStripe, client: httpx.AsyncClient, name: str) -> None:
    for _ in range(3):
        intent = available(fake)
        fake.refund_in_dashboard(intent, 100)
        fake.dispute(intent, amount=100)
        transfer(fake, 100)
        (await client.post("/v1/payouts", data={"amount": "100", "currency": "usd"})).raise_for_status()
    seen: list[str] = []
    more, after = True, dict[str, str]()
    while more:
        page = (await client.get(f"/v1/{name}", params={"limit": "2", **after})).json()
        seen += [one["id"] for one in page["data"]]
        more, after = page["has_more"], {"starting_after": seen[-1]}
    whole = (await client.get(f"/v1/{name}", params={"limit": "100"})).json()["data"]
    assert seen == [one["id"] for one in whole]
    assert len(seen) == len(set(seen)) >= 3
    assert (await client.get(f"/v1/{name}/{seen[0]}")).json()["id"] == seen[0]
    assert (await client.get(f"/v1/{name}", params={"starting_after": "none"})).status_code == 404


async def test_what_happens_at_the_provider_can_be_told_by_control_calls(
    fake: FakeStripe, client: httpx.AsyncClient
) -> None:
    intent = paid(fake)
    dispute = (await client.post("/_ctl/dispute", data={"intent": intent, "amount": "100"})).json()
    ended = {"intent": intent, "status": "won", "identity": dispute["id"]}
    assert (await client.post("/_ctl/dispute", data=ended)).json()["status"] == "won"
    await client.post("/_ctl/advance", data={"days": "2"})
    assert (await client.get("/v1/balance")).json()["available"] == [{"currency": "usd", "amount": 8180}]
    assert (await client.post("/_ctl/fail_payout", data={"payout": "po_none"})).status_code == 404


def test_the_balance_is_the_sum_of_its_transactions(fake: FakeStripe) -> None:
    first, second = available(fake), paid(fake)
    refund = fake.refund_in_dashboard(first, 3000)
    dispute = fake.dispute(second, "warning_needs_response")
    fake.dispute(second, "needs_response", dispute["id"], 5000)
    fake.dispute(second, "lost", dispute["id"], 4000)
    fake.end_refund(refund["id"], "failed")
    fake.advance(days=2)
    made = transfer(fake, 2000)
    fake.reverse_transfer(made, "500")
    assert sum(amounts(fake)) == sum(one["net"] for one in fake.transactions.values())
    assert sum(amounts(fake)) == 2 * 9680 - 4000 - 1500 - 2000 + 500
