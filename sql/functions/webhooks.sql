-- The webhook inbox: an event is stored and applied in one transaction; repeated or late events change nothing.

create or replace trigger refuse_removal before delete or truncate on payment.webhook_events
for each statement execute function audit.refuse_change();

create or replace function payment.find_for_event(p_payment_id uuid, p_intent_id text) returns payment.payments
language sql volatile
as $$
  select * from payment.payments
  where intent_id = p_intent_id or (p_intent_id is null and id = p_payment_id)
  for update
$$;
comment on function payment.find_for_event(uuid, text) is
'The payment an event speaks of, locked: by the provider''s intent first, by our id in its metadata second, never by amount.';

create or replace function payment.webhook_answer(p_result text, p_payment payment.payments default null) returns json
language sql stable
as $$
  select json_strip_nulls(json_build_object(
    'ok', true,
    'request_id', sec.request_id(),
    'result', p_result,
    'payment_id', p_payment.id,
    'amount_cents', p_payment.amount_cents,
    'currency', p_payment.currency
  ))
$$;
comment on function payment.webhook_answer(text, payment.payments) is 'The body of stripe-webhook.';

create or replace function public.apply_payment_event(
  p_event_id text,
  p_type text,
  p_body jsonb,
  p_payment_id uuid default null,
  p_intent_id text default null,
  p_amount_cents bigint default null,
  p_currency text default null,
  p_occurred_at timestamptz default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog
as $$
declare
  v_payment payment.payments;
  v_result text;
begin
  insert into payment.webhook_events (id, type, object_id, occurred_at, result, body)
  values (p_event_id, p_type, p_intent_id, coalesce(p_occurred_at, now()), 'ignored', p_body)
  on conflict do nothing;
  if not found then
    return payment.webhook_answer('duplicate');
  end if;
  if p_type not in ('payment_intent.succeeded', 'payment_intent.payment_failed', 'payment_intent.processing',
    'payment_intent.requires_action', 'payment_intent.canceled') then
    return payment.webhook_answer('ignored');
  end if;
  v_payment := payment.find_for_event(p_payment_id, p_intent_id);
  if v_payment.id is null then
    v_result := 'deferred';
    perform ops.open_exception('webhook', p_event_id, 'no payment has this intent');
  elsif coalesce(p_amount_cents, v_payment.amount_cents) <> v_payment.amount_cents
    or coalesce(upper(p_currency), v_payment.currency) <> v_payment.currency then
    v_result := 'deferred';
    perform ops.open_exception('webhook', p_event_id, 'amount or currency differs from the payment');
  else
    v_result := 'applied';
    perform payment.apply_intent_event(v_payment, p_type, p_occurred_at);
  end if;
  update payment.webhook_events set result = v_result, payment_id = v_payment.id where id = p_event_id;
  perform audit.record('webhook.' || v_result, jsonb_build_object(
    'event_id', p_event_id, 'type', p_type, 'payment_id', v_payment.id
  ));
  return payment.webhook_answer(v_result, v_payment);
end;
$$;
comment on function public.apply_payment_event(text, text, jsonb, uuid, text, bigint, text, timestamptz) is
'Service: stores a provider''s event once and applies it; answers applied, duplicate, ignored or deferred (API.md section 3).';

create or replace function payment.apply_intent_event(p_payment payment.payments, p_type text, p_occurred_at timestamptz)
returns void
language plpgsql volatile
as $$
begin
  if p_payment.status in ('succeeded', 'refunded', 'voided') then
    return;
  end if;
  case p_type
    when 'payment_intent.succeeded' then
      update payment.payments
      set status = 'succeeded', captured_cents = amount_cents, provider_ref = intent_id
      where id = p_payment.id;
      perform fin.append_entry(p_payment.id, 'capture_succeeded', p_payment.amount_cents, p_payment.intent_id, p_occurred_at);
      perform ops.resolve_exception('payment', p_payment.id::text);
    when 'payment_intent.payment_failed' then
      if p_payment.status <> 'failed' then
        update payment.payments set status = 'failed' where id = p_payment.id;
        perform fin.append_entry(p_payment.id, 'capture_failed', p_payment.amount_cents, p_payment.intent_id, p_occurred_at);
        perform ops.open_exception('payment', p_payment.id::text, 'the provider reports that the payment failed');
        perform audit.record('payment.failure', jsonb_build_object('payment_id', p_payment.id));
      end if;
    when 'payment_intent.requires_action' then
      update payment.payments set status = 'requires_action' where id = p_payment.id and status <> 'failed';
    when 'payment_intent.canceled' then
      update payment.payments set status = 'voided' where id = p_payment.id;
    else
      null;
  end case;
end;
$$;
comment on function payment.apply_intent_event(payment.payments, text, timestamptz) is
'Moves a payment by an event of its intent; what comes late, after success or an end, is recorded but never applied backwards.';
