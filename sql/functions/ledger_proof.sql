-- Proof of the ledger: every chain, balance and sum walked again, and daily roots that seal what is past.

create or replace function fin.root_of(p_after timestamptz, p_through timestamptz, p_prev_root bytea)
returns table (streams bigint, entries bigint, root bytea)
language sql stable
as $$
  with last as (
    select distinct on (stream_id) stream_id, seq, hash from fin.entries
    where recorded_at >= p_after and recorded_at < p_through
    order by stream_id, seq desc
  )
  select
    count(*),
    (select count(*) from fin.entries where recorded_at >= p_after and recorded_at < p_through),
    sha256(
      coalesce(p_prev_root, ''::bytea)
      || coalesce(string_agg(uuid_send(stream_id) || int4send(seq) || hash, ''::bytea order by stream_id), ''::bytea)
    )
  from last
$$;
comment on function fin.root_of(timestamptz, timestamptz, bytea) is
'SHA-256 over the previous root and the last hash of every stream that grew in the period.';

create or replace function fin.wait_for_writers() returns void
language plpgsql volatile
as $$
declare
  c_timeout constant interval := interval '3 seconds';
  v_writers text[] := array(
    select virtualtransaction from pg_locks
    where locktype = 'relation' and relation = 'fin.entries'::regclass and mode = 'RowExclusiveLock' and granted
      and database = (select oid from pg_database where datname = current_database())
      and pid is distinct from pg_backend_pid()
  );
begin
  while exists (
    select from pg_locks
    where locktype = 'relation' and relation = 'fin.entries'::regclass and virtualtransaction = any (v_writers)
  ) loop
    if clock_timestamp() > statement_timestamp() + c_timeout then
      raise exception using
        errcode = '55P03', constraint = 'ledger_left_open',
        message = 'A transaction that writes to the ledger has been left open';
    end if;
    perform pg_sleep(0.01);
  end loop;
end;
$$;
comment on function fin.wait_for_writers() is
'Returns when what was being written to the ledger is committed or undone. A lock would do so too, and keep out '
'whoever comes later until its transaction ends. Raises 55P03 after three seconds.';

create or replace function fin.seal_ledger(p_through timestamptz default date_trunc('day', now(), 'UTC'))
returns fin.checkpoints
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_last fin.checkpoints;
  v_new fin.checkpoints;
begin
  perform sec.require_ops();
  p_through := sec.valid_time('through', p_through);
  -- There is one chain of roots, and only seals wait for this lock.
  lock table fin.checkpoints in share row exclusive mode;
  perform fin.wait_for_writers();
  select * into v_last from fin.checkpoints order by through desc limit 1;
  if v_last.through >= p_through or p_through > now() then
    return v_last;
  end if;
  insert into fin.checkpoints (through, streams, entries, prev_root, root)
  select p_through, r.streams, r.entries, v_last.root, r.root
  from fin.root_of(coalesce(v_last.through, '-infinity'), p_through, v_last.root) r
  returning * into v_new;
  perform audit.record('ledger.sealed', jsonb_build_object('through', p_through, 'root', encode(v_new.root, 'hex')));
  return v_new;
end;
$$;
comment on function fin.seal_ledger(timestamptz) is
'Ops: seals all days that have ended (UTC) with one root and returns the newest checkpoint; again changes nothing. '
'Waits for writers, and no writer waits for it.';

create or replace trigger refuse_change before update or delete or truncate on fin.checkpoints
for each statement execute function audit.refuse_change();

create or replace function fin.verify_ledger() returns table (stream_id uuid, seq int, problem text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  perform sec.require_ops();
  return query
  with lines as materialized (
    select p.entry_id, sum(p.amount_cents) as total,
      string_agg(p.account || '=' || p.amount_cents::text, ';' order by p.line) as text
    from fin.postings p group by p.entry_id
  ), chained as materialized (
    select
      e.stream_id, e.seq, e.payment_id, e.entry_type, e.hash, e.prev_hash, l.total, l.text is null as unposted,
      fin.entry_hash(e, l.text) as computed,
      lag(e.hash) over stream as before,
      lag(e.entry_type, 1, 'none') over stream as previous,
      row_number() over stream as place
    from fin.entries e left join lines l on l.entry_id = e.id
    window stream as (partition by e.stream_id order by e.seq)
  ), ends as (
    select distinct on (c.stream_id) c.stream_id, c.seq, c.hash, c.entry_type from chained c
      order by c.stream_id, c.seq desc
  ), balances as (
    select p.account, sum(p.amount_cents) as total, count(*) as postings from fin.postings p group by p.account
  ), booked as (
    select
      c.payment_id,
      coalesce(sum(e.amount_cents) filter (where c.entry_type = 'capture_succeeded'), 0) as captured,
      coalesce(sum(e.amount_cents) filter (where c.entry_type = 'refund_requested'), 0) as requested,
      coalesce(sum(e.amount_cents) filter (where c.entry_type = 'refund_failed'), 0) as failed
    from chained c join fin.entries e on e.stream_id = c.stream_id and e.seq = c.seq
    where c.payment_id is not null group by c.payment_id
  )
  select c.stream_id, c.seq, v.problem
  from chained c cross join lateral (values
    (c.computed is distinct from c.hash, 'the hash does not fit the row and its postings'),
    (c.prev_hash is distinct from c.before, 'prev_hash is not the hash before'),
    (c.place <> c.seq, 'a number is missing before this row'),
    (coalesce(c.total, 0) <> 0, 'the postings do not balance'),
    (c.unposted and c.entry_type in (
        'capture_succeeded', 'refund_requested', 'refund_succeeded', 'refund_failed', 'fee_charged'
      ), 'the postings are missing'),
    (not exists (select from fin.sequences s where s.previous = c.previous and s.next = c.entry_type),
      'the sequence is not legal')
  ) v (broken, problem) where v.broken
  union all
  select coalesce(h.stream_id, e.stream_id), coalesce(e.seq, h.seq), 'the stream does not end in its head'
  from ends e full join fin.heads h on h.stream_id = e.stream_id
  where (e.seq, e.hash, e.entry_type) is distinct from (h.seq, h.hash, h.entry_type) and coalesce(h.seq, 1) > 0
  union all
  select null, null, format('%s: the balance is not the sum of its postings', coalesce(a.account, b.account))
  from fin.accounts a full join balances b on b.account = a.account
  left join fin.account_kinds k on k.kind = split_part(coalesce(a.account, b.account), ':', 1)
  where k.scope is distinct from 'currency'
    and (a.balance_cents, a.version) is distinct from (b.total * k.normal, b.postings)
  union all
  select null, null, format('a posting has no fact: %s', l.entry_id)
  from lines l where not exists (select from fin.entries e where e.id = l.entry_id)
  union all
  select p.id, null, 'the payment''s sums are not those of its ledger'
  from payment.payments p left join booked b on b.payment_id = p.id
  where (p.captured_cents, p.refunded_cents + p.refund_pending_cents)
    is distinct from (coalesce(b.captured, 0), coalesce(b.requested - b.failed, 0))
  union all
  select p.id, null, 'the payment''s sums are not those of its refunds'
  from payment.payments p
  left join lateral (
    select
      coalesce(sum(r.amount_cents) filter (where r.status = 'pending'), 0) as pending,
      coalesce(sum(r.amount_cents) filter (where r.status = 'succeeded'), 0) as done
    from payment.refunds r where r.payment_id = p.id
  ) r on true
  where (p.refund_pending_cents, p.refunded_cents) is distinct from (r.pending, r.done)
  union all
  select null, null, format('the checkpoint through %s does not fit what was recorded', c.through)
  from (
    select
      k.*,
      lag(k.through, 1, '-infinity') over (order by k.through) as after,
      lag(k.root) over (order by k.through) as root_before
    from fin.checkpoints k
  ) c cross join lateral fin.root_of(c.after, c.through, c.root_before) r
  where (c.root, c.prev_root, c.streams, c.entries) is distinct from (r.root, c.root_before, r.streams, r.entries);
end;
$$;
comment on function fin.verify_ledger() is
'Ops: every way in which the ledger, its balances, payments, refunds and checkpoints disagree; no row is the proof '
'that they do not.';

create or replace function public.seal_ledger() returns json
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  select json_build_object('ok', true, 'through', through, 'root', encode(root, 'hex'), 'request_id', sec.request_id())
  from fin.seal_ledger()
$$;
comment on function public.seal_ledger() is
'Ops: seals the days that have ended (fin.seal_ledger); what the worker calls once a day.';
