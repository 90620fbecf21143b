"""Whatever happens to payments, in whatever order, the books hold after every step and end as the provider's.

The steps are the service's own: use cases over Postgres and Stripe's adapter, and signed events over HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import ClassVar, TypeVar
from uuid import UUID, uuid4

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from src.domain.errors import Conflict, InputInvalid, ProviderFailed
from src.domain.ledger import reconcile
from src.domain.payments import Checkout, finish_due, start_checkout
from src.domain.refunds import Refund, RefundRequest, refund_payment, settle_due
from tests.conftest import ANONYMOUS_CONTEXT, SERVICE_CONTEXT
from tests.fakes.stripe import Refused, signed
from tests.support import postgres
from tests.support.histories import FATES, SECRET, Death, Fateful, world

BOOKS = """
select md5(concat(
  (select string_agg(p::text, ';' order by p.id) from payment.payments p),
  (select string_agg(r::text, ';' order by r.id) from payment.refunds r),
  (select string_agg(e.hash::text, ';' order by e.id) from fin.entries e),
  (select string_agg(a::text, ';' order by a.account) from fin.accounts a)
))
"""
UNSETTLED = """
select exists (select from payment.payments where next_attempt_at is not null)
  or exists (select from payment.refunds where next_attempt_at is not null)
  or exists (select from payment.webhook_events where next_attempt_at is not null)
"""
DUE = ("payment.payments", "payment.refunds", "payment.webhook_events")
WITHIN = """
select coalesce(bool_and(refunded_cents + refund_pending_cents <= captured_cents), true) from payment.payments
"""
TOTALS = """
select intent_id, captured_cents, refunded_cents + refund_pending_cents as given_back from payment.payments
where intent_id is not null
"""
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
METHODS = ["pm_card_visa", "pm_card_visa", "pm_card_pendingRefund", "pm_card_visa_chargeDeclined"]
ENDS = {"pending": ("succeeded", "failed"), "succeeded": ("failed",)}
T = TypeVar("T")

fates = st.sampled_from([FATES[0], FATES[0], *FATES])
cents_of_refunds = st.integers(1, 1200) | st.integers(2900, 3100)


class Histories(RuleBasedStateMachine):
    payments = Bundle("payments")
    asked = Bundle("asked")

    server: ClassVar[postgres.Server]
    template: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.life = ExitStack()
        self.world = self.life.enter_context(world(self.server, self.template))
        self.stripe = self.world.stripe
        self.told: set[int] = set()
        self.answered: dict[str, Refund] = {}

    @initialize(target=payments, method=st.sampled_from(["pm_card_visa", "pm_card_pendingRefund"]))
    def a_payment_is_made(self, method: str) -> Checkout:
        checkout = Checkout(uuid4(), 3000, "USD", uuid4().hex)
        self._checked_out(checkout, "works")
        self.pay(checkout, method)
        self._tell(0)
        return checkout

    @rule(target=payments, cents=st.integers(1000, 3000), fate=fates)
    def check_out(self, cents: int, fate: str) -> Checkout:
        checkout = Checkout(uuid4(), cents, "USD", uuid4().hex)
        self._checked_out(checkout, fate)
        return checkout

    @rule(checkout=payments, more=st.sampled_from([0, 0, 1]), fate=fates)
    def check_out_again(self, checkout: Checkout, more: int, fate: str) -> None:
        again = Checkout(checkout.itinerary_id, checkout.amount_cents + more, "USD", checkout.idempotency_key)
        self._checked_out(again, fate if not more else "works", refused=more > 0)

    def _checked_out(self, checkout: Checkout, fate: str, *, refused: bool = False) -> None:
        made = self._step(
            lambda providers: start_checkout(ANONYMOUS_CONTEXT, checkout, self.world.payments, providers), fate
        )
        assert not (refused and made)

    @rule(checkout=payments, method=st.sampled_from(METHODS), part=st.just(None) | st.integers(1, 1000))
    def pay(self, checkout: Checkout, method: str, part: int | None = None) -> None:
        self._at_provider(checkout, lambda intent: self.stripe.confirm(intent, method, part))

    @rule(checkout=payments)
    def cancel_at_the_provider(self, checkout: Checkout) -> None:
        self._at_provider(checkout, self.stripe.cancel)

    @rule(target=asked, checkout=payments, cents=st.none() | cents_of_refunds, fate=fates)
    def refund(self, checkout: Checkout, cents: int | None, fate: str) -> tuple[Checkout, int | None, str]:
        request = (checkout, cents, uuid4().hex)
        self._refunded(*request, fate)
        return request

    @rule(request=asked, fate=fates)
    def refund_again(self, request: tuple[Checkout, int | None, str], fate: str) -> None:
        self._refunded(*request, fate)

    def _refunded(self, checkout: Checkout, cents: int | None, key: str, fate: str) -> None:
        request = RefundRequest(self._payment_id(checkout), cents, "why", key)
        refund = self._step(
            lambda providers: refund_payment(SERVICE_CONTEXT, request, self.world.refunds, providers), fate
        )
        if refund is not None:
            before = self.answered.setdefault(key, refund.value)
            failed = "select status = 'failed' from payment.refunds where id = $1"
            assert refund.value.refund_id == before.refund_id or self.world.value(failed, before.refund_id)
            self.answered[key] = refund.value

    @rule(checkout=payments, cents=cents_of_refunds)
    def refund_in_the_dashboard(self, checkout: Checkout, cents: int) -> None:
        self._at_provider(checkout, lambda intent: self.stripe.refund_in_dashboard(intent, cents))

    @rule(checkout=payments, which=st.integers(0, 5), status=st.sampled_from(["succeeded", "failed", "failed"]))
    def refund_ends(self, checkout: Checkout, which: int, status: str) -> None:
        def end(intent: str) -> None:
            mine = [one for one in self.stripe.refunds.values() if one["payment_intent"] == intent]
            mine = [one for one in mine if status in ENDS.get(one["status"], ())]
            if mine:
                self.stripe.end_refund(mine[which % len(mine)]["id"], status)

        self._at_provider(checkout, end)

    @rule(checkout=payments, end=st.sampled_from(["won", "lost"]))
    def dispute(self, checkout: Checkout, end: str) -> None:
        def dispute(intent: str) -> None:
            if not self.stripe.intents[intent]["amount_received"]:
                return
            mine = [one for one in self.stripe.disputes.values() if one["payment_intent"] == intent]
            if not mine:
                self.stripe.dispute(intent)
            elif mine[0]["status"] == "needs_response":
                self.stripe.dispute(intent, end, mine[0]["id"])

        self._at_provider(checkout, dispute)

    @precondition(lambda self: self.stripe.events)
    @rule(which=st.integers(0, 100), times=st.integers(1, 2))
    def an_event_comes(self, which: int, times: int) -> None:
        for _ in range(times):
            self._tell(which % len(self.stripe.events))

    @precondition(lambda self: len(self.told) < len(self.stripe.events))
    @rule(backwards=st.booleans())
    def all_events_come(self, *, backwards: bool) -> None:
        places = [place for place in range(len(self.stripe.events)) if place not in self.told]
        for place in reversed(places) if backwards else places:
            self._tell(place)

    @rule(fate=fates)
    def the_worker_comes(self, fate: str) -> None:
        world = self.world
        for table in DUE:
            due = f"update {table} set next_attempt_at = now() where next_attempt_at is not null"
            world.now(world.admin.execute(due))
        self._step(lambda providers: finish_due(SERVICE_CONTEXT, world.payments, providers), fate)
        self._step(lambda providers: settle_due(SERVICE_CONTEXT, world.refunds, providers), fate)
        world.now(world.webhooks.retry_due(SERVICE_CONTEXT))

    @invariant()
    def the_books_hold(self) -> None:
        faults = self.world.now(self.world.admin.fetch("select * from fin.verify_ledger()"))
        assert faults == []
        assert self.world.value(WITHIN)

    @invariant()
    def the_provider_did_nothing_twice(self) -> None:
        for made, ours in ((self.stripe.intents, "payment_id"), (self.stripe.refunds, "refund_id")):
            asked = [one["metadata"][ours] for one in made.values() if ours in one["metadata"]]
            assert len(asked) == len(set(asked))

    @invariant()
    def they_are_the_providers_when_nothing_is_under_way(self) -> None:
        if len(self.told) == len(self.stripe.events) and not self.world.value(UNSETTLED):
            self._agrees()

    def teardown(self) -> None:
        with self.life:
            self._comes_to_its_end()

    def _comes_to_its_end(self) -> None:
        for _ in range(20):
            if len(self.told) < len(self.stripe.events):
                self.all_events_come(backwards=False)
            for refund in self.stripe.refunds.values():
                if refund["status"] == "pending":
                    self.stripe.end_refund(refund["id"], "succeeded")
            if not self.world.value(UNSETTLED) and len(self.told) == len(self.stripe.events):
                break
            self.the_worker_comes("works")
        assert not self.world.value(UNSETTLED)
        self.the_books_hold()
        self._agrees()
        # And by the command that operators have for it.
        books, stripe = self.world.ledger, self.world.provider.live
        assert self.world.now(reconcile(SERVICE_CONTEXT, LONG_AGO, books, stripe))[1] == []

    def _agrees(self) -> None:
        for ours in self.world.now(self.world.admin.fetch(TOTALS)):
            taken, given_back = ours["captured_cents"], ours["given_back"]
            intent = self.stripe.intents[ours["intent_id"]]
            assert (taken, given_back) == (intent["amount_received"], self.stripe.refunded(intent["id"]))

    def _step(self, work: Callable[[dict[str, Fateful]], Awaitable[T]], fate: str) -> T | None:
        """What the step answers; one that is refused changes nothing, here or there."""
        before = self._state()
        self.world.provider.fate = fate
        try:
            return self.world.now(work({"live": self.world.provider}))
        except (Conflict, InputInvalid):
            assert self._state() == before
        except (ProviderFailed, Death):
            pass
        finally:
            self.world.provider.fate = "works"
        return None

    def _state(self) -> tuple[str, str, str]:
        return self.world.value(BOOKS), str(self.stripe.intents), str(self.stripe.refunds)

    def _at_provider(self, checkout: Checkout, act: Callable[[str], object]) -> None:
        payment_id = str(self._payment_id(checkout))
        for intent in list(self.stripe.intents.values()):
            if intent["metadata"]["payment_id"] == payment_id:
                with suppress(Refused):
                    act(intent["id"])

    def _payment_id(self, checkout: Checkout) -> UUID:
        query = "select id from payment.payments where idempotency_key = $1"
        return UUID(str(self.world.value(query, checkout.idempotency_key)))

    def _tell(self, place: int) -> None:
        before = self._state()
        request = signed(self.stripe.events[place], SECRET)
        answer = self.world.now(self.world.api.http.post("/functions/v1/stripe-webhook", **request))
        assert answer.status_code == 200, answer.text
        assert answer.json()["result"] == "duplicate" if place in self.told else answer.json()["result"] != "duplicate"
        if answer.json()["result"] != "applied":
            assert self._state() == before
        self.told.add(place)


def test_the_books_hold_after_every_step_of_any_history(server: postgres.Server, template: str) -> None:
    Histories.server, Histories.template = server, template
    # A history takes a second; `pytest --hypothesis-profile=thorough` is for a night, and shrinks what fails.
    thorough = settings.get_current_profile_name() == "thorough"
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=settings().max_examples if thorough else 12,
            stateful_step_count=25,
            deadline=None,
            phases=[Phase.reuse, Phase.generate, *([Phase.shrink] if thorough else [])],
            suppress_health_check=list(HealthCheck),
        ),
    )
