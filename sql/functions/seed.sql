-- Made-up data of any volume, for measurements and demonstrations. Set-based; valid under every invariant. The rows of
-- a number are always the same, so seeding again adds only what is missing.

create or replace function meta.made_id(p_kind text, p_number bigint) returns uuid
language sql immutable
as $$ select overlay(overlay(md5(p_kind || ' ' || p_number) placing '4' from 13) placing '8' from 17)::uuid $$;
comment on function meta.made_id(text, bigint) is 'The id of the made-up row of a kind with this number, spread like a random one.';

create or replace function meta.seed_volume(p_first int, p_last int) returns void
language sql volatile security definer set search_path = pg_catalog
as $$
  insert into booking.itineraries (
    id, user_id, traveler, status, currency, total_cents, created_at, start_date, end_date, primary_supplier, has_items
  )
  select
    meta.made_id('itinerary', n),
    -- Five journeys for each traveller.
    meta.made_id('traveller', n / 5),
    'Traveller ' || n / 5,
    (array['pending', 'confirmed', 'confirmed', 'completed', 'cancelled'])[n % 5 + 1],
    (array['USD', 'EUR', 'RWF'])[n % 3 + 1],
    10000 + n % 900 * 100,
    timestamptz '2024-01-01 00:00Z' + n % 1000 * interval '1 day',
    date '2025-01-01' + n % 730,
    date '2025-01-01' + n % 730 + 4,
    'SUP-' || lpad((n % 97)::text, 3, '0'),
    true
  from generate_series(p_first, p_last) n
  on conflict do nothing;

  insert into booking.items (
    id, itinerary_id, item_type, supplier_ref, start_at, end_at, pax, price_cents, currency
  )
  select
    meta.made_id(i.item_type, n),
    meta.made_id('itinerary', n),
    i.item_type,
    'SUP-' || lpad((n % 97)::text, 3, '0'),
    (date '2025-01-01' + n % 730 + i.first_day) at time zone 'UTC',
    (date '2025-01-01' + n % 730 + i.last_day) at time zone 'UTC',
    1 + n % 4,
    case i.item_type when 'hotel' then 10000 else n % 900 * 100 end,
    (array['USD', 'EUR', 'RWF'])[n % 3 + 1]
  from generate_series(p_first, p_last) n, (values ('hotel', 0, 4), ('activity', 1, 1)) i (item_type, first_day, last_day)
  on conflict do nothing;

  -- Of ten payments seven are captured, one captured and refunded, one failed and one still under way.
  insert into payment.payments (
    id, itinerary_id, amount_cents, currency, status, status_at, mode, intent_id, provider_ref, idempotency_key,
    captured_cents, refunded_cents, created_at
  )
  select
    p.id, p.itinerary_id, p.amount_cents, p.currency, p.status, p.began + interval '2 seconds', 'mock', p.intent_id,
    case when p.captured then p.intent_id || case p.status when 'refunded' then '-refund' else '' end end,
    'made-' || p.number,
    case when p.captured then p.amount_cents else 0 end,
    case p.status when 'refunded' then p.amount_cents else 0 end,
    p.began
  from meta.made_payments(p_first, p_last) p
  on conflict do nothing;

  -- The trigger on refunds would count these once more: they are in the payment already.
  insert into payment.refunds (
    id, payment_id, amount_cents, currency, status, origin, provider_refund_id, requested_at, processed_at
  )
  select
    meta.made_id('refund', p.number), p.id, p.amount_cents, p.currency, 'succeeded', 'request',
    're_mock_' || meta.made_id('refund', p.number), p.began + interval '1 day', p.began + interval '1 day 1 second'
  from meta.made_payments(p_first, p_last) p
  where p.status = 'refunded'
  on conflict do nothing;
$$;
comment on function meta.seed_volume(int, int) is
'Administrator: makes the itineraries with these numbers, each with two items, a payment and its ledger.';
