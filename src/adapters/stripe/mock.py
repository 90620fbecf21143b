"""The payment provider of offline mode: every request succeeds, with ids made from ours."""

import sys

from src.domain.payments import Intent, Payment
from src.domain.payouts import ClaimedPayout
from src.domain.refunds import Refund, RefundOutcome


class MockStripe:
    """Prints a MOCK_REFUND line for each refund, from which it can be made for real later."""

    async def create_intent(self, payment: Payment) -> Intent:
        return Intent(f"pi_mock_{payment.payment_id}")

    async def find_intent(self, intent_id: str) -> Intent:
        return Intent(intent_id)

    async def refund(self, refund: Refund) -> RefundOutcome:
        sys.stdout.write(
            f"MOCK_REFUND payment={refund.payment_id} intent={refund.payment_intent} refund={refund.refund_id}"
            f" amount={refund.amount_cents} currency={refund.currency}\n"
        )
        sys.stdout.flush()
        return RefundOutcome("succeeded", f"re_mock_{refund.refund_id}")

    async def transfer(self, payout: ClaimedPayout) -> str:
        return f"tr_mock_{payout.payout_id}"
