-- Checkout: the steps around the provider's intent (docs/api.md, Payments and refunds), each its own transaction.

create or replace function payment.checkout_answer(
  p_payment payment.payments, p_client_secret text default null, p_provider_status text default null
) returns json
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
    'provider_status', coalesce(p_provider_status, p_payment.status),
    'amount_cents', p_payment.amount_cents,
    'currency', p_payment.currency,
    'client_secret', p_client_secret,
    'mode', p_payment.mode,
    'provider_key', case when p_payment.intent_id is null then payment.intent_key(p_payment) end
  ))
$$;
comment on function payment.checkout_answer(payment.payments, text, text) is
'The body of bff-checkout; before there is an intent, with the key to ask the provider under.';

create or replace function payment.intent_key(p_payment payment.payments) returns text
language sql immutable
as $$
  select 'pi:create:' || p_payment.id::text
    || case when p_payment.intent_try > 1 then ':' || p_payment.intent_try::text else '' end
$$;
comment on function payment.intent_key(payment.payments) is
'The provider''s idempotency key of this payment''s intent. After a definite refusal it is another one: providers '
'replay refusals.';

create or replace function public.start_checkout(
  p_itinerary_id uuid, p_amount_cents bigint, p_currency text, p_idempotency_key text default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return payment.checkout_answer(
    payment.ensure_payment_record(p_itinerary_id, p_amount_cents, p_currency, p_idempotency_key)
  );
end;
$$;
comment on function public.start_checkout(uuid, bigint, text, text) is
'Any caller: records a payment to be made; its intent follows from the provider.';

create or replace function public.record_payment_intent(
  p_payment_id uuid, p_intent_id text, p_client_secret text default null, p_provider_status text default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_payment payment.payments;
begin
  perform sec.require_service();
  v_payment := payment.set_intent(payment.locked(p_payment_id), p_intent_id);
  perform payment.apply_deferred(v_payment.id);
  return payment.checkout_answer(v_payment, p_client_secret, p_provider_status);
end;
$$;
comment on function public.record_payment_intent(uuid, text, text, text) is
'Service: tells the books of an intent that the provider made for a payment, and opens its ledger; what the provider '
'said of it before is applied. The same intent again changes nothing. The client secret is answered, never stored.';

create or replace function public.record_intent_failure(p_payment_id uuid, p_error text, p_definite boolean)
returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_payment payment.payments := payment.locked(p_payment_id);
begin
  if v_payment.intent_id is null then
    if p_definite then
      perform fin.append_entry(
        v_payment, 'capture_failed', v_payment.amount_cents, payment.intent_key(v_payment), p_note => p_error
      );
      perform audit.record('payment.failure', jsonb_build_object('payment_id', v_payment.id, 'error', p_error));
    else
      perform audit.record('payment.intent_unknown', jsonb_build_object('payment_id', v_payment.id, 'error', p_error));
    end if;
    update payment.payments
    set last_error = p_error,
      status = case when p_definite then 'failed' else status end,
      intent_try = intent_try + p_definite::int,
      next_attempt_at = case when not p_definite then next_attempt_at end
    where id = p_payment_id
    returning * into v_payment;
    perform ops.open_exception('payment', v_payment.id::text, 'the provider made no intent: ' || p_error, 'STRIPE');
  end if;
  return payment.checkout_answer(v_payment);
end;
$$;
comment on function public.record_intent_failure(uuid, text, boolean) is
'Internal: the provider refused to make an intent (p_definite: the payment failed, asking again starts anew) or its '
'answer is not known (the worker asks again under the same key). p_error is a code.';

create or replace function public.claim_due_intents(p_limit int default 20) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_due json;
begin
  p_limit := sec.valid_integer('limit', p_limit, 1, 10000);
  -- Providers forget keys after a day. An intent that was never recorded cannot be paid, because nobody has its secret.
  perform public.record_intent_failure(id, 'abandoned', true)
  from payment.payments
  where next_attempt_at <= now() and intent_id is null and status = 'processing'
    and created_at < now() - interval '23 hours';
  with due as (
    select id from payment.payments
    where next_attempt_at <= now() and intent_id is null and status = 'processing'
    order by next_attempt_at limit p_limit for update skip locked
  ), claimed as (
    update payment.payments p
    set attempts = attempts + 1, next_attempt_at = now() + payment.backoff(attempts)
    from due where p.id = due.id
    returning p.created_at, payment.checkout_answer(p) as answer
  )
  select coalesce(json_agg(answer order by created_at), '[]') into v_due from claimed;
  return v_due;
end;
$$;
comment on function public.claim_due_intents(int) is
'Internal: payments whose intent is still to be made, leased until their next try; skips what another worker holds.';

create or replace function payment.backoff(p_attempts int) returns interval
language sql immutable
as $$ select least(interval '1 hour', interval '1 minute' * power(2, least(p_attempts, 10))) $$;
comment on function payment.backoff(int) is
'How long after its n-th try something is tried again: 1 minute doubled up to an hour.';
