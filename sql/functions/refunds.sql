-- Refunds: asked for (pending, the money set aside), then settled by what the provider says.

create or replace function payment.guard_refund() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if new.status <> old.status
    and not exists (
      select from payment.refund_transitions where from_status = old.status and to_status = new.status
    ) then
    raise exception using
      errcode = 'PT409', constraint = 'refund_transition',
      message = format('A %s refund cannot become %s', old.status, new.status);
  end if;
  if (new.id, new.payment_id, new.amount_cents, new.currency, new.origin)
    is distinct from (old.id, old.payment_id, old.amount_cents, old.currency, old.origin) then
    raise exception using
      errcode = 'PT409', constraint = 'refund_terms_fixed', message = 'A refund''s terms never change';
  end if;
  return new;
end;
$$;
comment on function payment.guard_refund() is 'Trigger: only legal moves, and the terms of a refund never change.';

create or replace trigger guard_refund before update on payment.refunds
for each row execute function payment.guard_refund();
create or replace trigger refuse_removal before delete or truncate on payment.refunds
for each statement execute function audit.refuse_change();

create or replace function payment.count_refund() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_pending bigint := new.amount_cents * (new.status = 'pending')::int;
  v_done bigint := new.amount_cents * (new.status = 'succeeded')::int;
begin
  if tg_op = 'UPDATE' then
    v_pending := v_pending - old.amount_cents * (old.status = 'pending')::int;
    v_done := v_done - old.amount_cents * (old.status = 'succeeded')::int;
  end if;
  update payment.payments
  set refund_pending_cents = refund_pending_cents + v_pending,
    refunded_cents = refunded_cents + v_done,
    status = case when refunded_cents + v_done > 0 then 'refunded' when status = 'refunded' then 'succeeded'
    else status end,
    provider_ref = intent_id || case when refunded_cents + v_done > 0 then '-refund' else '' end
  where id = new.payment_id and (v_pending, v_done) <> (0, 0);
  return null;
end;
$$;
comment on function payment.count_refund() is
'Trigger: keeps a payment''s sums and status equal to its refunds; the payment''s constraint refuses what goes over '
'the capture.';

create or replace trigger count_refund after insert or update of status on payment.refunds
for each row execute function payment.count_refund();

create or replace function payment.is_disputed(p_payment_id uuid) returns boolean
language sql stable
as $$
  select exists (
    select from fin.entries o
    where o.stream_id = p_payment_id and o.entry_type = 'dispute_opened' and not exists (
      select from fin.entries c
      where c.stream_id = p_payment_id and c.entry_type = 'dispute_closed' and c.provider_ref = o.provider_ref
        and c.note <> 'lost'
    )
  )
$$;
comment on function payment.is_disputed(uuid) is 'Whether a dispute of the payment is open or was lost.';

create or replace function payment.request_refund(
  p_payment_id uuid,
  p_amount_cents bigint default null,
  p_reason text default null,
  p_origin text default 'request',
  p_idempotency_key text default null,
  p_due_at timestamptz default now()
) returns payment.refunds
language plpgsql volatile
as $$
declare
  v_payment payment.payments := payment.locked(p_payment_id);
  v_left bigint := v_payment.captured_cents - v_payment.refunded_cents - v_payment.refund_pending_cents;
  v_refund payment.refunds;
begin
  select * into v_refund from payment.refunds where idempotency_key = p_idempotency_key and status <> 'failed';
  if found then
    if v_refund.payment_id <> p_payment_id or v_refund.amount_cents <> coalesce(p_amount_cents, v_refund.amount_cents)
      then
      raise exception using
        errcode = 'PT409', constraint = 'refund_key_reused',
        message = 'The idempotency key belongs to a refund with other terms';
    end if;
    return v_refund;
  end if;
  if v_payment.captured_cents = 0 then
    raise exception using
      errcode = 'PT409', constraint = 'payment_captured', message = 'Nothing was captured for this payment';
  elsif payment.is_disputed(p_payment_id) then
    raise exception using errcode = 'PT409', constraint = 'payment_undisputed', message = 'The payment is disputed';
  elsif p_amount_cents is null and v_left = 0 then
    raise exception using errcode = 'PT409', constraint = 'refund_left', message = 'Nothing is left to refund';
  elsif p_amount_cents > v_left then
    raise exception using
      errcode = 'PT400', constraint = 'refund_within_capture', message = 'amount exceeds original payment';
  end if;
  insert into payment.refunds (payment_id, amount_cents, currency, origin, reason, idempotency_key, next_attempt_at)
  values (
    p_payment_id, coalesce(p_amount_cents, v_left), v_payment.currency, p_origin, p_reason, p_idempotency_key, p_due_at
  )
  returning * into v_refund;
  perform fin.append_entry(
    v_payment, 'refund_requested', v_refund.amount_cents, 'refund:' || v_refund.id, 'payment', 'refunds_payable'
  );
  perform audit.record('refund.requested', jsonb_build_object(
    'refund_id', v_refund.id, 'payment_id', p_payment_id, 'amount_cents', v_refund.amount_cents, 'origin', p_origin
  ));
  return v_refund;
end;
$$;
comment on function payment.request_refund(uuid, bigint, text, text, text, timestamptz) is
'Sets a refund aside (null: all that is left); the worker makes it at the provider from p_due_at on. The same key '
'again gives the same refund unless it failed. Raises payment_captured, refund_within_capture, refund_left, '
'payment_undisputed, and account_covered while the money lies in an escrow.';

create or replace function payment.settle_refund(
  p_refund_id uuid,
  p_status text,
  p_provider_refund_id text default null,
  p_error text default null,
  p_occurred_at timestamptz default null
) returns payment.refunds
language plpgsql volatile
as $$
declare
  v_payment payment.payments := payment.locked((select payment_id from payment.refunds where id = p_refund_id));
  v_before payment.refunds;
  v_refund payment.refunds;
begin
  select * into v_before from payment.refunds where id = p_refund_id for update;
  if v_before.status = p_status and p_status <> 'pending'
    or not exists (select from payment.refund_transitions where from_status = v_before.status and to_status = p_status)
    and v_before.status <> p_status then
    return v_before;
  end if;
  update payment.refunds
  set status = p_status,
    provider_refund_id = coalesce(provider_refund_id, p_provider_refund_id),
    last_error = p_error,
    processed_at = case when p_status <> 'pending' then now() end,
    -- Pending at the provider: its event will tell, or we ask in some hours. Not known: as the claim has set it.
    next_attempt_at = case when p_status = 'pending' then
      case when p_provider_refund_id is null then next_attempt_at else now() + interval '6 hours' end
    end
  where id = p_refund_id
  returning * into v_refund;
  if p_status = 'succeeded' then
    perform fin.append_entry(
      v_payment, 'refund_succeeded', v_refund.amount_cents, v_refund.provider_refund_id, 'refunds_payable',
      'provider_clearing',
      p_occurred_at
    );
  elsif p_status = 'failed' then
    perform fin.append_entry(
      v_payment, 'refund_failed', v_refund.amount_cents,
      coalesce(v_refund.provider_refund_id, 'refund:' || p_refund_id),
      case v_before.status when 'pending' then 'refunds_payable' else 'provider_clearing' end, 'payment', p_occurred_at,
        p_error
    );
  end if;
  if p_error is not null then
    perform ops.open_exception('refund', p_refund_id::text, p_error, 'STRIPE');
  elsif p_status = 'succeeded' then
    perform ops.resolve_exception('refund', p_refund_id::text);
  end if;
  perform audit.record('refund.' || p_status, jsonb_build_object(
    'refund_id', p_refund_id, 'payment_id', v_payment.id, 'provider_refund_id', v_refund.provider_refund_id,
    'error', p_error
  ));
  if p_status = 'failed' then
    perform payment.apply_deferred(v_payment.id);
  end if;
  return v_refund;
end;
$$;
comment on function payment.settle_refund(uuid, text, text, text, timestamptz) is
'Records what the provider says of a refund: succeeded, failed (also after succeeded: reversed), or pending, which '
'with p_error means that its answer is not known. What comes late or again changes nothing. p_error is a code.';
