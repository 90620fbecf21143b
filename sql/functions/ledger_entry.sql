-- Facts put into the ledger by hand (fin-ledger-append): what the provider's event would have done, so that payments,
-- refunds and the ledger stay in step.

create or replace function public.append_ledger_entry(
  p_payment_id uuid,
  p_entry_type text,
  p_amount_cents bigint,
  p_provider_ref text,
  p_currency text default null,
  p_occurred_at timestamptz default null,
  p_note text default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_payment payment.payments;
  v_event payment.webhook_events;
  v_entry fin.entries;
begin
  perform sec.require_service();
  p_payment_id := sec.valid_uuid('payment_id', p_payment_id);
  p_entry_type := sec.valid_choice('entry_type', p_entry_type, array[
    'capture_failed', 'capture_succeeded', 'dispute_closed', 'dispute_opened', 'fee_charged', 'intent_created',
    'refund_failed', 'refund_succeeded'
  ]);
  p_amount_cents := sec.valid_amount('amount_cents', p_amount_cents);
  p_provider_ref := sec.valid_pattern(
    p_provider_ref, '^[!-~]{1,255}$', 'provider_ref must be between 1 and 255 visible ASCII characters'
  );
  p_currency := sec.valid_currency('currency', p_currency, p_optional => true);
  p_occurred_at := sec.valid_time('occurred_at', p_occurred_at, p_optional => true);
  p_note := sec.valid_pattern(
    p_note, '^[A-Za-z0-9_.:-]{1,64}$', 'note must be a code of at most 64 letters, digits and _.:-', true
  );
  if p_entry_type = 'dispute_closed' then
    p_note := sec.valid_choice('note', p_note, array['won', 'lost'], p_optional => true);
  end if;
  v_payment := payment.locked(p_payment_id);
  select * into v_entry from fin.entries
  where stream_id = p_payment_id and entry_type = p_entry_type and provider_ref = p_provider_ref;
  if v_entry.id is null then
    if p_entry_type <> 'fee_charged' and p_currency <> v_payment.currency then
      raise exception using
        errcode = 'PT409', constraint = 'event_terms_match', message = 'currency differs from the payment';
    elsif p_entry_type in ('intent_created', 'capture_succeeded', 'capture_failed') and (
      p_amount_cents <> v_payment.amount_cents and (
        p_entry_type <> 'capture_succeeded' or p_amount_cents > v_payment.amount_cents
      )
      or p_provider_ref <> coalesce(v_payment.intent_id, p_provider_ref)
    ) then
      raise exception using
        errcode = 'PT409', constraint = 'event_terms_match', message = 'amount or intent differs from the payment';
    end if;
    v_event.object_id := p_provider_ref;
    v_event.amount_cents := p_amount_cents;
    v_event.captured_cents := p_amount_cents;
    v_event.occurred_at := coalesce(p_occurred_at, now());
    case
      when p_entry_type = 'intent_created' then
        v_payment := payment.set_intent(v_payment, p_provider_ref);
      when p_entry_type in ('capture_succeeded', 'capture_failed') then
        if v_payment.intent_id is null then
          raise exception using
            errcode = 'PT409', constraint = 'ledger_sequence', message = format('%s may not follow none', p_entry_type);
        end if;
        v_event.type := case p_entry_type when 'capture_failed' then 'payment_intent.payment_failed'
        else 'payment_intent.succeeded' end;
        perform payment.apply_intent_event(v_payment, v_event);
      when p_entry_type in ('refund_succeeded', 'refund_failed') then
        v_event.type := 'refund.updated';
        v_event.object_status := substr(p_entry_type, 8);
        perform payment.apply_refund_event(v_payment, v_event);
      when p_entry_type in ('dispute_opened', 'dispute_closed') then
        v_event.type := case p_entry_type when 'dispute_opened' then 'charge.dispute.created'
        else 'charge.dispute.closed' end;
        v_event.object_status := case p_entry_type when 'dispute_opened' then 'needs_response'
        else coalesce(p_note, 'won') end;
        perform payment.apply_dispute_event(v_payment, v_event);
      when p_entry_type = 'fee_charged' then
        perform payment.book_fee(
          v_payment, p_amount_cents, coalesce(p_currency, v_payment.currency), p_provider_ref, p_occurred_at
        );
    end case;
    select * into v_entry from fin.entries
    where stream_id = p_payment_id and entry_type = p_entry_type and provider_ref = p_provider_ref;
    if v_entry.id is null then
      raise exception using
        errcode = 'PT409', constraint = 'ledger_sequence',
        message = format('%s does not fit the payment''s state', p_entry_type);
    end if;
  end if;
  if v_entry.amount_cents <> p_amount_cents or v_entry.currency <> coalesce(p_currency, v_entry.currency) then
    raise exception using
      errcode = 'PT409', constraint = 'ledger_conflict',
      message = 'ledger_conflict: the fact is recorded with other terms';
  end if;
  perform audit.record('ledger.appended', jsonb_build_object('payment_id', p_payment_id, 'entry_id', v_entry.id));
  return json_strip_nulls(json_build_object(
    'ok', true,
    'request_id', sec.request_id(),
    'entry_id', v_entry.id,
    'seq', v_entry.seq,
    'payment_id', p_payment_id,
    'entry_type', v_entry.entry_type,
    'amount_cents', v_entry.amount_cents,
    'currency', v_entry.currency,
    'occurred_at', v_entry.occurred_at,
    'provider_ref', v_entry.provider_ref,
    'hash', encode(v_entry.hash, 'hex')
  ));
end;
$$;
comment on function public.append_ledger_entry(uuid, text, bigint, text, text, timestamptz, text) is
'Service: records a fact of a payment by hand, with the effect that the provider''s event would have had. The same '
'fact again gives the first row, a differing one raises ledger_conflict; requests of refunds and payouts have '
'workflows of their own.';

create or replace function public.live_books(p_since timestamptz default '-infinity', p_intent_ids text[] default '{}')
returns json
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select coalesce(json_agg(json_build_object(
    'payment_id', id,
    'intent_id', intent_id,
    'captured_cents', captured_cents,
    'given_back_cents', refunded_cents + refund_pending_cents
  ) order by created_at), '[]')
  from payment.payments
  where mode = 'live' and intent_id is not null and (updated_at >= p_since or intent_id = any(p_intent_ids))
$$;
comment on function public.live_books(timestamptz, text[]) is
'Internal: what the books say of each live payment that changed since then or has one of these intents, for the '
'comparison with the provider.';
