-- The whole runbook in psql, top to bottom: ecotrips psql --service -v ON_ERROR_STOP=1 -f sql/examples/runbook.sql
-- What a provider or a file store would do between two calls is said with the call that records it.
set request.id = 'example-runbook';
\set itinerary 11111111-1111-4111-8111-111111111111
\set traveller 33333333-3333-4333-8333-333333333333
\set friend 44444444-4444-4444-8444-444444444444

-- Check bookings in a date range; list exceptions by status.
select count(*) > 0 as bookings from ops.v_bookings where start_date between '2025-10-01' and '2025-10-15'
  and supplier = 'HBX';
select count(*) > 0 as exceptions from ops.v_exceptions where status = 'open';
select public.retry_exception(id, 'seen') ->> 'status' as exception from ops.v_exceptions where status = 'open' limit 1;

-- Checkout and webhook: one payment succeeds, one fails.
select answer ->> 'payment_id' as payment
  from public.start_checkout(:'itinerary', 25000, 'USD', 'runbook-paid') answer \gset
select answer ->> 'payment_intent' as intent
  from public.record_payment_intent(:'payment', 'pi_mock_' || :'payment') answer \gset
select public.apply_payment_event(
  'mock:paid:' || :'intent', 'payment_intent.succeeded', '{}', false, now(), :'intent', :'payment', :'intent', null,
  25000, 'usd'
) ->> 'result' as webhook;
select status as paid, provider_ref = :'intent' as provider_ref_is_the_intent from payment.payments
  where id = :'payment';
select answer ->> 'payment_id' as declined
  from public.start_checkout(:'itinerary', 12000, 'USD', 'runbook-declined') answer \gset
select answer ->> 'payment_intent' as intent_declined
from public.record_payment_intent(:'declined', 'pi_mock_' || :'declined') answer \gset
select public.apply_payment_event(
  'mock:failed:' || :'intent_declined', 'payment_intent.payment_failed', '{}', false, now(),
  :'intent_declined', :'declined', :'intent_declined', null, 12000, 'usd'
) ->> 'result' as failure;
select status as declined from payment.payments where id = :'declined';
select count(*) > 0 as failure_is_audited from audit.events where payload ->> 'payment_id' = :'declined'
  and what = 'payment.failure';

-- Switching data source, and back.
select ops.set_flag('USE_FIXTURES', '0');
select ops.set_flag('USE_FIXTURES', null);

-- Catalog search index.
select public.populate_search_index('[{"slug": "kigali", "entity_type": "city", "entity_id": "city-kigali",
  "title": "Kigali", "subtitle": "Capital of Rwanda", "keywords": ["KGL"], "popularity": 990}]') ->> 'seeded' as seeded;
select found ->> 'title' as place from json_array_elements(public.search_places('kigli', 1) -> 'places') found;

-- Inventory triage: the circuit, held open for a supplier in trouble and let go again.
select public.force_circuit('hbx', 'open') ->> 'state' as circuit;
select public.force_circuit('hbx', null) ->> 'state' as circuit;

-- Finance: invoice, delivery by WhatsApp, refund, credit note, reconciliation.
select answer ->> 'number' as invoice from public.generate_invoice('invoice', :'payment') answer \gset
select public.generate_invoice('invoice', :'payment') ->> 'number' = :'invoice' as same_invoice;
select public.send_message('link_notice', '250788123456', 'Your ecoTrips invoice',
  'https://ops.ecotrips.example/invoice') ->> 'status'
  as message_for_the_worker;
select answer ->> 'refund_id' as refund from public.request_refund(:'payment', 5000, 'guest_cancelled',
  'runbook-refund') answer \gset
select public.record_refund(:'refund', 'succeeded', 're_mock_' || :'refund') ->> 'status' as refund;
select status as payment, provider_ref = :'intent' || '-refund' as provider_ref_tells_it from payment.payments
  where id = :'payment';
select public.generate_invoice('credit_note', :'payment') ->> 'number' = :'invoice'
  || '-CN' as credit_note_refers_to_its_invoice;
select string_agg(entry_type, ' ' order by occurred_at, seq) as ledger from fin.ledger where payment_id = :'payment';

-- Privacy: request, review, export, dry run, execution.
select answer ->> 'request_id' as export from public.create_privacy_request('export', :'friend') answer \gset
select public.review_privacy_request(:'export', 'approve', 'looks good') ->> 'status' as export_review;
select answer ->> 'request_id' as erasure from public.create_privacy_request('erasure', :'friend') answer \gset
select public.review_privacy_request(:'erasure', 'approve', 'looks good') ->> 'status' as erasure_review;
select count(*) > 100 as mapped_columns from public.privacy_get_datamap();
select status as queued from public.privacy_get_request(:'erasure');
select length(answer ->> 'plan_sha256') as plan_digest from public.plan_privacy_erasure(:'erasure') answer;
select public.execute_privacy_erasure(:'erasure', 'ERASE', 'a-secret-of-thirty-two-characters') ->> 'ok' as erased;
select count(*) as still_known from core.profiles where auth_user_id = :'friend' and full_name is not null;

-- Permits: a traveller asks, ops approve one and reject the other.
select answer ->> 'request_id' as permit from public.create_permit_request('Volcanoes', current_date + 60, 2,
  'Honeymoon trek') answer \gset
select public.approve_permit_request(:'permit', 'Permit confirmed') ->> 'status' as permit;
select answer ->> 'request_id' as other from public.create_permit_request('Nyungwe', current_date + 60, 2) answer \gset
select public.reject_permit_request(:'other', 'Need different date') ->> 'status' as permit;
\set ON_ERROR_STOP off
select public.approve_permit_request(:'other', 'changed my mind');
\echo refused with :LAST_ERROR_SQLSTATE :LAST_ERROR_MESSAGE
\set ON_ERROR_STOP on

-- Groups: ops act for two travellers who pay together.
select answer ->> 'group_id' as travellers
from public.create_group('Gorilla trek', 2, :'itinerary', p_user_id => :'traveller') answer \gset
select answer ->> 'escrow_id' as escrow
from public.create_escrow(:'travellers', 50000, now() + interval '1 day', 2,
  p_itinerary_id => :'itinerary') answer \gset
select answer ->> 'member_id' as second from public.join_group(:'travellers',
  '22222222-2222-4222-8222-222222222222') answer \gset
select answer ->> 'contribution_id' as c1, answer ->> 'payment_id' as p1
from public.contribute(:'escrow', 25000, p_user_id => :'traveller') answer \gset
select answer ->> 'payment_intent' as i1 from public.record_contribution_intent(:'c1', 'pi_mock_' || :'p1') answer \gset
select answer ->> 'contribution_id' as c2, answer ->> 'payment_id' as p2
from public.contribute(:'escrow', 25000, p_member_id => :'second') answer \gset
select answer ->> 'payment_intent' as i2 from public.record_contribution_intent(:'c2', 'pi_mock_' || :'p2') answer \gset
select public.apply_payment_event(
  'mock:' || :'i1', 'payment_intent.succeeded', '{}', false, now(), :'i1', :'p1', :'i1', null, 25000, 'usd'
)
  ->> 'result' as first_share;
select status as escrow from "group".escrows where id = :'escrow';
select public.apply_payment_event(
  'mock:' || :'i2', 'payment_intent.succeeded', '{}', false, now(), :'i2', :'p2', :'i2', null, 25000, 'usd'
)
  ->> 'result' as second_share;
select status as escrow from "group".escrows where id = :'escrow';

-- Payouts: claimed, paid by the mock, finished; then the report.
select public.payout_now(:'escrow') ->> 'payout_status' as payout;
select answer -> 0 ->> 'payout_id' as payout, answer -> 0 ->> 'claim' as claim
  from public.claim_payouts(1, :'escrow') answer \gset
select public.finish_payout(:'payout', :claim, 'succeeded', 'tr_mock_' || :'payout') ->> 'payout_status' as payout;
select status as escrow from "group".escrows where id = :'escrow';
select status as payout_report, count, total_cents from public.group_payouts_counts(current_date - 1, current_date + 1);

-- The daily close.
select count(*) as problems from fin.verify_ledger();
select count(*) > 10 as audited from audit.events where request_id = 'psql-example-runbook';
