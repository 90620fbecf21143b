-- The supplier's answers, kept, and rates held for travellers (docs/api.md, Hotel inventory).

create or replace function inventory.read_cache(p_key text, p_origin text) returns json
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select coalesce((
    select json_build_object(
      'payload', payload::text,
      'fresh_seconds', extract(epoch from expires_at - now()),
      'age_seconds', extract(epoch from now() - fetched_at),
      'expires_at', to_char(expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
    )
    from inventory.cache where key = p_key and origin = p_origin
  ), 'null')
$$;
comment on function inventory.read_cache(text, text) is
'Internal: what an origin last said to a question, null when nothing; fresh while fresh_seconds is positive.';

create or replace function inventory.claim_flight(p_key text, p_origin text, p_holder uuid, p_seconds int)
returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  p_key := sec.valid_text('key', p_key, 1, 255);
  p_origin := sec.valid_choice('origin', p_origin, array['HBX', 'fixtures']);
  p_holder := sec.valid_uuid('holder', p_holder);
  p_seconds := sec.valid_integer('seconds', p_seconds, 1, 3600);
  insert into inventory.flights as f (key, origin, holder, locked_until)
  values (p_key, p_origin, p_holder, clock_timestamp() + make_interval(secs => p_seconds))
  on conflict (key, origin) do update set holder = excluded.holder, locked_until = excluded.locked_until
    where f.locked_until < clock_timestamp();
  return found;
end;
$$;
comment on function inventory.claim_flight(text, text, uuid, int) is
'Internal: whether this holder may ask the supplier; for some seconds nobody else may.';

create or replace function inventory.land_flight(p_key text, p_origin text, p_holder uuid) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  delete from inventory.flights where key = p_key and origin = p_origin and holder = p_holder
$$;
comment on function inventory.land_flight(text, text, uuid) is 'Internal: lets others ask again.';

create or replace function inventory.write_cache(
  p_key text, p_origin text, p_kind text, p_payload text, p_seconds int, p_holder uuid default null
) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_expires timestamptz;
begin
  p_key := sec.valid_text('key', p_key, 1, 255);
  p_origin := sec.valid_choice('origin', p_origin, array['HBX', 'fixtures']);
  p_kind := sec.valid_choice('kind', p_kind, array['search', 'quote']);
  p_seconds := sec.valid_integer('seconds', p_seconds, 0, 86400);
  begin
    p_payload := p_payload::jsonb::text;
  exception when invalid_text_representation or untranslatable_character or statement_too_complex then
    p_payload := null;
  end;
  if p_payload is null then
    perform sec.refuse_input('payload must be JSON');
  end if;
  v_expires := clock_timestamp() + make_interval(secs => p_seconds);
  insert into inventory.cache (key, origin, kind, payload, fetched_at, expires_at)
  values (p_key, p_origin, p_kind, p_payload::jsonb, clock_timestamp(), v_expires)
  on conflict (key, origin) do update
    set payload = excluded.payload, fetched_at = excluded.fetched_at, expires_at = excluded.expires_at;
  -- In the same transaction, so that waiters find either the flight or the answer.
  perform inventory.land_flight(p_key, p_origin, p_holder);
  return to_char(v_expires at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
end;
$$;
comment on function inventory.write_cache(text, text, text, text, int, uuid) is
'Internal: keeps an answer and ends its flight; returns until when it is fresh.';

create or replace function inventory.purge_cache(p_limit int default 1000) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_purged int;
begin
  p_limit := sec.valid_integer('limit', p_limit, 1, 10000);
  with old as (
    select key, origin from inventory.cache where fetched_at < now() - interval '24 hours'
    order by fetched_at limit p_limit for update skip locked
  )
  delete from inventory.cache c using old where (c.key, c.origin) = (old.key, old.origin);
  get diagnostics v_purged = row_count;
  return v_purged;
end;
$$;
comment on function inventory.purge_cache(int) is 'Internal: removes answers too old to be served even as stale.';

create or replace function inventory.hold_answer(p_hold inventory.holds) returns json
language sql stable
as $$
  select json_build_object(
    'ok', true,
    'request_id', sec.request_id(),
    'source', p_hold.source,
    'hold_ref', p_hold.hold_ref,
    'expires_at', to_char(p_hold.expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'idempotency_key', p_hold.idempotency_key,
    'total_cents', p_hold.total_cents,
    'currency', p_hold.currency
  )
$$;
comment on function inventory.hold_answer(inventory.holds) is 'The body of inventory-hold.';

create or replace function inventory.valid_stay(p_check_in date, p_check_out date, p_pax jsonb) returns jsonb
language plpgsql stable
as $$
declare
  v_nights int;
  v_number bigint;
begin
  v_nights := sec.valid_date('check_out', p_check_out) - sec.valid_date('check_in', p_check_in);
  if v_nights < 1 then
    raise exception using errcode = 'PT400', constraint = 'input_valid', message = 'check_out must be after check_in';
  elsif v_nights > 30 then
    raise exception using errcode = 'PT400', constraint = 'input_valid', message = 'a stay must be at most 30 nights';
  end if;
  p_pax := sec.valid_json('pax', p_pax, 'array', 1000);
  v_number := sec.valid_integer('pax.adults', (p_pax ->> 0)::bigint, 1, 20);
  v_number := sec.valid_integer('pax.children', (p_pax ->> 1)::bigint, 0, 20);
  if jsonb_typeof(p_pax -> 2) is distinct from 'array' or jsonb_array_length(p_pax -> 2) not in (0, v_number) then
    raise exception using
      errcode = 'PT400', constraint = 'input_valid', message = 'pax.child_ages must give the age of each child';
  end if;
  for v_number in select age::bigint from jsonb_array_elements_text(p_pax -> 2) as ages (age) loop
    v_number := sec.valid_integer('pax.child_ages', v_number, 0, 17);
  end loop;
  return p_pax;
end;
$$;
comment on function inventory.valid_stay(date, date, jsonb) is
'Who travels, [adults, children, [ages]], if that and the nights may be asked for. Raises input_valid.';

create or replace function public.find_hold(
  p_user_id uuid,
  p_supplier_hotel_id text,
  p_plan_id text,
  p_check_in date,
  p_check_out date,
  p_pax jsonb,
  p_idempotency_key text
) returns json
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_hold inventory.holds;
begin
  p_user_id := sec.valid_uuid('user_id', p_user_id);
  p_supplier_hotel_id := sec.valid_text('supplier_hotel_id', p_supplier_hotel_id, 1, 64);
  p_plan_id := sec.valid_text('plan_id', p_plan_id, 1, 128);
  p_pax := inventory.valid_stay(p_check_in, p_check_out, p_pax);
  p_idempotency_key := sec.valid_text('idempotency_key', p_idempotency_key, 1, 255);
  select * into v_hold from inventory.holds where user_id = p_user_id and idempotency_key = p_idempotency_key;
  if not found then
    return 'null'::json;
  end if;
  if (v_hold.supplier_hotel_id, v_hold.plan_id, v_hold.check_in, v_hold.check_out, v_hold.pax)
    is distinct from (p_supplier_hotel_id, p_plan_id, p_check_in, p_check_out, p_pax) then
    raise exception using
      errcode = 'PT409', constraint = 'hold_key_reused',
      message = 'The idempotency key belongs to a hold of something else';
  end if;
  return inventory.hold_answer(v_hold);
end;
$$;
comment on function public.find_hold(uuid, text, text, date, date, jsonb, text) is
'Internal: a user''s hold of an idempotency key, null when there is none; raises hold_key_reused when it holds '
'something else.';

create or replace function public.place_hold(
  p_user_id uuid,
  p_supplier_hotel_id text,
  p_plan_id text,
  p_check_in date,
  p_check_out date,
  p_pax jsonb,
  p_idempotency_key text,
  p_source text,
  p_total_cents bigint,
  p_currency text,
  p_quote jsonb
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_hold inventory.holds;
  v_id uuid := gen_random_uuid();
begin
  perform sec.require_service();
  p_user_id := sec.valid_uuid('user_id', p_user_id);
  p_supplier_hotel_id := sec.valid_text('supplier_hotel_id', p_supplier_hotel_id, 1, 64);
  p_plan_id := sec.valid_text('plan_id', p_plan_id, 1, 128);
  p_pax := inventory.valid_stay(p_check_in, p_check_out, p_pax);
  p_idempotency_key := sec.valid_text('idempotency_key', p_idempotency_key, 1, 255);
  p_source := sec.valid_choice('source', p_source, array['HBX', 'fixtures']);
  p_total_cents := sec.valid_integer('total_cents', p_total_cents, 0, 1000000000000);
  p_currency := sec.valid_pattern(p_currency, '^[A-Z]{3}$', 'currency must be three capital letters (ISO 4217)');
  p_quote := sec.valid_json('quote', p_quote, 'object', 100000);
  insert into inventory.holds (
    id, user_id, idempotency_key, hold_ref, source, supplier_hotel_id, plan_id, check_in, check_out, pax, total_cents,
    currency, quote, expires_at
  )
  values (
    v_id, p_user_id, p_idempotency_key, case p_source when 'fixtures' then 'mock-' else 'hold-' end || v_id, p_source,
    p_supplier_hotel_id, p_plan_id, p_check_in, p_check_out, p_pax, p_total_cents, p_currency, p_quote,
    now() + interval '15 minutes'
  )
  on conflict (user_id, idempotency_key) do nothing
  returning * into v_hold;
  if not found then
    return public.find_hold(
      p_user_id, p_supplier_hotel_id, p_plan_id, p_check_in, p_check_out, p_pax, p_idempotency_key
    );
  end if;
  perform audit.record('inventory.held', jsonb_build_object(
    'hold_id', v_id, 'hold_ref', v_hold.hold_ref, 'source', p_source, 'total_cents', p_total_cents,
    'currency', p_currency
  ));
  return inventory.hold_answer(v_hold);
end;
$$;
comment on function public.place_hold(uuid, text, text, date, date, jsonb, text, text, bigint, text, jsonb) is
'Service: keeps a rate at the price that the caller was told, for 15 minutes, once for each idempotency key. It is '
'not a booking.';
