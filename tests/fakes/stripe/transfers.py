"""Transfers to connected accounts, their reversals, and payouts to the bank."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.fakes.stripe.account import DAY
from tests.fakes.stripe.answers import INVALID, Json, Refused, found, new_id, positive
from tests.fakes.stripe.refunds import Refunds


@dataclass
class Transfers(Refunds):
    """`connected` is the balance of each connected account in each currency."""

    payout_days: int = 2
    transfers: dict[str, Json] = field(default_factory=dict)
    payouts: dict[str, Json] = field(default_factory=dict)
    connected: Counter[tuple[str, str]] = field(default_factory=Counter)

    def settle(self) -> None:
        """A payout is paid when it arrives (API reference: The Payout object)."""
        super().settle()
        for payout in self.payouts.values():
            if payout["status"] == "pending" and payout["arrival_date"] <= self.now():
                payout["status"] = "paid"
                self._happened("payout.paid", payout)

    def _create_transfer(self, given: Json) -> Json:
        """At most the available balance, unless it names its charge (Create separate charges and transfers)."""
        amount, destination = positive(given, "amount"), given.get("destination", "")
        if not destination.startswith("acct_"):
            raise Refused(400, INVALID, "account_invalid")
        currency, until = given.get("currency", "usd"), 0
        if source := given.get("source_transaction"):
            until = self._from_charge(source, amount, currency)
        else:
            self._require_available(amount, currency)
        made = {"metadata": {}, "currency": currency, **given, "id": new_id("tr"), "object": "transfer"}
        made |= {"amount": amount, "amount_reversed": 0, "reversed": False, "created": self.now()}
        booked = self._booked("transfer", "transfer", made["id"], -amount, currency, until=until)
        made |= {"balance_transaction": booked["id"], "reversals": {"object": "list", "data": [], "has_more": False}}
        self.transfers[made["id"]] = made
        self.connected[destination, currency] += amount
        self._happened("transfer.created", made)
        return made

    def _from_charge(self, source: str, amount: int, currency: str) -> int:
        """When the money of the charge is available.

        The transfers of a charge are within it, and in the currency of its balance transaction (Create separate charges
        and transfers: transfer availability).
        """
        paid = self.transactions[found(self.charges, source)["balance_transaction"]]
        if currency != paid["currency"]:
            message = "The currency of source_transaction's balance transaction must be the transfer's currency"
            raise Refused(400, INVALID, "", message)
        mine = [one for one in self.transfers.values() if one.get("source_transaction") == source]
        if sum(one["amount"] - one["amount_reversed"] for one in mine) + amount > paid["amount"]:
            message = "Transfers using this transaction as a source must not exceed the source amount"
            raise Refused(400, INVALID, "", message)
        return int(paid["available_on"])

    def reverse_transfer(self, transfer: str, amount: str = "") -> Json:
        """Within the transfer and the balance of the connected account (API reference: Transfer Reversals)."""
        of = found(self.transfers, transfer)
        left = of["amount"] - of["amount_reversed"]
        back = int(amount or left)
        if not 0 < back <= left:
            raise Refused(400, INVALID, "", "The amount is beyond what is left of the transfer")
        if back > self.connected[of["destination"], of["currency"]]:
            raise Refused(400, INVALID, "balance_insufficient")
        made: Json = {"id": new_id("trr"), "object": "transfer_reversal", "created": self.now(), "amount": back}
        made |= {"currency": of["currency"], "transfer": transfer, "metadata": {}}
        booked = self._booked("transfer_refund", "transfer_reversal", made["id"], back, of["currency"])
        made["balance_transaction"] = booked["id"]
        self.connected[of["destination"], of["currency"]] -= back
        of["reversals"]["data"].insert(0, made)
        of |= {"amount_reversed": of["amount_reversed"] + back, "reversed": back == left}
        self._happened("transfer.reversed", of)
        return made

    def _create_payout(self, given: Json) -> Json:
        """To the bank, at most the available balance (API reference: Create a payout)."""
        amount, currency = positive(given, "amount"), given.get("currency", "usd")
        self._require_available(amount, currency)
        made: Json = {"id": new_id("po"), "object": "payout", "created": self.now(), "amount": amount}
        made |= {"currency": currency, "status": "pending", "arrival_date": self.now() + self.payout_days * DAY}
        made |= {"automatic": False, "metadata": given.get("metadata", {}), "reconciliation_status": "not_applicable"}
        made["balance_transaction"] = self._booked("payout", "payout", made["id"], -amount, currency)["id"]
        self.payouts[made["id"]] = made
        self._happened("payout.created", made)
        return made

    def cancel_payout(self, payout: str) -> Json:
        """Only while it is pending (API reference: Cancel a payout)."""
        if found(self.payouts, payout)["status"] != "pending":
            raise Refused(400, INVALID, "payout_not_cancelable")
        return self._returned(payout, "canceled", "payout_cancel")

    def fail_payout(self, payout: str) -> Json:
        """The bank sends it back, also after it was paid (API reference: The Payout object, status)."""
        if found(self.payouts, payout)["status"] not in ("pending", "paid"):
            raise Refused(400, INVALID, "payout_not_failable")
        return self._returned(payout, "failed", "payout_failure")

    def _returned(self, payout: str, status: str, kind: str) -> Json:
        of = found(self.payouts, payout)
        booked = self._booked(kind, "payout_reversal", payout, of["amount"], of["currency"])
        of |= {"status": status, "failure_balance_transaction": booked["id"]}
        self._happened(f"payout.{status}", of)
        return of

    def _require_available(self, amount: int, currency: str) -> None:
        if amount > self.available(currency):
            raise Refused(
                400, INVALID, "balance_insufficient", "You have insufficient available funds in your Stripe account"
            )
