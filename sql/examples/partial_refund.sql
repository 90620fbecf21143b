-- A partial refund in mock mode, of the payment that checkout.sql made:
-- ecotrips psql --service -v ON_ERROR_STOP=1 -f sql/examples/partial_refund.sql
set request.id = 'example-refund';

select id as payment from payment.payments where idempotency_key = 'example-checkout' \gset

-- Asked for: the money is set aside, and the same key again is the same refund.
select answer ->> 'refund_id' as refund, answer ->> 'status' as status
from public.request_refund(:'payment', 5000, 'guest_cancelled', 'example-refund') answer \gset
\echo refund :status
select (answer ->> 'refund_id')::uuid = :'refund' as same_refund
from public.request_refund(:'payment', 5000, 'guest_cancelled', 'example-refund') answer;
select refund_pending_cents, refunded_cents from payment.payments where id = :'payment';

-- Given back, as the provider says.
select public.record_refund(:'refund', 'succeeded', 're_mock_' || left(:'refund', 8)) ->> 'status' as settled;
select status, refund_pending_cents, refunded_cents from payment.payments where id = :'payment';

-- More than is left is refused.
\set ON_ERROR_STOP off
select public.request_refund(:'payment', 20001, 'too much');
\echo refused with :LAST_ERROR_SQLSTATE :LAST_ERROR_MESSAGE
\set ON_ERROR_STOP on

select seq, entry_type, amount_cents, currency from fin.ledger where payment_id = :'payment' order by seq;
select count(*) as problems from fin.verify_ledger();
