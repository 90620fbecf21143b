"""The account: its clock, its balance in each settlement currency, and the events that it has had."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from tests.fakes.stripe.answers import Json, new_id
from tests.fakes.stripe.events import ENABLED, NEWEST, known_in, snapshot

DAY = 24 * 3600


@dataclass
class Account:
    """`own_money` is available in each currency beside the balance transactions, as from an earlier top-up.

    `settlement` names, for a currency of charges, the currency that they settle in, and the exchange rate.
    """

    clock: Callable[[], float] = time.time
    own_money: int = 10**15
    settlement: dict[str, tuple[str, Decimal]] = field(default_factory=dict)
    api_version: str = NEWEST
    enabled_events: frozenset[str] = ENABLED
    moved: int = 0
    transactions: dict[str, Json] = field(default_factory=dict)
    history: dict[str, Json] = field(default_factory=dict)

    def now(self) -> int:
        return int(self.clock()) + self.moved

    def advance(self, days: int = 0, seconds: int = 0) -> Json:
        """Time goes by, and what was due happens."""
        self.moved += days * DAY + seconds
        self.settle()
        return {"now": self.now()}

    def settle(self) -> None:
        """What is due happens."""
        self._make_available()

    def _make_available(self) -> None:
        """Net funds become available at `available_on` (API reference: The Balance Transaction object)."""
        for transaction in self.transactions.values():
            if transaction["available_on"] <= self.now():
                transaction["status"] = "available"

    def balance(self) -> Json:
        """Pending and available, per currency (API reference: The Balance object)."""
        self._make_available()
        sums: dict[str, dict[str, int]] = {"available": defaultdict(int), "pending": defaultdict(int)}
        for one in self.transactions.values():
            sums[one["status"]][one["currency"]] += one["net"]
        currencies = sorted(sums["available"].keys() | sums["pending"].keys())
        sides = {
            side: [{"currency": name, "amount": of[name] + own} for name in currencies]
            for (side, of), own in zip(sums.items(), (self.own_money, 0), strict=True)
        }
        return {"object": "balance", "livemode": False, **sides}

    def available(self, currency: str) -> int:
        amounts = {one["currency"]: one["amount"] for one in self.balance()["available"]}
        return int(amounts.get(currency, self.own_money))

    def settled(self, amount: int, currency: str) -> tuple[int, str, Decimal | None]:
        """An amount of a charge's currency in the currency that it settles in (Currency conversions)."""
        into, rate = self.settlement.get(currency, (currency, None))
        return (amount if rate is None else round(amount * rate)), into, rate

    @property
    def events(self) -> list[Json]:
        """Those that the endpoint asked for."""
        return [event for event in self.history.values() if event["type"] in self.enabled_events]

    def _booked(
        self, kind: str, category: str, source: str, amount: int, currency: str, fee: int = 0, until: int = 0
    ) -> Json:
        """Every movement has a balance transaction: gross, fee and net (Balance transaction types).

        The amount is in the currency of the charge; the fee, as at Stripe, is in the settlement currency.
        """
        gross, into, rate = self.settled(amount, currency)
        made: Json = {
            "id": new_id("txn"),
            "object": "balance_transaction",
            "amount": gross,
            "available_on": max(self.now(), until),
            "created": self.now(),
            "currency": into,
            "exchange_rate": None if rate is None else float(rate),
            "fee": fee,
            "fee_details": [{"amount": fee, "currency": into, "type": "stripe_fee"}] if fee else [],
            "net": gross - fee,
            "reporting_category": category,
            "source": source,
            "status": "pending" if until > self.now() else "available",
            "type": kind,
        }
        self.transactions[made["id"]] = made
        return made

    def _happened(self, kind: str, subject: Json, before: Json | None = None) -> None:
        if known_in(kind, self.api_version):
            event = {"id": new_id("evt")} | snapshot(kind, subject, self.api_version, self.now(), before)
            self.history[event["id"]] = event
