-- Payments: one row per intended payment, moved only along payment.transitions (docs/api.md, Payments and refunds).

create or replace function payment.guard_transition() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if new.status <> old.status
    and not exists (select from payment.transitions where from_status = old.status and to_status = new.status) then
    raise exception using
      errcode = 'PT409', constraint = 'payment_transition',
      message = format('A %s payment cannot become %s', old.status, new.status);
  end if;
  if (new.id, new.itinerary_id, new.amount_cents, new.currency, new.idempotency_key, new.mode)
    is distinct from (old.id, old.itinerary_id, old.amount_cents, old.currency, old.idempotency_key, old.mode) then
    raise exception using
      errcode = 'PT409', constraint = 'payment_terms_fixed', message = 'A payment''s terms never change';
  end if;
  if new.intent_id is distinct from old.intent_id and old.intent_id is not null then
    raise exception using
      errcode = 'PT409', constraint = 'payment_intent_fixed', message = 'The payment already has another intent';
  end if;
  new.updated_at := now();
  return new;
end;
$$;
comment on function payment.guard_transition() is
'Trigger: only legal moves; the terms and the intent of a payment never change.';

create or replace trigger guard_transition before update on payment.payments
for each row execute function payment.guard_transition();
create or replace trigger refuse_removal before delete or truncate on payment.payments
for each statement execute function audit.refuse_change();

create or replace function payment.locked(p_payment_id uuid) returns payment.payments
language plpgsql volatile
as $$
declare
  v_payment payment.payments;
begin
  select * into v_payment from payment.payments where id = p_payment_id for update;
  if not found then
    raise exception using errcode = 'PT404', constraint = 'payment_known', message = 'Payment not found';
  end if;
  return v_payment;
end;
$$;
comment on function payment.locked(uuid) is 'The payment, locked until the transaction ends; raises payment_known.';

create or replace function payment.default_key(p_itinerary_id uuid, p_amount_cents bigint, p_currency text) returns text
language sql stable
as $$
  select left(encode(sha256(convert_to(concat_ws(':', p_itinerary_id, p_amount_cents, p_currency), 'UTF8')), 'hex'), 48)
$$;
comment on function payment.default_key(uuid, bigint, text) is
'The key of a payment whose caller chose none: 48 hex digits of SHA-256 over itinerary:cents:CURRENCY.';

create or replace function payment.ensure_payment_record(
  p_itinerary_id uuid, p_amount_cents bigint, p_currency text, p_idempotency_key text default null,
  p_derived boolean default false
) returns payment.payments
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_default text;
  v_payment payment.payments;
begin
  p_amount_cents := sec.valid_amount('amount_cents', p_amount_cents);
  p_currency := sec.valid_currency('currency', p_currency);
  if not p_derived then
    p_itinerary_id := sec.valid_uuid('itinerary_id', p_itinerary_id);
    p_idempotency_key := sec.valid_text('idempotency_key', p_idempotency_key, 1, 64, p_optional => true);
    v_default := payment.default_key(p_itinerary_id, p_amount_cents, p_currency);
    -- Callers must not choose keys of this form, because they could keep its owner from paying.
    if p_idempotency_key <> v_default and p_idempotency_key ~ '^([0-9a-f]{48}$|contribution:)' then
      raise exception using
        errcode = 'PT400', constraint = 'payment_key_chosen',
        message = 'idempotency_key has the form of a key that is derived, but not from these terms; choose another one';
    end if;
    p_idempotency_key := coalesce(p_idempotency_key, v_default);
  end if;
  if ops.flag('USE_FIXTURES') = '0' and p_itinerary_id is not null
    and not exists (select from booking.itineraries where id = p_itinerary_id) then
    raise exception using errcode = 'PT404', constraint = 'itinerary_known', message = 'Itinerary not found';
  end if;
  insert into payment.payments (itinerary_id, amount_cents, currency, idempotency_key, mode, next_attempt_at)
  values (
    p_itinerary_id, p_amount_cents, p_currency, p_idempotency_key,
    case ops.flag('STRIPE_MOCK_MODE') when '1' then 'mock' else 'live' end, now() + interval '60 seconds'
  )
  on conflict (idempotency_key) do nothing
  returning * into v_payment;
  if found then
    perform audit.record('payment.created', jsonb_build_object(
      'payment_id', v_payment.id, 'amount_cents', p_amount_cents, 'currency', p_currency, 'mode', v_payment.mode
    ));
    return v_payment;
  end if;
  select * into v_payment from payment.payments where idempotency_key = p_idempotency_key;
  if (v_payment.itinerary_id, v_payment.amount_cents, v_payment.currency)
    is distinct from (p_itinerary_id, p_amount_cents, p_currency) then
    raise exception using
      errcode = 'PT409',
      constraint = 'payment_key_reused',
      message = 'The idempotency key belongs to a payment with other terms';
  elsif p_idempotency_key = v_default and (
    v_payment.status = 'voided' or v_payment.status = 'refunded' and v_payment.refunded_cents = v_payment.captured_cents
  ) then
    raise exception using
      errcode = 'PT409',
      constraint = 'payment_over',
      message = format('The payment of these terms is %s; send an idempotency_key to pay again', v_payment.status);
  end if;
  return v_payment;
end;
$$;
comment on function payment.ensure_payment_record(uuid, bigint, text, text, boolean) is
'The payment of an idempotency key that its caller chose (payment.default_key when none), or, p_derived, that we '
'made; made when new. Raises payment_key_chosen for a chosen key that looks like ours, payment_key_reused, '
'itinerary_known, and payment_over when the default key''s payment is voided or fully refunded. The worker gives it '
'an intent a minute later unless payment.set_intent has.';

create or replace function public.ensure_payment_record(
  p_itinerary_id uuid, p_amount_cents bigint, p_currency text, p_idempotency_key text default null
) returns payment.payments
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform sec.require_ops();
  return payment.ensure_payment_record(p_itinerary_id, p_amount_cents, p_currency, p_idempotency_key);
end;
$$;
comment on function public.ensure_payment_record(uuid, bigint, text, text) is
'Ops: the payment record of an idempotency key, made when new, as start_checkout makes it.';

create or replace function payment.set_intent(p_payment payment.payments, p_intent_id text) returns payment.payments
language plpgsql volatile
as $$
begin
  if p_payment.intent_id is not distinct from p_intent_id then
    return p_payment;
  end if;
  update payment.payments
  set intent_id = p_intent_id, next_attempt_at = null, last_error = null,
    -- Only a refused creation fails without an intent.
    status = case status when 'failed' then 'processing' else status end, status_at = '-infinity'
  where id = p_payment.id
  returning * into p_payment;
  perform fin.append_entry(p_payment, 'intent_created', p_payment.amount_cents, p_intent_id);
  perform audit.record(
    'payment.intent_created', jsonb_build_object('payment_id', p_payment.id, 'intent_id', p_intent_id)
  );
  perform ops.resolve_exception('payment', p_payment.id::text);
  return p_payment;
end;
$$;
comment on function payment.set_intent(payment.payments, text) is
'Gives a locked payment its intent and opens its ledger; the same intent again changes nothing, another raises '
'payment_intent_fixed.';

create or replace function payment.book_fee(
  p_payment payment.payments, p_amount_cents bigint, p_currency text, p_provider_ref text,
  p_occurred_at timestamptz default null
) returns fin.entries
language sql volatile
as $$
  select * from fin.post(
    p_payment.id, 'fee_charged', p_amount_cents, p_currency, p_provider_ref,
    fin.transfer('fees:' || p_currency, 'provider_clearing:' || p_currency, p_amount_cents), p_payment.itinerary_id,
    p_occurred_at
  )
$$;
comment on function payment.book_fee(payment.payments, bigint, text, text, timestamptz) is
'Books what the provider charged for a locked payment, in the currency that it settles in; p_provider_ref is its own '
'record of it.';

create or replace function payment.capture(
  p_payment payment.payments, p_occurred_at timestamptz default null, p_captured_cents bigint default null
) returns payment.payments
language plpgsql volatile
as $$
begin
  if p_payment.captured_cents > 0 then
    return p_payment;
  end if;
  update payment.payments
  set status = 'succeeded', captured_cents = coalesce(p_captured_cents, amount_cents), provider_ref = intent_id,
    next_attempt_at = null, last_error = null
  where id = p_payment.id
  returning * into p_payment;
  perform fin.append_entry(
    p_payment, 'capture_succeeded', p_payment.captured_cents, p_payment.intent_id, 'provider_clearing', 'payment',
    p_occurred_at
  );
  perform audit.record(
    'payment.captured', jsonb_build_object('payment_id', p_payment.id, 'amount_cents', p_payment.captured_cents)
  );
  perform ops.resolve_exception('payment', p_payment.id::text);
  return p_payment;
end;
$$;
comment on function payment.capture(payment.payments, timestamptz, bigint) is
'Books that a locked payment''s money was taken, all of it or p_captured_cents: status, captured_cents, ledger, '
'audit; again changes nothing.';
