"""The Stripe API. Amounts need no conversion: Stripe, too, counts RWF in whole francs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from src.domain.errors import CardDeclined, ProviderFailed, ProviderUnknown
from src.domain.payments import Intent, Payment
from src.domain.payouts import ClaimedPayout
from src.domain.refunds import Refund, RefundOutcome

if TYPE_CHECKING:
    import stripe

# Stripe keeps idempotency keys for a day. After a little less than that, existing objects are looked up first.
KEY_LIFETIME = timedelta(hours=23)
FAILED = frozenset({"failed", "canceled"})
# These failures do not tell whether the request was carried out.
UNDECIDED = frozenset({401, 403, 409, 429})
FIRST_REFUSAL = 400
SERVER_FAULT = 500


class LiveStripe:
    """Stripe's API. `base` replaces Stripe's address; `timeout` is in seconds, for each of three tries.

    The SDK is imported at the first call, because importing it is slow.
    """

    def __init__(self, api_key: str, base: str = "", timeout: float = 12.0, payout_account: str = "") -> None:
        self._api_key = api_key
        self._base = base
        self._timeout = timeout
        self._payout_account = payout_account
        self._client: stripe.StripeClient | None = None
        self._http: stripe.HTTPXClient | None = None

    async def create_intent(self, payment: Payment) -> Intent:
        client = self._connected()
        with translated():
            intent = await client.v1.payment_intents.create_async(
                {
                    "amount": payment.amount_cents,
                    "currency": payment.currency.lower(),
                    "automatic_payment_methods": {"enabled": True},
                    "metadata": {"payment_id": str(payment.payment_id)},
                },
                {"idempotency_key": payment.provider_key or f"pi:create:{payment.payment_id}"},
            )
        return Intent(intent.id, intent.client_secret, intent.status)

    async def find_intent(self, intent_id: str) -> Intent:
        client = self._connected()
        with translated():
            intent = await client.v1.payment_intents.retrieve_async(intent_id)
        return Intent(intent.id, intent.client_secret, intent.status)

    async def refund(self, refund: Refund) -> RefundOutcome:
        client = self._connected()
        with translated():
            if refund.provider_refund_id is not None:
                return _outcome(await client.v1.refunds.retrieve_async(refund.provider_refund_id))
            if _is_old(refund.requested_at):
                async for found in self._refunds_of(client, refund.payment_intent):
                    if _names(found, "refund_id", refund.refund_id):
                        return _outcome(found)
            reason = {"reason": refund.reason} if refund.reason else {}
            return _outcome(
                await client.v1.refunds.create_async(
                    {
                        "payment_intent": refund.payment_intent,
                        "amount": refund.amount_cents,
                        "reason": "requested_by_customer",
                        "metadata": {
                            "refund_id": str(refund.refund_id),
                            "payment_id": str(refund.payment_id),
                            **reason,
                        },
                    },
                    {"idempotency_key": refund.provider_key},
                )
            )

    async def transfer(self, payout: ClaimedPayout) -> str:
        if not self._payout_account:
            message = "No account is set to pay out to"
            raise ProviderFailed(message, "payout_account_missing")
        client, group = self._connected(), f"escrow:{payout.escrow_id}"
        with translated():
            if _is_old(payout.asked_at):
                page = await client.v1.transfers.list_async({"transfer_group": group, "limit": 100})
                async for found in page.auto_paging_iter():
                    if _names(found, "payout_id", payout.payout_id):
                        return found.id
            made = await client.v1.transfers.create_async(
                {
                    "amount": payout.total_cents,
                    "currency": payout.currency.lower(),
                    "destination": self._payout_account,
                    "transfer_group": group,
                    "metadata": {"escrow_id": str(payout.escrow_id), "payout_id": str(payout.payout_id)},
                },
                {"idempotency_key": payout.provider_key},
            )
        return made.id

    async def changed(self, since: datetime) -> set[str]:
        """The intents that were created or refunded since then."""
        client, created = self._connected(), int(since.timestamp())
        with translated():
            intents = await client.v1.payment_intents.list_async({"created": {"gte": created}, "limit": 100})
            refunds = await client.v1.refunds.list_async({"created": {"gte": created}, "limit": 100})
            made = {found.id async for found in intents.auto_paging_iter()}
            return made | {
                _id(found.payment_intent) async for found in refunds.auto_paging_iter() if found.payment_intent
            }

    async def totals(self, intent_id: str) -> tuple[int, int]:
        """What Stripe captured and refunded on an intent, in minor units; pending refunds count."""
        client = self._connected()
        with translated():
            intent = await client.v1.payment_intents.retrieve_async(intent_id)
            refunds = [found async for found in self._refunds_of(client, intent_id)]
        return intent.amount_received or 0, sum(found.amount for found in refunds if found.status not in FAILED)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close_async()  # type: ignore[no-untyped-call]  # the SDK gives it no types
        self._client = self._http = None

    @staticmethod
    async def _refunds_of(client: stripe.StripeClient, intent_id: str) -> AsyncIterator[stripe.Refund]:
        page = await client.v1.refunds.list_async({"payment_intent": intent_id, "limit": 100})
        async for found in page.auto_paging_iter():
            yield found

    def _connected(self) -> stripe.StripeClient:
        if not self._api_key:
            message = "The payment is a live one, and the payment provider is not set up here"
            raise ProviderUnknown(message, "not_configured")
        if self._client is None:
            import stripe  # noqa: PLC0415 - see the class

            from src.adapters.stripe.sdk import LimitedClient  # noqa: PLC0415 - see the class

            stripe.enable_telemetry = False
            self._http = LimitedClient(timeout=self._timeout)
            self._client = stripe.StripeClient(
                self._api_key,
                http_client=self._http,
                max_network_retries=2,
                base_addresses={"api": self._base} if self._base else {},
            )
        return self._client


def _is_old(asked_at: datetime) -> bool:
    return datetime.now(UTC) - asked_at > KEY_LIFETIME


def _names(found: stripe.Refund | stripe.Transfer, name: str, identity: UUID) -> bool:
    """Whether the metadata that we gave holds this id."""
    return bool(found.metadata) and getattr(found.metadata, name, None) == str(identity)


def _id(found: str | stripe.PaymentIntent) -> str:
    return found if isinstance(found, str) else found.id


def _outcome(found: stripe.Refund) -> RefundOutcome:
    status = found.status or "pending"
    if status in FAILED:
        return RefundOutcome("failed", found.id, _code(getattr(found, "failure_reason", None)))
    return RefundOutcome("succeeded" if status == "succeeded" else "pending", found.id)


@contextmanager
def translated() -> Iterator[None]:
    """Stripe's errors as domain errors, without their texts, which may quote what was sent."""
    import stripe  # noqa: PLC0415 - see LiveStripe

    try:
        yield
    except stripe.CardError as error:
        message = "The card was declined"
        raise CardDeclined(message, _code(error.code)) from error
    except stripe.APIConnectionError as error:
        message = "The payment provider did not answer"
        raise ProviderUnknown(message, "no_answer") from error
    except stripe.StripeError as error:
        status = error.http_status or SERVER_FAULT
        # An unreadable answer of success leaves the outcome unknown.
        if status in UNDECIDED or status >= SERVER_FAULT or status < FIRST_REFUSAL:
            message = "The payment provider is not available"
            raise ProviderUnknown(message, f"http_{status}") from error
        message = "The payment provider refused the request"
        raise ProviderFailed(message, _code(error.code)) from error


def _code(code: str | None) -> str:
    """The code in the form that the ledger accepts."""
    return re.sub(r"[^A-Za-z0-9_.:-]", "_", code or "provider_error")[:64]
