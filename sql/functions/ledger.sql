-- The ledger: facts of a payment in their legal order, append-only, hash-chained.

create or replace trigger refuse_change before update or delete or truncate on fin.entries
for each statement execute function audit.refuse_change();

create or replace function fin.entry_hash(p_entry fin.entries) returns bytea
language sql immutable
as $$
  select sha256(
    coalesce(p_entry.prev_hash, ''::bytea) || convert_to(
      concat_ws(
        '|', p_entry.id, p_entry.payment_id, p_entry.seq,
        to_char(p_entry.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
        to_char(p_entry.recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
        p_entry.itinerary_id, p_entry.entry_type, p_entry.amount_cents, p_entry.currency, p_entry.provider_ref,
        coalesce(p_entry.note, '')
      ),
      'UTF8'
    )
  )
$$;
comment on function fin.entry_hash(fin.entries) is 'SHA-256 over the previous hash and the entry''s canonical text.';

create or replace function fin.append_entry(
  p_payment_id uuid,
  p_entry_type text,
  p_amount_cents bigint,
  p_provider_ref text,
  p_occurred_at timestamptz default null,
  p_note text default null
) returns fin.entries
language plpgsql volatile
as $$
declare
  v_payment payment.payments;
  v_last fin.entries;
  v_entry fin.entries;
begin
  -- The payment's row is the head of its chain: its lock allots seq.
  select * into v_payment from payment.payments where id = p_payment_id for update;
  if not found then
    raise exception using errcode = 'PT404', constraint = 'payment_known', message = 'Payment not found';
  end if;
  select * into v_entry from fin.entries
  where payment_id = p_payment_id and entry_type = p_entry_type and provider_ref = p_provider_ref;
  if found then
    if v_entry.amount_cents <> p_amount_cents then
      raise exception using
        errcode = 'PT409', constraint = 'ledger_conflict', message = 'ledger_conflict: the fact is recorded with another amount';
    end if;
    return v_entry;
  end if;
  select * into v_last from fin.entries where payment_id = p_payment_id order by seq desc limit 1;
  if not exists (select from fin.sequences where previous = coalesce(v_last.entry_type, 'none') and next = p_entry_type) then
    raise exception using
      errcode = 'PT409',
      constraint = 'ledger_sequence',
      message = format('%s may not follow %s', p_entry_type, coalesce(v_last.entry_type, 'nothing'));
  end if;
  v_entry.id := gen_random_uuid();
  v_entry.payment_id := p_payment_id;
  v_entry.seq := coalesce(v_last.seq, 0) + 1;
  -- Providers report whole seconds: a fact is never dated before the one it follows.
  v_entry.occurred_at := greatest(coalesce(p_occurred_at, clock_timestamp()), v_last.occurred_at + interval '1 microsecond');
  v_entry.recorded_at := clock_timestamp();
  v_entry.itinerary_id := v_payment.itinerary_id;
  v_entry.entry_type := p_entry_type;
  v_entry.amount_cents := p_amount_cents;
  v_entry.currency := v_payment.currency;
  v_entry.provider_ref := p_provider_ref;
  v_entry.note := p_note;
  v_entry.prev_hash := v_last.hash;
  v_entry.hash := fin.entry_hash(v_entry);
  insert into fin.entries values (v_entry.*);
  return v_entry;
end;
$$;
comment on function fin.append_entry(uuid, text, bigint, text, timestamptz, text) is
'Appends one fact to a payment''s ledger; the same fact again returns the first row, a differing one raises ledger_conflict.';
