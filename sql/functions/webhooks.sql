-- The inbox of provider events: stored and applied in one transaction, in any order, each with its effect once.

create or replace trigger refuse_removal before delete or truncate on payment.webhook_events
for each statement execute function audit.refuse_change();

create or replace function payment.payment_of_event(p_event payment.webhook_events) returns payment.payments
language plpgsql volatile
as $$
declare
  v_payment payment.payments;
begin
  select * into v_payment from payment.payments where intent_id = p_event.intent_id for update;
  if not found then
    -- The event has our id in its metadata and came before the answer with the intent.
    select * into v_payment from payment.payments
    where id = p_event.metadata_payment_id and (intent_id is null or p_event.intent_id is null) for update;
  end if;
  if v_payment.id is null or (not p_event.signed and (v_payment.mode = 'live' or meta.is_production())) then
    raise exception using errcode = 'PT409', constraint = 'event_payment_known', message = 'no payment has this intent';
  end if;
  if upper(p_event.currency) <> v_payment.currency
    or (starts_with(p_event.type, 'payment_intent.') and p_event.amount_cents <> v_payment.amount_cents) then
    raise exception using
      errcode = 'PT409', constraint = 'event_terms_match', message = 'amount or currency differs from the payment';
  end if;
  if not starts_with(p_event.type, 'payment_intent.') and (p_event.object_id is null or p_event.amount_cents is null)
    then
    raise exception using
      errcode = 'PT409', constraint = 'event_terms_match', message = 'the event names no object or no amount';
  end if;
  if v_payment.intent_id is null and p_event.intent_id is not null then
    v_payment := payment.set_intent(v_payment, p_event.intent_id);
  end if;
  return v_payment;
end;
$$;
comment on function payment.payment_of_event(payment.webhook_events) is
'The payment an event speaks of, locked: by the provider''s intent first, by our id in its metadata second, never by '
'amount. An unsigned event finds mock payments only, and none in production.';

create or replace function payment.apply_intent_event(p_payment payment.payments, p_event payment.webhook_events)
returns void
language plpgsql volatile
as $$
declare
  -- Among events with equal timestamps the later in this list wins.
  v_ranks text[] := array['processing', 'requires_action', 'failed'];
  v_status text := case p_event.type
    when 'payment_intent.succeeded' then 'succeeded'
    when 'payment_intent.canceled' then 'voided'
    when 'payment_intent.payment_failed' then 'failed'
    when 'payment_intent.requires_action' then 'requires_action'
    else 'processing'
  end;
begin
  if p_payment.captured_cents > 0 then
    return;
  elsif v_status = 'succeeded' then
    if p_event.captured_cents not between 1 and p_payment.amount_cents then
      raise exception using
        errcode = 'PT409', constraint = 'event_terms_match', message = 'what was taken is not a part of the amount';
    end if;
    perform payment.capture(p_payment, p_event.occurred_at, p_event.captured_cents);
    return;
  elsif p_payment.status = 'voided' then
    return;
  elsif v_status = 'voided' then
    update payment.payments set status = 'voided' where id = p_payment.id;
    perform ops.resolve_exception('payment', p_payment.id::text);
    return;
  elsif v_status = 'failed' then
    perform fin.append_entry(
      p_payment, 'capture_failed', p_payment.amount_cents, p_payment.intent_id, p_occurred_at => p_event.occurred_at
    );
    perform audit.record('payment.failure', jsonb_build_object('payment_id', p_payment.id));
  end if;
  if (p_event.occurred_at, array_position(v_ranks, v_status))
    > (p_payment.status_at, array_position(v_ranks, p_payment.status)) then
    update payment.payments set status = v_status, status_at = p_event.occurred_at where id = p_payment.id;
    if v_status = 'failed' then
      perform ops.open_exception(
        'payment', p_payment.id::text, 'the provider reports that the payment failed', 'STRIPE'
      );
    else
      perform ops.resolve_exception('payment', p_payment.id::text);
    end if;
  end if;
end;
$$;
comment on function payment.apply_intent_event(payment.payments, payment.webhook_events) is
'Moves a payment by an event of its intent. A capture wins over all, a cancel over the rest, else the newest by the '
'provider''s time: so the order of arrival does not matter.';

create or replace function payment.apply_refund_event(p_payment payment.payments, p_event payment.webhook_events)
returns void
language plpgsql volatile
as $$
declare
  v_status text := case p_event.object_status
    when 'succeeded' then 'succeeded' when 'failed' then 'failed' when 'canceled' then 'failed' else 'pending'
  end;
  v_refund payment.refunds;
begin
  select * into v_refund from payment.refunds where provider_refund_id = p_event.object_id for update;
  if not found then
    select * into v_refund from payment.refunds
    where id = p_event.metadata_refund_id and payment_id = p_payment.id and provider_refund_id is null
      and status = 'pending'
    for update;
  end if;
  if found and v_refund.amount_cents <> p_event.amount_cents then
    raise exception using
      errcode = 'PT409', constraint = 'event_terms_match', message = 'amount differs from the refund';
  elsif not found then
    if p_event.amount_cents > p_payment.captured_cents - p_payment.refunded_cents - p_payment.refund_pending_cents then
      raise exception using
        errcode = 'PT409', constraint = 'event_in_order',
        message = 'a refund at the provider exceeds what is left of the payment';
    end if;
    insert into payment.refunds (payment_id, amount_cents, currency, origin, provider_refund_id)
    values (p_payment.id, p_event.amount_cents, p_payment.currency, 'provider', p_event.object_id)
    returning * into v_refund;
    perform fin.append_entry(
      p_payment, 'refund_requested', v_refund.amount_cents, 'refund:'
      || v_refund.id, 'payment', 'refunds_payable', p_event.occurred_at
    );
    perform audit.record('refund.adopted', jsonb_build_object(
      'refund_id', v_refund.id, 'payment_id', p_payment.id, 'provider_refund_id', p_event.object_id
    ));
  end if;
  perform payment.settle_refund(
    v_refund.id, v_status, p_event.object_id, case v_status when 'failed' then 'failed_at_provider' end,
    p_event.occurred_at
  );
end;
$$;
comment on function payment.apply_refund_event(payment.payments, payment.webhook_events) is
'Settles the refund an event speaks of, found by the provider''s id, then by ours in its metadata; one that we never '
'asked for (made in the provider''s dashboard) is adopted.';

create or replace function payment.apply_dispute_event(p_payment payment.payments, p_event payment.webhook_events)
returns void
language plpgsql volatile
as $$
declare
  -- An inquiry ("warning") moves no money.
  v_moves boolean := p_event.object_status not like 'warning%';
  v_lost boolean := p_event.object_status = 'lost';
begin
  if p_payment.captured_cents = 0 then
    raise exception using
      errcode = 'PT409', constraint = 'event_in_order', message = 'a dispute of a payment that was not captured';
  end if;
  perform fin.append_entry(
    p_payment, 'dispute_opened', p_event.amount_cents, p_event.object_id,
    case when v_moves then 'disputed' end, 'provider_clearing', p_event.occurred_at
  );
  if p_event.type = 'charge.dispute.closed' then
    perform fin.append_entry(
      p_payment, 'dispute_closed', p_event.amount_cents, p_event.object_id,
      case when v_moves then case when v_lost then 'dispute_losses' else 'provider_clearing' end end, 'disputed',
      p_event.occurred_at, case when v_lost then 'lost' else 'won' end
    );
    perform ops.resolve_exception('payment', p_event.object_id);
  elsif not exists (
    select from fin.entries
    where stream_id = p_payment.id and entry_type = 'dispute_closed' and provider_ref = p_event.object_id
  ) then
    perform ops.open_exception('payment', p_event.object_id, 'the payment is disputed', 'STRIPE');
  end if;
  perform audit.record(p_event.type, jsonb_build_object('payment_id', p_payment.id, 'dispute_id', p_event.object_id));
end;
$$;
comment on function payment.apply_dispute_event(payment.payments, payment.webhook_events) is
'Books a dispute: the provider takes the money back when it opens, and returns it unless the dispute is lost.';
