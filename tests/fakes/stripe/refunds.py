"""Refunds, which may end days after they were made."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.fakes.stripe.account import DAY
from tests.fakes.stripe.answers import INVALID, Json, Refused, found, new_id, positive
from tests.fakes.stripe.disputes import Disputes

NOT_GIVEN = frozenset({"failed", "canceled"})
# What becomes of refunds of these payment methods, and after how many days (Testing: refunds).
BECOMES = {"pm_card_pendingRefund": ("succeeded", 1), "pm_card_refundFail": ("failed", 5)}


@dataclass
class Refunds(Disputes):
    refunds: dict[str, Json] = field(default_factory=dict)
    due: dict[str, tuple[str, int]] = field(default_factory=dict)

    def settle(self) -> None:
        """What is due ends, and what waits for money is made when there is some (Refund and cancel payments)."""
        super().settle()
        for identity, (status, at) in list(self.due.items()):
            if at <= self.now():
                self.end_refund(identity, status)
        for refund in self.refunds.values():
            if refund.get("pending_reason") == "insufficient_funds" and self._covers(refund):
                self.end_refund(refund["id"], "succeeded")

    def refund_in_dashboard(self, intent: str, amount: int) -> Json:
        return self._create_refund({"payment_intent": intent, "amount": str(amount)})

    def refunded(self, intent: str) -> int:
        mine = [one for one in self.refunds.values() if one["payment_intent"] == intent]
        return sum(one["amount"] for one in mine if one["status"] not in NOT_GIVEN)

    def _create_refund(self, given: Json) -> Json:
        """At most what is left of the charge, from the available balance (Refund and cancel payments)."""
        intent = found(self.intents, given.get("payment_intent", ""))
        left = intent["amount_received"] - self.refunded(intent["id"])
        if self._refunds_barred(intent["id"]):
            raise Refused(400, INVALID, "charge_disputed")
        if left == 0:
            raise Refused(400, INVALID, "charge_already_refunded")
        amount = positive(given, "amount", left)
        if amount > left:
            raise Refused(400, INVALID, "amount_too_large")
        method = intent.get("payment_method", "")
        refund = {
            "id": new_id("re"),
            "object": "refund",
            "created": self.now(),
            "amount": amount,
            "balance_transaction": None,
            "charge": intent["latest_charge"],
            "currency": intent["currency"],
            "payment_intent": intent["id"],
            "status": "pending" if method == "pm_card_pendingRefund" else "succeeded",
            "metadata": given.get("metadata", {}),
        }
        if not self._covers(refund):
            refund |= {"status": "pending", "pending_reason": "insufficient_funds"}
        else:
            self._given_back(refund)
        self.refunds[refund["id"]] = refund
        if method in BECOMES:
            status, days = BECOMES[method]
            self.due[refund["id"]] = (status, self.now() + days * DAY)
        self._happened("charge.refunded", self._counted(refund))
        self._happened("refund.created", refund)
        return refund

    def end_refund(self, refund: str, status: str) -> Json:
        """The bank decides, also days later: a failure has its own balance transaction (The Refund object)."""
        ended = found(self.refunds, refund)
        if ended["status"] in NOT_GIVEN:
            raise Refused(400, INVALID, "refund_ended")
        before = {"status": ended["status"]}
        self.due.pop(refund, None)
        ended |= {"status": status, "pending_reason": None}
        if status in NOT_GIVEN and ended["balance_transaction"]:
            returned = self._booked("refund_failure", "refund_failure", refund, ended["amount"], ended["currency"])
            ended["failure_balance_transaction"] = returned["id"]
        if status == "succeeded" and not ended["balance_transaction"]:
            self._given_back(ended)
        self._counted(ended)
        self._happened("charge.refund.updated", ended, before)
        if status == "failed":
            ended["failure_reason"] = "unknown"
            self._happened("refund.failed", ended, before)
        else:
            self._happened("refund.updated", ended, before)
        return ended

    def cancel_refund(self, refund: str) -> Json:
        """Only a refund that waits for the customer can be canceled by the API (API reference: Cancel a refund)."""
        if found(self.refunds, refund)["status"] != "requires_action":
            raise Refused(400, INVALID, "refund_not_cancelable")
        return self.end_refund(refund, "canceled")

    def _covers(self, refund: Json) -> bool:
        needed, currency, _ = self.settled(refund["amount"], refund["currency"])
        return needed <= self.available(currency)

    def _given_back(self, refund: Json) -> None:
        """The fee of the charge is not returned (Refund and cancel payments)."""
        booked = self._booked("refund", "refund", refund["id"], -refund["amount"], refund["currency"])
        refund["balance_transaction"] = booked["id"]

    def _counted(self, refund: Json) -> Json:
        """The charge of a refund, with the sum of its refunds."""
        charge = self.charges[refund["charge"]]
        given = self.refunded(refund["payment_intent"])
        charge |= {"amount_refunded": given, "refunded": given == charge["amount"]}
        if "refunds" in charge:
            charge["refunds"]["data"] = [one for one in self.refunds.values() if one["charge"] == charge["id"]]
        return charge
