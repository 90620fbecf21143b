-- The steps of a refund as HTTP, psql and the worker take them (docs/api.md, Payments and refunds).

create or replace function payment.refund_answer(p_refund payment.refunds) returns json
language sql stable
as $$
  select json_strip_nulls(json_build_object(
    'ok', true,
    'request_id', sec.request_id(),
    'payment_id', p_refund.payment_id,
    'refund_id', p_refund.id,
    'amount_cents', p_refund.amount_cents,
    'refunded_cents', p.refunded_cents,
    'currency', p_refund.currency,
    'status', case p_refund.status when 'succeeded' then 'refunded' else p_refund.status end,
    'provider_ref', p.provider_ref,
    'mode', p.mode,
    'payment_intent', p.intent_id,
    'provider_refund_id', p_refund.provider_refund_id,
    'reason', p_refund.reason,
    'requested_at', p_refund.requested_at
  ))
  from payment.payments p where p.id = p_refund.payment_id
$$;
comment on function payment.refund_answer(payment.refunds) is
'The body of payments-refund, and what a provider must know of a refund.';

create or replace function payment.refund_key(p_function text, p_chosen text) returns text
language plpgsql stable
as $$
declare
  v_space text := format('%s:%s:', p_function, sec.actor());
begin
  p_chosen := sec.valid_text('idempotency_key', p_chosen, 1, 400 - length(v_space), p_optional => true);
  -- The release before this one sends the whole of it.
  return case when starts_with(p_chosen, v_space) then p_chosen else v_space || p_chosen end;
end;
$$;
comment on function payment.refund_key(text, text) is
'The key under which a caller''s refund is kept: each function and caller has keys of their own, apart from those of '
'escrows.';

create or replace function public.request_refund(
  p_payment_id uuid, p_amount_cents bigint default null, p_reason text default null, p_idempotency_key text default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform sec.require_service();
  p_payment_id := sec.valid_uuid('payment_id', p_payment_id);
  p_amount_cents := sec.valid_amount('amount_cents', p_amount_cents, p_optional => true);
  p_reason := sec.valid_text('reason', p_reason, 1, 200, p_optional => true);
  p_idempotency_key := payment.refund_key('payments-refund', p_idempotency_key);
  return payment.refund_answer(payment.request_refund(
    p_payment_id, p_amount_cents, p_reason, 'request', p_idempotency_key, now() + interval '60 seconds'
  ));
end;
$$;
comment on function public.request_refund(uuid, bigint, text, text) is
'Service: asks for a refund of a captured payment, all that is left without an amount. The caller, or a minute later '
'the worker, makes it at the provider.';

create or replace function public.request_itinerary_refund(
  p_itinerary_id uuid, p_amount_cents bigint, p_reason text, p_idempotency_key text default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_payment_id uuid;
begin
  perform sec.require_ops();
  p_itinerary_id := sec.valid_uuid('itinerary_id', p_itinerary_id);
  p_amount_cents := sec.valid_amount('amount_cents', p_amount_cents);
  p_reason := sec.valid_text('reason', p_reason, 1, 200);
  p_idempotency_key := payment.refund_key('ops-refund', p_idempotency_key);
  if ops.flag('OPS_REFUND_MODE') = 'mock' then
    return json_build_object('ok', true, 'request_id', 'mock-' || sec.request_id());
  end if;
  select coalesce(
    (select payment_id from payment.refunds where idempotency_key = p_idempotency_key and status <> 'failed'),
    (
      select id from payment.payments
      where itinerary_id = p_itinerary_id and captured_cents > refunded_cents + refund_pending_cents
      order by created_at desc, id limit 1
    )
  ) into v_payment_id;
  if v_payment_id is null then
    raise exception using errcode = 'PT404', constraint = 'itinerary_paid', message = 'No payment found for itinerary';
  end if;
  return payment.refund_answer(payment.request_refund(
    v_payment_id, p_amount_cents, p_reason, 'request', p_idempotency_key, now() + interval '60 seconds'
  ));
end;
$$;
comment on function public.request_itinerary_refund(uuid, bigint, text, text) is
'Ops: asks for a refund of the itinerary''s newest payment that has something left to refund. While OPS_REFUND_MODE '
'is mock it only checks what it is given.';

create or replace function public.record_refund(
  p_refund_id uuid, p_status text, p_provider_refund_id text default null, p_error text default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_refund payment.refunds;
begin
  if not exists (select from payment.refunds where id = p_refund_id) then
    raise exception using errcode = 'PT404', constraint = 'refund_known', message = 'Refund not found';
  end if;
  v_refund := payment.settle_refund(p_refund_id, p_status, p_provider_refund_id, p_error);
  -- A statement of its own, which sees what the settlement changed.
  return payment.refund_answer(v_refund);
end;
$$;
comment on function public.record_refund(uuid, text, text, text) is
'Internal: what the provider said of a refund: succeeded, failed, or pending (with p_error: its answer is not known).';

create or replace function public.claim_due_refunds(p_limit int default 20) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  -- A good half day for an outcome that is not known, five days for one that is pending at the provider.
  c_tries constant int := 20;
  v_refund payment.refunds;
  v_due json;
begin
  p_limit := sec.valid_integer('limit', p_limit, 1, 10000);
  for v_refund in
    update payment.refunds set next_attempt_at = null
    where id in (
      select id from payment.refunds where next_attempt_at <= now() and attempts >= c_tries limit p_limit
        for update skip locked
    )
    returning *
  loop
    perform ops.open_exception(
      'refund', v_refund.id::text, format('no outcome after %s tries: %s', c_tries,
      coalesce(v_refund.last_error, 'pending there')), 'STRIPE'
    );
    perform audit.record(
      'refund.given_up', jsonb_build_object('refund_id', v_refund.id, 'payment_id', v_refund.payment_id)
    );
  end loop;
  with due as (
    select id from payment.refunds
    where next_attempt_at <= now() and attempts < c_tries
    order by next_attempt_at limit p_limit for update skip locked
  ), claimed as (
    update payment.refunds r
    set attempts = attempts + 1, next_attempt_at = now() + payment.backoff(attempts)
    from due where r.id = due.id
    returning r.requested_at, payment.refund_answer(r) as answer
  )
  select coalesce(json_agg(answer order by requested_at), '[]') into v_due from claimed;
  return v_due;
end;
$$;
comment on function public.claim_due_refunds(int) is
'Internal: pending refunds whose next try has come, leased until the one after; skips what another worker holds. '
'After the last try a refund stays pending, its money set aside, until its event comes or ops try again.';
