-- Payments: one row per intended payment, moved only along payment.transitions (API.md section 3).

create or replace function payment.guard_transition() returns trigger
language plpgsql volatile
as $$
begin
  if new.status <> old.status
    and not exists (select from payment.transitions where from_status = old.status and to_status = new.status) then
    raise exception using
      errcode = 'PT409', constraint = 'payment_transition', message = format('A %s payment cannot become %s', old.status, new.status);
  end if;
  if (new.id, new.itinerary_id, new.amount_cents, new.currency, new.idempotency_key, new.mode)
    is distinct from (old.id, old.itinerary_id, old.amount_cents, old.currency, old.idempotency_key, old.mode) then
    raise exception using errcode = 'PT409', constraint = 'payment_terms_fixed', message = 'A payment''s terms never change';
  end if;
  new.updated_at := now();
  return new;
end;
$$;
comment on function payment.guard_transition() is 'Trigger: only legal moves, and the terms of a payment never change.';

create or replace trigger guard_transition before update on payment.payments
for each row execute function payment.guard_transition();

create or replace function payment.ensure_payment_record(
  p_itinerary_id uuid, p_amount_cents bigint, p_currency text, p_idempotency_key text default null
) returns payment.payments
language plpgsql volatile security definer set search_path = pg_catalog
as $$
declare
  v_currency text := upper(p_currency);
  v_key text := coalesce(
    p_idempotency_key,
    left(encode(sha256(convert_to(concat_ws(':', p_itinerary_id, p_amount_cents, v_currency), 'UTF8')), 'hex'), 48)
  );
  v_payment payment.payments;
begin
  if ops.flag('USE_FIXTURES') = '0' and not exists (select from booking.itineraries where id = p_itinerary_id) then
    raise exception using errcode = 'PT404', constraint = 'itinerary_known', message = 'Itinerary not found';
  end if;
  insert into payment.payments (itinerary_id, amount_cents, currency, idempotency_key, mode)
  values (
    p_itinerary_id, p_amount_cents, v_currency, v_key,
    case ops.flag('STRIPE_MOCK_MODE') when '1' then 'mock' else 'live' end
  )
  on conflict (idempotency_key) do nothing
  returning * into v_payment;
  if found then
    perform audit.record('payment.created', jsonb_build_object(
      'payment_id', v_payment.id, 'amount_cents', p_amount_cents, 'currency', v_currency, 'mode', v_payment.mode
    ));
    return v_payment;
  end if;
  select * into v_payment from payment.payments where idempotency_key = v_key;
  if (v_payment.itinerary_id, v_payment.amount_cents, v_payment.currency)
    is distinct from (p_itinerary_id, p_amount_cents, v_currency) then
    raise exception using
      errcode = 'PT409',
      constraint = 'payment_key_reused',
      message = 'The idempotency key belongs to a payment with other terms';
  end if;
  return v_payment;
end;
$$;
comment on function payment.ensure_payment_record(uuid, bigint, text, text) is
'The payment of an idempotency key, made when new; the default key is 48 hex digits of SHA-256 over itinerary:cents:CURRENCY.';

create or replace function payment.checkout_answer(p_payment payment.payments, p_client_secret text) returns json
language sql stable
as $$
  select json_strip_nulls(json_build_object(
    'ok', true,
    'payment_id', p_payment.id,
    'payment_intent', p_payment.intent_id,
    'payment_intent_id', p_payment.intent_id,
    'idempotency', p_payment.idempotency_key,
    'request_id', sec.request_id(),
    'status', p_payment.status,
    'provider_status', p_payment.status,
    'amount_cents', p_payment.amount_cents,
    'currency', p_payment.currency,
    'client_secret', p_client_secret,
    'mode', p_payment.mode
  ))
$$;
comment on function payment.checkout_answer(payment.payments, text) is 'The body of bff-checkout.';

create or replace function public.start_checkout(
  p_itinerary_id uuid, p_amount_cents bigint, p_currency text, p_idempotency_key text default null
) returns json
language sql volatile security definer set search_path = pg_catalog
as $$
  select payment.checkout_answer(
    payment.ensure_payment_record(p_itinerary_id, p_amount_cents, p_currency, p_idempotency_key), null
  )
$$;
comment on function public.start_checkout(uuid, bigint, text, text) is
'Any caller: records a payment to be made; its intent follows from the provider.';

create or replace function public.record_payment_intent(p_payment_id uuid, p_intent_id text, p_client_secret text default null)
returns json
language plpgsql volatile security definer set search_path = pg_catalog
as $$
declare
  v_payment payment.payments;
begin
  select * into v_payment from payment.payments where id = p_payment_id for update;
  if not found then
    raise exception using errcode = 'PT404', constraint = 'payment_known', message = 'Payment not found';
  end if;
  if v_payment.intent_id is distinct from p_intent_id then
    if v_payment.intent_id is not null then
      raise exception using
        errcode = 'PT409', constraint = 'payment_intent_fixed', message = 'The payment already has another intent';
    end if;
    update payment.payments set intent_id = p_intent_id where id = p_payment_id returning * into v_payment;
    perform fin.append_entry(p_payment_id, 'intent_created', v_payment.amount_cents, p_intent_id);
    perform audit.record('payment.intent_created', jsonb_build_object('payment_id', p_payment_id, 'intent_id', p_intent_id));
  end if;
  return payment.checkout_answer(v_payment, p_client_secret);
end;
$$;
comment on function public.record_payment_intent(uuid, text, text) is
'Service: stores the provider''s intent for a payment and opens its ledger; the same intent again changes nothing.';
