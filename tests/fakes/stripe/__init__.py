"""A model of Stripe in one process: it keeps its balance, makes its events, and fails as asked. By hand:

python -m tests.fakes.stripe 8420
STRIPE_MOCK_MODE=0 STRIPE_SECRET_KEY=sk_test STRIPE_WEBHOOK_SECRET=whsec_1 STRIPE_API_BASE=http://127.0.0.1:8420 \\
  make run
curl -d fail=503 127.0.0.1:8420/_ctl/next        # the next call fails (hang_up: works, then the answer is lost)
curl -d payment_method=pm_card_visa -u sk_test: 127.0.0.1:8420/v1/payment_intents/<id>/confirm
curl -d url=http://127.0.0.1:8000/functions/v1/stripe-webhook -d secret=whsec_1 127.0.0.1:8420/_ctl/deliver

What is delivered are all events, shuffled: `-d times=2` each so often, `-d late=7200` dated so many seconds back, and
`-d secret=whsec_1,whsec_2` signed with both, as while a secret is rotated. With the webhook's address as second
argument, each event is sent once it happens, signed with whsec_1, and again until it is accepted. README.md says more.
"""

from tests.fakes.stripe.answers import Refused
from tests.fakes.stripe.events import signed
from tests.fakes.stripe.server import FakeStripe, live_settings

__all__ = ["FakeStripe", "Refused", "live_settings", "signed"]
