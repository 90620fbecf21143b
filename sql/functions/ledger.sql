-- The ledger: facts of a payment or an escrow in their legal order, append-only, hash-chained, over balanced postings.

create or replace trigger refuse_change before update or delete or truncate on fin.entries
for each statement execute function audit.refuse_change();
create or replace trigger refuse_change before update or delete or truncate on fin.postings
for each statement execute function audit.refuse_change();
create or replace trigger refuse_removal before delete or truncate on fin.heads
for each statement execute function audit.refuse_change();
create or replace trigger refuse_removal before delete or truncate on fin.accounts
for each statement execute function audit.refuse_change();

create or replace function fin.check_balance() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if (select sum(amount_cents) from fin.postings where entry_id = new.entry_id) <> 0 then
    raise exception using
      errcode = 'PT409', constraint = 'postings_balance', message = 'The debits and credits of a fact must be equal';
  end if;
  return null;
end;
$$;
comment on function fin.check_balance() is
'Trigger at commit: the postings of a fact sum to zero. As the owner, for callers may not read them.';

do $$
begin
  -- A constraint trigger cannot be replaced.
  if not exists (select from pg_trigger where tgrelid = 'fin.postings'::regclass and tgname = 'postings_balance') then
    create constraint trigger postings_balance after insert on fin.postings
    deferrable initially deferred for each row execute function fin.check_balance();
  end if;
end;
$$;

create or replace function fin.lines_text(p_lines fin.line[]) returns text
language sql immutable
as $$
  select string_agg(l.account || '=' || l.amount_cents::text, ';' order by l.ordinality)
    from unnest(p_lines) with ordinality l
$$;
comment on function fin.lines_text(fin.line[]) is
'The canonical text of postings, as the hash takes it in; null for none.';

create or replace function fin.postings_text(p_entry_id uuid) returns text
language sql stable
as $$
  select string_agg(account || '=' || amount_cents::text, ';' order by line) from fin.postings
    where entry_id = p_entry_id
$$;
comment on function fin.postings_text(uuid) is 'The canonical text of a fact''s stored postings; null for none.';

create or replace function fin.entry_hash(p_entry fin.entries, p_postings text) returns bytea
language sql immutable
as $$
  select sha256(
    coalesce(p_entry.prev_hash, ''::bytea) || convert_to(
      p_entry.id::text || '|' || p_entry.stream_id::text || '|' || p_entry.seq::text
      || '|' || (extract(epoch from p_entry.occurred_at) * 1000000)::bigint::text
      || '|' || (extract(epoch from p_entry.recorded_at) * 1000000)::bigint::text
      || '|' || coalesce(p_entry.itinerary_id::text, '') || '|' || p_entry.entry_type
      || '|' || p_entry.amount_cents::text || '|' || p_entry.currency || '|' || p_entry.provider_ref
      || '|' || coalesce(p_entry.note, '') || '|' || coalesce(p_postings, ''),
      'UTF8'
    )
  )
$$;
comment on function fin.entry_hash(fin.entries, text) is
'SHA-256 over the previous hash, the fact''s fields joined by | (times in microseconds since 1970) and its postings.';

create or replace function fin.move_balances(p_lines fin.line[], p_currency text) returns void
language plpgsql volatile
as $$
declare
  v_account record;
begin
  -- All writers lock in one order, which prevents deadlocks.
  for v_account in
    select l.account, k.kind, sum(l.amount_cents) * k.normal as change, count(*) as postings
    from unnest(p_lines) l
    left join fin.account_kinds k on k.kind = split_part(l.account, ':', 1)
    where k.scope is distinct from 'currency'
    group by l.account, k.kind, k.normal
    order by l.account
  loop
    if v_account.kind is null then
      raise exception using
        errcode = 'PT409', constraint = 'account_known',
        message = format('No kind of account is named like %s', v_account.account);
    end if;
    if v_account.change > 0 then
      insert into fin.accounts as a (account, kind, currency, balance_cents, version)
      values (v_account.account, v_account.kind, p_currency, v_account.change, v_account.postings)
      on conflict (account) do update
        set balance_cents = a.balance_cents + excluded.balance_cents, version = a.version + excluded.version,
          updated_at = now()
        where a.currency = p_currency;
    else
      update fin.accounts
      set balance_cents = balance_cents + v_account.change, version = version + v_account.postings, updated_at = now()
      where account = v_account.account and currency = p_currency and balance_cents + v_account.change >= 0;
    end if;
    if not found then
      raise exception using
        errcode = 'PT409', constraint = 'account_covered',
        message = format('%s does not hold that much', v_account.account);
    end if;
  end loop;
end;
$$;
comment on function fin.move_balances(fin.line[], text) is
'Adds postings to the balances of payments'' and escrows'' accounts; raises account_covered where one would fall '
'below zero.';

create or replace function fin.post(
  p_stream_id uuid,
  p_entry_type text,
  p_amount_cents bigint,
  p_currency text,
  p_provider_ref text,
  p_lines fin.line[] default '{}',
  p_itinerary_id uuid default null,
  p_occurred_at timestamptz default null,
  p_note text default null
) returns fin.entries
language plpgsql volatile
as $$
declare
  v_kind text := (select stream_kind from fin.entry_types where entry_type = p_entry_type);
  v_head fin.heads;
  v_entry fin.entries;
begin
  loop
    select * into v_head from fin.heads where stream_id = p_stream_id for update;
    exit when found;
    insert into fin.heads (stream_id, stream_kind) values (p_stream_id, v_kind) on conflict do nothing;
  end loop;
  select * into v_entry from fin.entries
  where stream_id = p_stream_id and entry_type = p_entry_type and provider_ref = p_provider_ref;
  if found then
    if (v_entry.amount_cents, v_entry.currency, fin.postings_text(v_entry.id))
      is distinct from (p_amount_cents, p_currency, fin.lines_text(p_lines)) then
      raise exception using
        errcode = 'PT409', constraint = 'ledger_conflict',
        message = 'ledger_conflict: the fact is recorded with other terms';
    end if;
    return v_entry;
  end if;
  if v_head.stream_kind is distinct from v_kind
    or not exists (select from fin.sequences where previous = v_head.entry_type and next = p_entry_type) then
    raise exception using
      errcode = 'PT409', constraint = 'ledger_sequence',
      message = format('%s may not follow %s', p_entry_type, v_head.entry_type);
  end if;
  -- Before the clock is read, so that a seal waits for every writer with an earlier timestamp (fin.wait_for_writers).
  lock table fin.entries in row exclusive mode;
  v_entry.id := gen_random_uuid();
  v_entry.stream_id := p_stream_id;
  v_entry.seq := v_head.seq + 1;
  v_entry.payment_id := case v_kind when 'payment' then p_stream_id end;
  v_entry.escrow_id := case v_kind when 'escrow' then p_stream_id end;
  -- Providers report whole seconds, so a fact may have to be moved behind the one it follows.
  v_entry.occurred_at := greatest(
    coalesce(p_occurred_at, clock_timestamp()), v_head.occurred_at + interval '1 microsecond'
  );
  v_entry.recorded_at := clock_timestamp();
  v_entry.itinerary_id := p_itinerary_id;
  v_entry.entry_type := p_entry_type;
  v_entry.amount_cents := p_amount_cents;
  v_entry.currency := p_currency;
  v_entry.provider_ref := p_provider_ref;
  v_entry.note := p_note;
  v_entry.prev_hash := v_head.hash;
  v_entry.hash := fin.entry_hash(v_entry, fin.lines_text(p_lines));
  insert into fin.entries values (v_entry.*);
  insert into fin.postings (entry_id, line, account, amount_cents)
  select v_entry.id, l.ordinality, l.account, l.amount_cents from unnest(p_lines) with ordinality l;
  perform fin.move_balances(p_lines, p_currency);
  update fin.heads
  set seq = v_entry.seq, entry_type = p_entry_type, occurred_at = v_entry.occurred_at, hash = v_entry.hash
  where stream_id = p_stream_id;
  return v_entry;
end;
$$;
comment on function fin.post(uuid, text, bigint, text, text, fin.line[], uuid, timestamptz, text) is
'Appends one fact with its balanced postings (debits positive) to the stream of a payment or an escrow. The same type '
'and provider_ref again returns the first row; with another amount, currency or postings it raises ledger_conflict.';

create or replace function fin.transfer(p_debit text, p_credit text, p_amount_cents bigint) returns fin.line[]
language sql immutable
as $$ select array[row(p_debit, p_amount_cents)::fin.line, row(p_credit, -p_amount_cents)::fin.line] $$;
comment on function fin.transfer(text, text, bigint) is 'The two postings that debit one account and credit another.';

create or replace function fin.account_of(p_kind text, p_payment payment.payments) returns text
language sql stable
as $$
  select p_kind || ':' || case scope when 'currency' then p_payment.currency else p_payment.id::text end
  from fin.account_kinds where kind = p_kind
$$;
comment on function fin.account_of(text, payment.payments) is 'The name of a payment''s account of this kind.';

create or replace function fin.append_entry(
  p_payment payment.payments,
  p_entry_type text,
  p_amount_cents bigint,
  p_provider_ref text,
  p_debit text default null,
  p_credit text default null,
  p_occurred_at timestamptz default null,
  p_note text default null
) returns fin.entries
language sql volatile
as $$
  select * from fin.post(
    p_payment.id, p_entry_type, p_amount_cents, p_payment.currency, p_provider_ref,
    case when p_debit is null then '{}'::fin.line[] else fin.transfer(
      fin.account_of(p_debit, p_payment), fin.account_of(p_credit, p_payment), p_amount_cents
    ) end,
    p_payment.itinerary_id, p_occurred_at, p_note
  )
$$;
comment on function fin.append_entry(payment.payments, text, bigint, text, text, text, timestamptz, text) is
'Appends one fact of a payment that its caller has locked; p_debit and p_credit are kinds of accounts, null where no '
'money moves.';
