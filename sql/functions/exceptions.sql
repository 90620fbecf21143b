-- The ops queue of things that went wrong: one unresolved row per cause.

create or replace function ops.open_exception(p_kind text, p_cause text, p_error text, p_supplier text default null)
returns uuid
language sql volatile
as $$
  insert into ops.exceptions (kind, cause, last_error, supplier) values (p_kind, p_cause, p_error, p_supplier)
  on conflict (kind, cause) where status <> 'resolved' do update
    set last_error = excluded.last_error, status = 'open', attempts = ops.exceptions.attempts + 1, updated_at = now()
  returning id
$$;
comment on function ops.open_exception(text, text, text, text) is
'Opens the exception of a cause, or counts one more attempt on its unresolved row. p_error holds no personal data.';

create or replace function ops.resolve_exception(p_kind text, p_cause text) returns void
language sql volatile
as $$
  update ops.exceptions set status = 'resolved', updated_at = now()
  where kind = p_kind and cause = p_cause and status <> 'resolved'
$$;
comment on function ops.resolve_exception(text, text) is
'Resolves the unresolved exception of a cause, if there is one.';

create or replace function ops.add_fixtures(p_fixtures jsonb) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  p_fixtures := sec.valid_json('fixtures', p_fixtures, 'object', 100000);
  insert into ops.exceptions (id, kind, cause, status, supplier, last_error, occurred_at, attempts, source)
  select id, kind, cause, status, supplier, last_error, occurred_at, attempts, 'fixtures'
  from jsonb_populate_recordset(null::ops.exceptions, p_fixtures -> 'exceptions')
  on conflict do nothing;
  -- Demo data of an old release, which had no mark.
  update ops.exceptions set source = 'fixtures'
  where source <> 'fixtures' and id in (
    select id from jsonb_populate_recordset(null::ops.exceptions, p_fixtures -> 'exceptions')
  );
end;
$$;
comment on function ops.add_fixtures(jsonb) is
'Internal: the exceptions of fixtures/exceptions.json, as far as they are not there; none in a production database.';

create or replace function ops.list_exceptions(p_status text, p_page int, p_page_size int) returns json
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_offline constant boolean := ops.flag('USE_FIXTURES') = '1';
  v_all boolean;
begin
  if not v_offline then
    perform sec.require_ops();
  end if;
  v_all := sec.is_ops();
  p_status := sec.valid_choice(
    'status', lower(p_status), array['open', 'retrying', 'resolved'], true,
    'status must be one of open|retrying|resolved'
  );
  p_page := sec.valid_integer('page', p_page, 1, 1000000000);
  p_page_size := sec.valid_integer('page_size', p_page_size, 1, 100);
  return (
    with page as (
      select id, kind as type, kind, status, supplier, last_error, occurred_at, attempts, source
      from ops.exceptions
      where (p_status is null or status = p_status) and (v_all or source = 'fixtures')
      order by occurred_at desc, id desc
      limit p_page_size offset (p_page - 1)::bigint * p_page_size
    )
    select json_strip_nulls(json_build_object(
      'ok', true,
      'data', coalesce((select json_agg(page order by occurred_at desc, id desc) from page), '[]'),
      'request_id', sec.request_id(),
      'total', (
        select count(*) from ops.exceptions
        where (p_status is null or status = p_status) and (v_all or source = 'fixtures')
      ),
      'page', p_page,
      'page_size', p_page_size,
      'source', case when v_offline then 'fixtures' else 'view' end
    ))
  );
end;
$$;
comment on function ops.list_exceptions(text, int, int) is
'Ops: one page of ops.v_exceptions, newest first. While USE_FIXTURES is 1 anybody sees those of the fixtures.';

create or replace function public.retry_exception(p_exception_id uuid, p_note text default null) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_exception ops.exceptions;
  v_queued boolean;
begin
  perform sec.require_ops();
  p_exception_id := sec.valid_uuid('exception_id', p_exception_id);
  p_note := sec.valid_text('note', p_note, 1, 500, p_optional => true);
  select * into v_exception from ops.exceptions where id = p_exception_id for update;
  if not found then
    raise exception using errcode = 'PT404', constraint = 'exception_known', message = 'Exception not found';
  elsif v_exception.status = 'resolved' then
    raise exception using errcode = 'PT409', constraint = 'exception_unresolved', message = 'The exception is resolved';
  end if;
  update ops.exceptions set status = 'retrying', retry_note = coalesce(p_note, retry_note), updated_at = now()
  where id = p_exception_id;
  -- Functions that queue the work behind each kind again. Other kinds (a near deadline, differing books) are for
  -- people: they are only marked, and opened again after a while.
  v_queued := case v_exception.kind
    when 'payment' then payment.retry_intent(v_exception.cause)
    when 'webhook' then payment.retry_event(v_exception.cause)
    when 'refund' then "group".retry_refund(v_exception.cause) or payment.retry_refund(v_exception.cause)
    when 'payout' then "group".retry_payout(v_exception.cause)
    when 'message' then wa.retry_message(v_exception.cause)
    when 'erasure' then privacy.retry_purges(v_exception.cause)
    when 'invoice' then fin.retry_invoice(v_exception.cause)
    when 'sweep' then ops.retry_sweep(v_exception.cause)
    when 'circuit' then inventory.retry_circuit(v_exception.cause)
    else false
  end;
  perform audit.record('exception.retried', jsonb_build_object(
    'exception_id', p_exception_id, 'kind', v_exception.kind, 'queued', v_queued
  ));
  select * into v_exception from ops.exceptions where id = p_exception_id;
  return json_build_object(
    'ok', true, 'request_id', sec.request_id(), 'exception_id', p_exception_id, 'status', v_exception.status
  );
end;
$$;
comment on function public.retry_exception(uuid, text) is
'Ops: queues the work behind an unresolved exception again. It ends as resolved, or is back as open with one attempt '
'more.';

create or replace function ops.reopen_stalled_exceptions(p_limit int default 500) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  c_timeout constant interval := interval '15 minutes';
  v_reopened int;
begin
  p_limit := sec.valid_integer('limit', p_limit, 1, 10000);
  update ops.exceptions e set status = 'open', attempts = attempts + 1, updated_at = now()
  from (
    select id from ops.exceptions where status = 'retrying' and updated_at < now() - c_timeout and source = 'view'
    limit p_limit for update skip locked
  ) stalled
  where e.id = stalled.id;
  get diagnostics v_reopened = row_count;
  return v_reopened;
end;
$$;
comment on function ops.reopen_stalled_exceptions(int) is
'Internal: opens again what is being retried for a quarter of an hour without an end, and says how many. Nothing '
'retries fixtures.';
