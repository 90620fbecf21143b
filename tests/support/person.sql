-- A made-up traveller with a row in every table that privacy.mapped_tables links to a person: a new one needs a line
-- here, or a test says so. test.person is their id, test.word what makes their words their own.
create function pg_temp.person() returns uuid language sql as $$ select current_setting('test.person')::uuid $$;
create function pg_temp.word() returns text language sql as $$ select current_setting('test.word') $$;

insert into core.profiles (auth_user_id, full_name, email, phone)
values (pg_temp.person(), 'Zuri ' || pg_temp.word(), pg_temp.word() || '@mail.example', '+250 788 ' || right(pg_temp.word(), 6));
insert into booking.itineraries (user_id, traveler, currency, total_cents, notes)
values (pg_temp.person(), pg_temp.word() || ' Zuri', 'USD', 5000, 'write to ' || pg_temp.word() || '@mail.example');
insert into booking.items (itinerary_id, item_type, supplier_ref, start_at, end_at, pax, price_cents, currency)
select id, 'hotel', 'HBX', now(), now(), 2, 5000, 'USD' from booking.itineraries where user_id = pg_temp.person();
insert into wa.messages (direction, mode, type, msisdn, body, url, status, provider_message_id)
select 'out', 'live', 'link_notice', regexp_replace(phone, '\D', '', 'g'), 'for Zuri ' || pg_temp.word(), 'https://mail.example/',
  'sent', 'wamid.' || pg_temp.person()
from core.profiles where auth_user_id = pg_temp.person();
insert into wa.contacts (msisdn, last_inbound_at)
select regexp_replace(phone, '\D', '', 'g'), now() from core.profiles where auth_user_id = pg_temp.person();
insert into wa.statuses (provider_message_id, status, occurred_at) values ('wamid.' || pg_temp.person(), 'sent', now());
insert into permits.requests (user_id, park, visit_date, pax_count, note)
values (pg_temp.person(), 'Akagera', current_date + 30, 2, 'for Zuri ' || pg_temp.word());
insert into audit.events (who, what, request_id) values (pg_temp.person()::text, 'permits.requested', 'r');
insert into ops.idempotency_keys (caller, key, request_hash, request_id, locked_until, body)
values (pg_temp.person()::text, 'k', '', 'r', now(), '{}');
insert into inventory.holds (
  user_id, idempotency_key, hold_ref, source, supplier_hotel_id, plan_id, check_in, check_out, pax, total_cents, currency, quote,
  expires_at
)
values (pg_temp.person(), 'k', 'hold-' || pg_temp.word(), 'HBX', '1', 'p', current_date, current_date + 1, '{"adults":1}', 1, 'USD', '{}', now());
insert into ops.rate_limits (function, caller, tokens, refilled_at) values ('permits-request', pg_temp.person()::text, 1, now());
insert into ops.flags (name, value, updated_by)
select name, '1', pg_temp.person() from unnest(array['WA_OFFLINE', 'INVENTORY_OFFLINE']) as names (name)
where not exists (select from ops.flags f where f.name = names.name) limit 1;
insert into privacy.requests (kind, subject_user_id, requester_user_id, reason, status)
values ('export', pg_temp.person(), pg_temp.person(), 'I am Zuri ' || pg_temp.word(), 'completed');

-- A payment, captured, twice partly refunded and invoiced, all by its functions.
do $$
declare
  v_trip uuid := (select id from booking.itineraries where user_id = pg_temp.person());
  v_payment uuid := public.start_checkout(v_trip, 5000, 'USD') ->> 'payment_id';
  v_intent text := 'pi_' || replace(v_payment::text, '-', '');
  v_refund uuid;
begin
  perform public.record_payment_intent(v_payment, v_intent);
  perform public.apply_payment_event(
    'evt_' || v_intent, 'payment_intent.succeeded', jsonb_build_object('name', 'Zuri ' || pg_temp.word()), true,
    p_intent_id => v_intent, p_amount_cents => 5000, p_currency => 'USD'
  );
  foreach v_intent in array array['one', 'two'] loop
    v_refund := public.request_refund(v_payment, 1000, 'Zuri ' || pg_temp.word() || ' is ill') ->> 'refund_id';
    perform public.record_refund(v_refund, 'succeeded', 're_' || v_intent || v_refund);
  end loop;
  perform public.generate_invoice('invoice', v_payment);
end;
$$;
with own as (
  insert into "group".groups (name) values ('Zuri ' || pg_temp.word() || ' and friends') returning id
), owner as (
  insert into "group".members (group_id, user_id, role) select id, pg_temp.person(), 'owner' from own
), made as (
  insert into "group".groups (name) values ('A trek of others') returning id
), joined as (
  insert into "group".members (group_id, user_id) select id, pg_temp.person() from made returning id
), escrow as (
  insert into "group".escrows (group_id, currency, target_cents, min_members, deadline)
  select id, 'USD', 100000, 2, now() + interval '1 hour' from made returning id
)
insert into "group".contributions (escrow_id, member_id, amount_cents, currency, payment_id, live)
select escrow.id, joined.id, 700, 'USD', (payment.ensure_payment_record(null, 700, 'USD', gen_random_uuid()::text, true)).id, false
from escrow, joined;
