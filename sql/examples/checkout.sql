-- A checkout in mock mode, step by step: ecotrips psql --service -v ON_ERROR_STOP=1 -f sql/examples/checkout.sql
set request.id = 'example-checkout';

-- The payment comes first. Without a key of its own it gets one from itinerary, amount and currency.
select answer ->> 'payment_id' as payment, answer ->> 'mode' as mode, answer ->> 'status' as status
from public.start_checkout('11111111-1111-4111-8111-111111111111', 25000, 'USD', 'example-checkout') answer \gset
\echo payment :mode :status

-- The same key again is the same payment.
select (answer ->> 'payment_id')::uuid = :'payment' as same_payment
from public.start_checkout('11111111-1111-4111-8111-111111111111', 25000, 'USD', 'example-checkout') answer;

-- Then the provider's intent, which opens the ledger of the payment.
select answer ->> 'payment_intent' as intent
from public.record_payment_intent(:'payment', 'pi_mock_' || left(:'payment', 8)) answer \gset

-- Then what the provider tells: the money was taken. The same event again changes nothing.
select public.apply_payment_event(
  'mock:' || :'intent', 'payment_intent.succeeded', '{}', false, now(), :'intent', :'payment', :'intent', null, 25000,
  'usd'
) ->> 'result' as first;
select public.apply_payment_event(
  'mock:' || :'intent', 'payment_intent.succeeded', '{}', false, now(), :'intent', :'payment', :'intent', null, 25000,
  'usd'
) ->> 'result' as again;

select status, captured_cents, refunded_cents from payment.payments where id = :'payment';
select seq, entry_type, amount_cents, currency from fin.ledger where payment_id = :'payment' order by seq;
select count(*) as problems from fin.verify_ledger();
