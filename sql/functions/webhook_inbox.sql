-- The inbox itself: what comes in is kept, tried, and tried again until it can be applied.

create or replace function payment.apply_event(p_event payment.webhook_events) returns uuid
language plpgsql volatile
as $$
declare
  v_payment payment.payments := payment.payment_of_event(p_event);
begin
  if starts_with(p_event.type, 'payment_intent.') then
    perform payment.apply_intent_event(v_payment, p_event);
  elsif p_event.type like 'charge.dispute.%' then
    perform payment.apply_dispute_event(v_payment, p_event);
  elsif p_event.type <> 'charge.refunded' then
    perform payment.apply_refund_event(v_payment, p_event);
  elsif p_event.amount_cents > (
    select coalesce(sum(amount_cents), 0) from payment.refunds where payment_id = v_payment.id
  ) then
    -- The refund's own event has the facts; this one only shows that a refund exists.
    raise exception using
      errcode = 'PT409', constraint = 'event_in_order', message = 'the provider refunded more than is known here';
  end if;
  return v_payment.id;
end;
$$;
comment on function payment.apply_event(payment.webhook_events) is
'Applies one event to its payment and returns the payment''s id. Raises what keeps it from being applied now.';

create or replace function payment.try_event(p_event payment.webhook_events) returns payment.webhook_events
language plpgsql volatile
as $$
declare
  v_payment_id uuid;
  v_error text;
begin
  begin
    v_payment_id := payment.apply_event(p_event);
  exception
    when serialization_failure or deadlock_detected or lock_not_available or query_canceled then
      raise;
    when others then
      -- Only messages of our own rules may be shown.
      v_error := case when sqlstate like 'PT%' then sqlerrm else 'SQLSTATE ' || sqlstate end;
  end;
  update payment.webhook_events
  set result = case when v_error is null then 'applied' else 'deferred' end,
    payment_id = coalesce(v_payment_id, payment_id),
    attempts = attempts + 1,
    last_error = v_error,
    next_attempt_at = case when v_error is not null and attempts < 20 then now() + payment.backoff(attempts) end
  where id = p_event.id
  returning * into p_event;
  if v_error is null then
    perform ops.resolve_exception('webhook', p_event.id);
  else
    perform ops.open_exception('webhook', p_event.id, v_error, 'STRIPE');
  end if;
  perform audit.record('webhook.' || p_event.result, jsonb_build_object(
    'event_id', p_event.id, 'type', p_event.type, 'payment_id', p_event.payment_id
  ));
  return p_event;
end;
$$;
comment on function payment.try_event(payment.webhook_events) is
'Applies an event, or leaves it deferred with its error, an exception and its next try; a failed try changes nothing '
'else.';

create or replace function payment.apply_deferred(p_payment_id uuid) returns void
language plpgsql volatile
as $$
declare
  v_intent_id text := (select intent_id from payment.payments where id = p_payment_id);
  v_event payment.webhook_events;
  v_progress boolean := true;
begin
  while v_progress loop
    v_progress := false;
    for v_event in
      select * from payment.webhook_events
      where result = 'deferred' and (intent_id = v_intent_id or metadata_payment_id = p_payment_id)
      order by occurred_at, id
    loop
      v_event := payment.try_event(v_event);
      v_progress := v_progress or v_event.result = 'applied';
    end loop;
  end loop;
end;
$$;
comment on function payment.apply_deferred(uuid) is
'Tries a payment''s deferred events again until no more can be applied.';

create or replace function public.apply_payment_event(
  p_event_id text,
  p_type text,
  p_body jsonb,
  p_signed boolean,
  p_occurred_at timestamptz default null,
  p_object_id text default null,
  p_payment_id uuid default null,
  p_intent_id text default null,
  p_refund_id uuid default null,
  p_amount_cents bigint default null,
  p_currency text default null,
  p_object_status text default null,
  p_captured_cents bigint default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_event payment.webhook_events;
  v_known boolean := p_type in (
    'payment_intent.succeeded', 'payment_intent.payment_failed', 'payment_intent.processing', 'payment_intent.canceled',
    'payment_intent.requires_action', 'charge.refunded', 'charge.refund.updated', 'refund.created', 'refund.updated',
    'refund.failed', 'charge.dispute.created', 'charge.dispute.closed'
  );
begin
  perform sec.require_service();
  p_event_id := sec.valid_text('id', p_event_id, 1, 255);
  p_type := sec.valid_text('type', p_type, 1, 255);
  p_body := sec.valid_json('data', p_body, 'object', 100000);
  p_signed := sec.valid_flag('signed', p_signed);
  p_occurred_at := sec.valid_time('created', p_occurred_at, p_optional => true);
  p_object_id := sec.valid_text('object_id', p_object_id, 1, 255, p_optional => true);
  p_intent_id := sec.valid_text('intent_id', p_intent_id, 1, 255, p_optional => true);
  p_currency := sec.valid_text('currency', p_currency, 1, 255, p_optional => true);
  p_object_status := sec.valid_text('object_status', p_object_status, 1, 255, p_optional => true);
  insert into payment.webhook_events (
    id, type, signed, object_id, intent_id, metadata_payment_id, metadata_refund_id, amount_cents, currency,
    object_status,
    captured_cents, occurred_at, body, result
  ) values (
    p_event_id, p_type, p_signed, p_object_id, p_intent_id, p_payment_id, p_refund_id, p_amount_cents, p_currency,
    p_object_status, p_captured_cents, coalesce(p_occurred_at, now()), p_body,
    case when v_known then 'deferred' else 'ignored' end
  )
  on conflict do nothing
  returning * into v_event;
  if not found then
    return payment.webhook_answer('duplicate');
  end if;
  if v_known then
    v_event := payment.try_event(v_event);
    if v_event.result = 'applied' then
      perform payment.apply_deferred(v_event.payment_id);
    end if;
  end if;
  return payment.webhook_answer(v_event.result, v_event);
end;
$$;
comment on function public.apply_payment_event(
  text, text, jsonb, boolean, timestamptz, text, uuid, text, uuid, bigint, text, text, bigint
) is
'Service: stores a provider''s event once and applies it; answers applied, duplicate, ignored or deferred.';

create or replace function payment.webhook_answer(p_result text, p_event payment.webhook_events default null)
returns json
language sql stable
as $$
  select json_strip_nulls(json_build_object(
    'ok', true,
    'request_id', sec.request_id(),
    'result', p_result,
    'payment_id', p_event.payment_id,
    'amount_cents', p_event.amount_cents,
    'currency', upper(p_event.currency)
  ))
$$;
comment on function payment.webhook_answer(text, payment.webhook_events) is 'The body of stripe-webhook.';

create or replace function public.retry_webhook_events(p_limit int default 50) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_event payment.webhook_events;
  v_retried int := 0;
begin
  p_limit := sec.valid_integer('limit', p_limit, 1, 10000);
  -- One sweep at a time instead of locks on events, because others lock the payment before its events. Any login could
  -- hold an advisory lock; this one needs the right to write the table. A waiter that times out raises, so that a
  -- hanging session is noticed.
  lock table payment.transitions in share update exclusive mode;
  for v_event in
    select * from payment.webhook_events where next_attempt_at <= now() order by next_attempt_at limit p_limit
  loop
    v_event := payment.try_event(v_event);
    v_retried := v_retried + 1;
  end loop;
  return v_retried;
end;
$$;
comment on function public.retry_webhook_events(int) is
'Internal: tries deferred events whose time has come and returns how many; any number of workers may call it at once.';
