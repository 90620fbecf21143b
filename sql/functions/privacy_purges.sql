-- Files go after the commit: an outbox of folders, each worked at until a listing of it is empty.

create or replace function public.claim_privacy_purges(p_limit int default 20, p_request_id uuid default null)
returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_claimed json;
begin
  p_limit := sec.valid_integer('limit', p_limit, 1, 10000);
  with due as (
    select id from privacy.purges
    where status = 'pending' and next_attempt_at <= now() and (p_request_id is null or request_id = p_request_id)
    order by next_attempt_at, id
    limit p_limit
    for update skip locked
  ),
  -- The lease is also the back-off: a dead worker's row becomes due again.
  claimed as (
    update privacy.purges p
    set attempts = attempts + 1,
      next_attempt_at = now() + least(
        interval '1 hour', interval '1 minute' + interval '5 seconds' * 2 ^ least(attempts, 12)
      )
    from due where p.id = due.id
    returning p.id, p.bucket, p.folder, p.attempts
  )
  select coalesce(
    json_agg(json_build_object('purge_id', id, 'bucket', bucket, 'folder', folder, 'attempt', attempts)), '[]'
  )
  into v_claimed from claimed;
  return v_claimed;
end;
$$;
comment on function public.claim_privacy_purges(int, uuid) is
'Internal: takes purges that are due, of one request or of all, under a lease.';

create or replace function public.finish_privacy_purge(p_purge_id uuid, p_attempt int, p_error text default null)
returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_purge privacy.purges;
begin
  if p_error is null then
    -- The folder's name may hold the person's id, so it is deleted.
    delete from privacy.purges where id = p_purge_id and attempts = p_attempt returning * into v_purge;
  else
    update privacy.purges
    set status = case when attempts >= 10 then 'failed' else 'pending' end,
      last_error = p_error,
      next_attempt_at = now() + least(interval '1 hour', interval '5 seconds' * 2 ^ attempts)
    where id = p_purge_id and attempts = p_attempt and status = 'pending'
    returning * into v_purge;
  end if;
  if v_purge.id is null then
    return json_build_object('ok', true);
  elsif v_purge.status = 'failed' then
    perform ops.open_exception('erasure', v_purge.request_id::text, 'files could not be deleted');
    update privacy.requests set status = 'failed' where id = v_purge.request_id and status = 'processing';
  end if;
  perform audit.record(case when p_error is null then 'privacy.purged' else 'privacy.purge_failed' end,
    jsonb_build_object(
    'privacy_request_id', v_purge.request_id, 'purge_id', v_purge.id, 'attempts', v_purge.attempts
  ));
  perform privacy.complete_if_purged(v_purge.request_id);
  return json_build_object('ok', true);
end;
$$;
comment on function public.finish_privacy_purge(uuid, int, text) is
'Internal: a folder is empty, or was not this time and is tried again later; after ten times ops see an exception.';

create or replace function privacy.complete_if_purged(p_request_id uuid) returns void
language plpgsql volatile
as $$
begin
  -- The row is locked, so that one of the last two purges sees the other.
  perform from privacy.requests where id = p_request_id for update;
  if exists (select from privacy.certificates where request_id = p_request_id)
    and not exists (select from privacy.purges where request_id = p_request_id) then
    update privacy.requests set status = 'completed' where id = p_request_id and status = 'processing';
    perform ops.resolve_exception('erasure', p_request_id::text);
  end if;
end;
$$;
comment on function privacy.complete_if_purged(uuid) is 'Completes an erasure once all its folders are empty.';

create or replace function privacy.purge_again(p_request privacy.requests) returns void
language plpgsql volatile
as $$
begin
  if p_request.status = 'approved' then
    update privacy.requests set status = 'processing' where id = p_request.id;
    update privacy.purges set status = 'pending', attempts = 0, next_attempt_at = now()
    where request_id = p_request.id and status = 'failed';
    perform privacy.complete_if_purged(p_request.id);
  end if;
end;
$$;
comment on function privacy.purge_again(privacy.requests) is
'Takes up the purges of an erasure that failed and was approved again; nothing for any other.';

create or replace function public.sweep_privacy_retention(p_limit int default 5000) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_rule privacy.retention;
  v_count int;
  v_total int := 0;
begin
  p_limit := sec.valid_integer('limit', p_limit, 1, 10000);
  for v_rule in select * from privacy.retention order by table_schema, table_name loop
    execute format(
      'delete from %1$I.%2$I where ctid = any (array(
         select ctid from %1$I.%2$I where %3$I < now() - $1 order by %3$I limit $2 for update skip locked
       ))',
      v_rule.table_schema, v_rule.table_name, v_rule.age_column
    ) using v_rule.keep_for, p_limit;
    get diagnostics v_count = row_count;
    if v_count > 0 then
      perform audit.record('privacy.retention', jsonb_build_object(
        'table', v_rule.table_schema || '.' || v_rule.table_name, 'rows', v_count
      ));
    end if;
    v_total := v_total + v_count;
  end loop;
  with expired as (
    update privacy.requests set export_path = null, export_expires_at = null where export_expires_at < now()
      returning id
  )
  insert into privacy.purges (request_id, bucket, folder)
  select id, 'privacy_exports', id || '/' from expired
  on conflict (request_id, bucket, folder) do update set status = 'pending', attempts = 0, next_attempt_at = now();
  get diagnostics v_count = row_count;
  return v_total + v_count;
end;
$$;
comment on function public.sweep_privacy_retention(int) is
'Internal: deletes rows that are older than privacy.retention says, at most p_limit of a table, and exports whose '
'link ended.';
