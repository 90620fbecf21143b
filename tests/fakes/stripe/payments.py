"""Payment intents and their charges."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from tests.fakes.stripe.account import DAY, Account
from tests.fakes.stripe.answers import INVALID, Json, Refused, found, new_id, positive
from tests.fakes.stripe.events import REFUNDS_IN_CHARGE_UNTIL

CURRENCIES = frozenset({"usd", "eur", "rwf"})
ENDED = frozenset({"succeeded", "canceled"})
# Payment methods that are declined, with code and decline code (Testing: declined payments).
DECLINES = {
    "pm_card_visa_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", ""),
}
# The bank asks the customer (Testing: 3D Secure authentication).
ASK_CUSTOMER = frozenset({"pm_card_authenticationRequired", "pm_card_threeDSecure2Required"})
# The money is available at once (Testing: available balance).
AVAILABLE_AT_ONCE = "pm_card_bypassPending"


@dataclass
class Payments(Account):
    """Card money is pending for `pending_days` (Balances and settlement time); the fee is a share and a fixed part."""

    pending_days: int = 2
    fee_share: Decimal = Decimal("0.029")
    fee_fixed: int = 30
    intents: dict[str, Json] = field(default_factory=dict)
    charges: dict[str, Json] = field(default_factory=dict)

    def _create_intent(self, given: Json) -> Json:
        amount, currency = positive(given, "amount"), given.get("currency", "")
        if currency not in CURRENCIES:
            raise Refused(400, INVALID, "parameter_invalid_integer")
        identity = new_id("pi")
        self.intents[identity] = {
            "id": identity,
            "object": "payment_intent",
            "created": self.now(),
            "amount": amount,
            "amount_received": 0,
            "currency": currency,
            "status": "requires_payment_method",
            "client_secret": f"{identity}_secret_{new_id('x')}",
            "latest_charge": None,
            "metadata": given.get("metadata", {}),
        }
        return self.intents[identity]

    def confirm(self, intent: str, method: str = "pm_card_visa", received: int | None = None) -> Json:
        """The customer pays; we are given it all, or `received` of it. The method decides what the bank says."""
        paying = self._open(intent)
        if method in DECLINES:
            raise self._declined(paying, *DECLINES[method])
        paying["payment_method"] = method
        if method in ASK_CUSTOMER:
            paying |= {"status": "requires_action", "next_action": {"type": "use_stripe_sdk"}}
            self._happened("payment_intent.requires_action", paying)
            return paying
        return self._paid(paying, received or paying["amount"])

    def authenticate(self, intent: str, passed: str = "yes") -> Json:
        """The customer answers the bank; who fails may try another method (How PaymentIntents work)."""
        paying = self._open(intent)
        if paying["status"] != "requires_action":
            raise Refused(400, INVALID, "payment_intent_unexpected_state")
        if passed == "yes":
            return self._paid(paying, paying["amount"])
        self._declined(paying, "payment_intent_authentication_failure", "")
        return paying

    def cancel(self, intent: str, reason: str = "requested_by_customer") -> Json:
        """Nobody pays any more; what is canceled or paid stays so (API reference: Cancel a PaymentIntent)."""
        ended = self._open(intent)
        ended |= {"status": "canceled", "canceled_at": self.now(), "cancellation_reason": reason}
        self._happened("payment_intent.canceled", ended)
        return ended

    def expire(self, intent: str) -> Json:
        """The provider cancels it by itself (API reference: The PaymentIntent object, cancellation_reason)."""
        return self.cancel(intent, "automatic")

    def _open(self, intent: str) -> Json:
        if found(self.intents, intent)["status"] in ENDED:
            raise Refused(400, INVALID, "payment_intent_unexpected_state")
        return self.intents[intent]

    def _declined(self, intent: Json, code: str, decline: str) -> Refused:
        """A decline ends the attempt, not the intent (How PaymentIntents work)."""
        refused = Refused(402, "card_error", code)
        refused.body["error"] |= {"decline_code": decline} if decline else {}
        intent |= {
            "status": "requires_payment_method",
            "next_action": None,
            "last_payment_error": refused.body["error"],
        }
        self._happened("payment_intent.payment_failed", intent)
        return refused

    def _paid(self, intent: Json, received: int) -> Json:
        identity = f"ch{intent['id'][2:]}"
        settled = self.settled(received, intent["currency"])[0]
        fee = round(settled * self.fee_share) + self.fee_fixed
        days = 0 if intent["payment_method"] == AVAILABLE_AT_ONCE else self.pending_days
        until = self.now() + days * DAY
        self.charges[identity] = {
            "id": identity,
            "object": "charge",
            "created": self.now(),
            "amount": received,
            "amount_refunded": 0,
            "balance_transaction": self._booked("charge", "charge", identity, received, intent["currency"], fee, until)[
                "id"
            ],
            "currency": intent["currency"],
            "disputed": False,
            "metadata": intent["metadata"],
            "paid": True,
            "payment_intent": intent["id"],
            "refunded": False,
            "status": "succeeded",
        }
        if self.api_version < REFUNDS_IN_CHARGE_UNTIL:
            self.charges[identity]["refunds"] = {"object": "list", "data": [], "has_more": False}
        intent |= {"status": "succeeded", "amount_received": received, "latest_charge": identity, "next_action": None}
        self._happened("charge.succeeded", self.charges[identity])
        self._happened("payment_intent.succeeded", intent)
        return intent
