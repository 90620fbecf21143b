"""The flow of money as wrk sends it, checkout, webhook, refund, and the same SQL from pgbench."""

from __future__ import annotations

from bench.load import Pgbench, Wrk
from bench.sql import DEFINES, call_of
from bench.stack import Stack

# Each answer brings on the next step of its payment; where none waits, a new checkout begins.
SCRIPT = """
local waiting, made, base = {}, 0, math.random(2 ^ 30) .. '-' .. os.time()
function request()
  local step = table.remove(waiting)
  if step then return step end
  made = made + 1
  return wrk.format('POST', '/functions/v1/bff-checkout', nil,
    '{"itinerary_id":"11111111-1111-4111-8111-111111111111","amount_cents":25000,"currency":"USD","idempotency_key":"'
    .. base .. '-' .. made .. '"}')
end
function response(status, headers, body)
  local payment, path, sent = body:match('"payment_id":"([^"]+)"'), nil, nil
  if body:find('"payment_intent_id":') then
    path = '/functions/v1/stripe-webhook'
    sent = '{"type":"payment_intent.succeeded","data":{"payment_id":"' .. payment
      .. '","payment_intent":"pi_mock_' .. payment .. '"}}'
  elseif body:find('"result":') then
    path, sent = '/functions/v1/payments-refund', '{"payment_id":"' .. payment .. '"}'
  end
  if path then waiting[#waiting + 1] = wrk.format('POST', path, nil, sent) end
end
"""


def over_http(stack: Stack, connections: int = 32) -> Wrk:
    """Three requests make one flow."""
    return Wrk("/", stack.key("service_role"), connections, method="POST", body="{}", script=SCRIPT, units=3)


def by_pgbench() -> Pgbench:
    """The five functions that those three requests call, each in one statement."""
    event = "jsonb_build_object('type', 'payment_intent.succeeded')"
    script = "".join(
        [
            call_of(
                "public.start_checkout",
                "r ->> 'payment_id' as payment",
                p_itinerary_id="'11111111-1111-4111-8111-111111111111'",
                p_amount_cents="25000",
                p_currency="'USD'",
                p_idempotency_key="left(gen_random_uuid()::text, 64)",
            ),
            call_of(
                "public.record_payment_intent",
                "1 as one",
                p_payment_id=":payment",
                p_intent_id="'pi_mock_' || :payment::text",
            ),
            call_of(
                "public.apply_payment_event",
                "1 as one",
                p_event_id="'bench:' || :payment::text",
                p_type="'payment_intent.succeeded'",
                p_body=event,
                p_signed="false",
                p_payment_id=":payment",
                p_intent_id="'pi_mock_' || :payment::text",
            ),
            call_of("public.request_refund", "r ->> 'refund_id' as refund", p_payment_id=":payment"),
            call_of(
                "public.record_refund",
                "1 as one",
                p_refund_id=":refund",
                p_status="'succeeded'",
                p_provider_refund_id="'re_mock_' || :refund::text",
            ),
        ]
    )
    return Pgbench(script, {**DEFINES, "claims": '{"role":"service_role"}'}, clients=8, role="web_service")
