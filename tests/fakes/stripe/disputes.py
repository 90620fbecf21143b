"""Disputes: inquiries, which move no money, and chargebacks, which do."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.fakes.stripe.answers import INVALID, Json, Refused, found, new_id
from tests.fakes.stripe.payments import Payments

CLOSED = frozenset({"won", "lost", "warning_closed"})


@dataclass
class Disputes(Payments):
    """`dispute_fee` is taken with the first withdrawal, in the settlement currency (How disputes work)."""

    dispute_fee: int = 1500
    disputes: dict[str, Json] = field(default_factory=dict)
    withdrawn: dict[str, int] = field(default_factory=dict)

    def dispute(
        self, intent: str, status: str = "needs_response", identity: str | None = None, amount: int | None = None
    ) -> Json:
        """Opened, or, with its identity, changed: an inquiry that escalates keeps it (How disputes work: inquiries).

        `amount` is less than the charge for a partial dispute; at a close it is what was decided on, if that differs.
        """
        if identity:
            return self._changed(found(self.disputes, identity), status, amount)
        charge = self.charges[self.intents[intent]["latest_charge"]]
        if charge["refunded"]:
            # There are no disputes of what is wholly refunded (Refund and cancel payments).
            raise Refused(400, INVALID, "charge_already_refunded")
        opened = {
            "id": new_id("du"),
            "object": "dispute",
            "created": self.now(),
            "amount": amount or charge["amount"],
            "balance_transactions": [],
            "charge": charge["id"],
            "currency": charge["currency"],
            "is_charge_refundable": status.startswith("warning_"),
            "payment_intent": intent,
            "status": status,
        }
        self.disputes[opened["id"]] = opened
        charge["disputed"] = True
        self._happened("charge.dispute.created", opened)
        self._withdrawn_up_to(opened, 0 if status.startswith("warning_") else opened["amount"])
        return opened

    def close_dispute(self, dispute: str) -> Json:
        """Accepted as lost (API reference: Close a dispute)."""
        return self.dispute("", "lost", dispute)

    def _changed(self, dispute: Json, status: str, amount: int | None) -> Json:
        before = {"status": dispute["status"]}
        dispute |= {"status": status, "is_charge_refundable": status.startswith("warning_")}
        taken = self.withdrawn.get(dispute["id"], 0)
        if status == "won":
            # What was won comes back, which may be less than was taken.
            kept = taken - (taken if amount is None else amount)
        else:
            dispute["amount"] = amount or dispute["amount"]
            kept = 0 if status.startswith("warning_") else dispute["amount"]
        self._happened(f"charge.dispute.{'closed' if status in CLOSED else 'updated'}", dispute, before)
        self._withdrawn_up_to(dispute, kept)
        return dispute

    def _withdrawn_up_to(self, dispute: Json, kept: int) -> None:
        """Money goes and returns by facts of their own (Types of events: funds_withdrawn, funds_reinstated).

        After a full refund no further money goes (API reference: The Dispute object, is_charge_refundable).
        """
        back = self.withdrawn.get(dispute["id"], 0) - kept
        if not back or (back < 0 and self.charges[dispute["charge"]]["refunded"]):
            return
        fee = 0 if dispute["balance_transactions"] else self.dispute_fee
        category = "dispute" if back < 0 else "dispute_reversal"
        booked = self._booked("adjustment", category, dispute["id"], back, dispute["currency"], fee)
        dispute["balance_transactions"].append(booked)
        self.withdrawn[dispute["id"]] = kept
        self._happened(f"charge.dispute.funds_{'withdrawn' if back < 0 else 'reinstated'}", dispute)

    def _refunds_barred(self, intent: str) -> bool:
        """While money is withdrawn (API reference: The Dispute object, is_charge_refundable)."""
        mine = [one for one in self.disputes.values() if one["payment_intent"] == intent]
        return any(one["status"] != "won" and not one["is_charge_refundable"] for one in mine)
