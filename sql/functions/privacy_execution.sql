-- Executes an erasure plan completely or not at all, although each statement sees what others commit meanwhile. First
-- all rows that will change are locked; then the plan is made again, so nobody can change or delete its rows. A row
-- that is added before a statement reaches its table makes that statement's count differ, which rolls everything back.
-- Later rows are newer than the erasure.

create or replace function privacy.lock_rows(p_subject uuid) returns void
language plpgsql volatile
as $$
-- @plpgsql_check_options: security_warnings = off
declare
  v_map privacy.mapped_tables;
begin
  for v_map in
    select * from privacy.mapped_tables m where erasure in ('delete', 'redact')
    order by privacy.depth(table_schema, table_name), table_schema collate "C", table_name collate "C"
  loop
    execute format(
      'select count(*) from (select from %I.%I target where %s order by %s for update) locked',
      v_map.table_schema, v_map.table_name, privacy.subject_predicate(v_map.table_schema, v_map.table_name),
      (select string_agg(format('target.%I', name), ', ')
      from unnest(privacy.key_columns(v_map.table_schema, v_map.table_name)) as name)
    ) using p_subject;
  end loop;
end;
$$;
comment on function privacy.lock_rows(uuid) is
'Locks every row that an erasure changes, table by table and row by row in one order.';

create or replace function privacy.erase_rows(p_map privacy.mapped_tables, p_subject uuid, p_secret text) returns bigint
language plpgsql volatile
as $$
-- @plpgsql_check_options: security_warnings = off
declare
  v_count bigint;
  v_where text := privacy.subject_predicate(p_map.table_schema, p_map.table_name);
  v_set text;
begin
  if p_map.erasure = 'delete' then
    execute format('delete from %I.%I target where %s', p_map.table_schema, p_map.table_name, v_where) using p_subject;
  else
    select string_agg(format('%I = ', column_name) || case erase_action
      when 'null' then 'null'
      when 'redact' then case type when 'text' then '''[erased]''' else format('''{}''::%s', type) end
      else format(
        'privacy.%s($2, target.%I::text)', case type when 'uuid' then 'uuid_token' else 'token' end, column_name
      )
    end, ', ')
    into v_set
    from privacy.data_map
    cross join lateral privacy.type_of(table_schema, table_name, column_name) as type
    where table_schema = p_map.table_schema and table_name = p_map.table_name
      and erase_action in ('null', 'redact', 'token');
    execute format('update %I.%I target set %s where %s', p_map.table_schema, p_map.table_name, v_set, v_where)
    using p_subject, p_secret;
  end if;
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function privacy.erase_rows(privacy.mapped_tables, uuid, text) is
'Deletes or redacts the person''s rows of one table and says how many they were.';

create or replace function privacy.suppress(p_request privacy.requests, p_secret text) returns void
language sql volatile
as $$
  insert into privacy.suppressions (request_id, kind, token)
  select distinct p_request.id, known.kind, privacy.hmac(p_secret, known.kind || ':' || known.value)
  from core.profiles p
  cross join lateral (
    values ('email', lower(btrim(p.email))), ('phone', privacy.phone_of(p.phone)),
      ('name', privacy.name_of(privacy.words_of(p.full_name)))
  ) as known (kind, value)
  where p.auth_user_id = p_request.subject_user_id and known.value <> ''
  on conflict do nothing
$$;
comment on function privacy.suppress(privacy.requests, text) is
'Keeps keyed digests of what the person is known by, before that is erased.';

create or replace function privacy.require_plan(p_request privacy.requests, p_files jsonb) returns jsonb
language plpgsql volatile
as $$
declare
  v_dry_run privacy.plans;
  v_plan jsonb;
begin
  if p_request.plan_sha256 is null then
    raise exception using
      errcode = 'PT409', constraint = 'plan_missing',
      message = 'There is no plan yet; run privacy-erasure-dryrun first';
  end if;
  select * into v_dry_run from privacy.plans where request_id = p_request.id;
  v_plan := privacy.plan(p_request, coalesce(p_files, v_dry_run.files));
  if encode(sha256(convert_to(v_plan::text, 'UTF8')), 'hex') <> p_request.plan_sha256
    or p_request.planned_at < now() - interval '24 hours' then
    raise exception using
      errcode = 'PT409', constraint = 'plan_stale',
      message = 'plan_stale: the data changed since the dry-run, or it is older than a day',
      hint = 'Run the dry-run again and look at the new plan.';
  end if;
  return v_plan;
end;
$$;
comment on function privacy.require_plan(privacy.requests, jsonb) is
'The plan as of now, when it is the one of the dry-run. Raises plan_missing, plan_stale.';

create or replace function privacy.run_plan(p_request privacy.requests, p_plan jsonb, p_secret text) returns void
language plpgsql volatile
as $$
declare
  v_map privacy.mapped_tables;
  v_planned bigint;
begin
  for v_map in
    select * from privacy.mapped_tables m where erasure in ('delete', 'redact')
    order by privacy.depth(table_schema, table_name) desc, table_schema collate "C", table_name collate "C"
  loop
    v_planned := coalesce((
      select (step ->> 'count')::bigint from jsonb_array_elements(p_plan -> 'tables') as step
      where step ->> 'schema' = v_map.table_schema and step ->> 'table' = v_map.table_name
    ), 0);
    if privacy.erase_rows(v_map, p_request.subject_user_id, p_secret) <> v_planned then
      raise exception using
        errcode = 'PT409', constraint = 'plan_stale',
        message = 'plan_stale: the data changed while it was erased; nothing was',
        detail = format('%s.%s', v_map.table_schema, v_map.table_name);
    end if;
    -- The planner keeps values of columns: those of rows as they are from here on.
    if v_planned > 0 then
      execute format('analyze %I.%I', v_map.table_schema, v_map.table_name);
    end if;
  end loop;
end;
$$;
comment on function privacy.run_plan(privacy.requests, jsonb, text) is
'Erases table by table, the farthest from the person first. Raises plan_stale when a count differs from the plan''s.';

create or replace function privacy.certify(p_request privacy.requests, p_plan jsonb, p_secret text)
returns privacy.certificates
language plpgsql volatile
as $$
declare
  v_certificate privacy.certificates;
  v_body jsonb;
begin
  v_body := jsonb_build_object(
    'request_id', p_request.id,
    'subject', privacy.token(p_secret, p_request.subject_user_id::text),
    'plan_sha256', p_request.plan_sha256,
    'map_version', p_plan ->> 'map_version',
    'summary', (
      select coalesce(jsonb_agg(step - 'digest'), '[]') from jsonb_array_elements(p_plan -> 'tables') as step
    ),
    'kept', p_plan -> 'kept',
    'files', (select coalesce(jsonb_agg(file - 'digest'), '[]') from jsonb_array_elements(p_plan -> 'files') as file),
    'executed_at', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'executed_by', sec.actor(),
    'previous_audit', (
      select jsonb_build_object('id', e.id, 'sha256', encode(sha256(convert_to(e::text, 'UTF8')), 'hex'))
      from audit.events e order by e.id desc limit 1
    ),
    'key', privacy.key_id(p_secret)
  );
  insert into privacy.certificates (request_id, body)
  values (p_request.id, v_body || jsonb_build_object('signature',
    encode(privacy.hmac(p_secret, 'certificate:' || v_body::text), 'hex')))
  returning * into v_certificate;
  return v_certificate;
end;
$$;
comment on function privacy.certify(privacy.requests, jsonb, text) is
'Writes the certificate: ids, counts and grounds, signed over its canonical text without the signature.';

create or replace function privacy.execution_answer(p_request_id uuid) returns json
language sql stable
as $$
  select json_build_object(
    'ok', true, 'request_id', r.id, 'status', r.status, 'summary', c.body -> 'summary', 'certificate', c.body
  )
  from privacy.requests r join privacy.certificates c on c.request_id = r.id
  where r.id = p_request_id
$$;
comment on function privacy.execution_answer(uuid) is 'The body of privacy-erasure-execute.';

-- Concurrent callers wait for a running execution.
create or replace function public.execute_privacy_erasure(
  p_request_id uuid, p_confirm text, p_secret text, p_files jsonb default null
)
returns json
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, YMD' set lock_timeout = '30s'
as $$
declare
  v_request privacy.requests;
  v_plan jsonb;
begin
  perform sec.require_ops();
  perform privacy.require_service_secret(p_secret);
  p_request_id := sec.valid_uuid('request_id', p_request_id);
  p_confirm := sec.valid_choice('confirm', p_confirm, array['ERASE']);
  p_files := sec.valid_json('files', p_files, 'array', 16000000, p_optional => true);
  v_request := privacy.locked_request(p_request_id, 'erasure');
  if exists (select from privacy.certificates where request_id = p_request_id) then
    perform privacy.purge_again(v_request);
    return privacy.execution_answer(p_request_id);
  end if;
  perform privacy.require_status(v_request, 'approved');
  perform privacy.require_sound_map();
  perform privacy.lock_rows(v_request.subject_user_id);
  v_plan := privacy.require_plan(v_request, p_files);
  perform privacy.suppress(v_request, p_secret);
  insert into privacy.purges (request_id, bucket, folder)
  select p_request_id, bucket, path from privacy.folders_of(v_request.subject_user_id, false);
  perform privacy.run_plan(v_request, v_plan, p_secret);
  perform privacy.certify(v_request, v_plan, p_secret);
  update privacy.requests set status = 'processing' where id = p_request_id;
  update privacy.requests set export_path = null, export_expires_at = null
  where subject_user_id = v_request.subject_user_id and export_path is not null;
  perform audit.record('privacy.erased', jsonb_build_object(
    'privacy_request_id', p_request_id, 'plan_sha256', v_request.plan_sha256
  ));
  -- Paths may name the person; the plan holds only their number and digest.
  update privacy.plans set files = '[]' where request_id = p_request_id;
  perform privacy.complete_if_purged(p_request_id);
  perform pg_notify('ecotrips_purges', '');
  return privacy.execution_answer(p_request_id);
end;
$$;
comment on function public.execute_privacy_erasure(uuid, text, text, jsonb) is
'Ops: carries out the plan of the last dry-run in one transaction; again gives the same certificate. Without p_files the
dry-run''s list of files counts. p_secret is PRIVACY_HMAC_SECRET.';
