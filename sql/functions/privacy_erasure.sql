-- Erasure: a plan that changes nothing, and its execution, which does exactly what the plan says or nothing at all.

create or replace function privacy.digest_text(p_schema text, p_table text, p_erasure text) returns text
language sql stable
as $$
  select case p_erasure
    when 'delete' then 'target::text'
    when 'redact' then (
      select format('row(%s)::text', string_agg(format('target.%I', name), ', ' order by name))
      from (
        select unnest(privacy.key_columns(p_schema, p_table)) as name
        union
        select column_name from privacy.data_map
        where table_schema = p_schema and table_name = p_table and erase_action in ('null', 'redact', 'token')
      ) names
    )
    else 'null'
  end
$$;
comment on function privacy.digest_text(text, text, text) is
'What of a row an erasure would destroy: all of a deleted row, the key and the changed columns of a redacted one.';

create or replace function privacy.plan_tables(p_subject uuid) returns jsonb
language plpgsql volatile
as $$
-- @plpgsql_check_options: security_warnings = off
declare
  v_map privacy.mapped_tables;
  v_count bigint;
  v_digest text;
  v_until timestamptz;
  v_tables jsonb := '[]'::jsonb;
  v_kept jsonb := '[]'::jsonb;
begin
  for v_map in
    select * from privacy.mapped_tables where erasure <> 'none'
      order by table_schema collate "C", table_name collate "C"
  loop
    -- Row digests are combined by exclusive or, which needs no sort and constant memory.
    execute format(
      $q$
        select count(*), max(retained),
          to_hex(bit_xor(('x' || substr(digest, 1, 16))::bit(64)::bigint)) || '-' ||
          to_hex(bit_xor(('x' || substr(digest, 17, 16))::bit(64)::bigint))
        from (
          select %s as retained, encode(sha256(convert_to(%s, 'UTF8')), 'hex') as digest from %I.%I target where %s
        ) target
      $q$,
      case when v_map.retain_from is null then 'null::timestamptz'
        else format('target.%I + %L::interval', v_map.retain_from, v_map.retain_for) end,
      privacy.digest_text(v_map.table_schema, v_map.table_name, v_map.erasure),
      v_map.table_schema, v_map.table_name, privacy.subject_predicate(v_map.table_schema, v_map.table_name)
    ) into v_count, v_until, v_digest using p_subject;
    if v_count = 0 then
      continue;
    elsif v_map.erasure <> 'keep' then
      v_tables := v_tables || jsonb_build_object(
        'schema', v_map.table_schema, 'table', v_map.table_name, 'action', v_map.erasure, 'count', v_count,
        'digest', v_digest
      );
    end if;
    if v_map.legal_basis is not null then
      v_kept := v_kept || jsonb_build_object(
        'schema', v_map.table_schema, 'table', v_map.table_name, 'count', v_count, 'legal_basis', v_map.legal_basis,
        'retain_until', v_until::date
      );
    end if;
  end loop;
  return jsonb_build_object('tables', v_tables, 'kept', v_kept);
end;
$$;
comment on function privacy.plan_tables(uuid) is
'For each table with rows of the person: what would be erased, with a digest of it, and what stays and why.';

create or replace function privacy.plan(p_request privacy.requests, p_files jsonb) returns jsonb
language sql volatile
as $$
  select privacy.plan_tables(p_request.subject_user_id) || jsonb_build_object(
    'request_id', p_request.id,
    'map_version', privacy.map_version(),
    'files', coalesce((
      -- Without paths, because a file's name may name the person, and plans are kept.
      select jsonb_agg(f order by f.bucket collate "C") from (
        select file ->> 'bucket' as bucket, count(*) as count,
          encode(sha256(convert_to(string_agg(file::text, E'\n' order by file::text collate "C"), 'UTF8')),
          'hex') as digest
        from jsonb_array_elements(p_files) as file
        group by 1
      ) f
    ), '[]')
  )
$$;
comment on function privacy.plan(privacy.requests, jsonb) is
'The canonical plan of an erasure: the same data and the same map give the same text.';

create or replace function privacy.folders_of(p_subject uuid, p_kept boolean) returns table (bucket text, path text)
language plpgsql stable
as $$
-- @plpgsql_check_options: security_warnings = off, extra_warnings = off
declare
  v_map privacy.mapped_tables;
begin
  for v_map in select * from privacy.mapped_tables m where m.files is not null and (p_kept or not m.files_kept) loop
    return query execute format(
      'select distinct %L, target.%I::text || %L from %I.%I target where %s and target.%2$I is not null',
      split_part(v_map.files, '/', 1), substring(v_map.files from '[{]([[:alnum:]_]+)[}]'),
      case when v_map.files like '%/' then '/' else '' end,
      v_map.table_schema, v_map.table_name, privacy.subject_predicate(v_map.table_schema, v_map.table_name)
    ) using p_subject;
  end loop;
end;
$$;
comment on function privacy.folders_of(uuid, boolean) is
'Where the person''s files are: objects, and folders (they end in a slash). Not those that the law keeps, unless '
'asked for.';

create or replace function public.privacy_erasure_folders(p_request_id uuid) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_request privacy.requests;
begin
  perform sec.require_ops();
  p_request_id := sec.valid_uuid('request_id', p_request_id);
  v_request := privacy.locked_request(p_request_id, 'erasure');
  perform privacy.require_sound_map();
  return json_build_object('ok', true, 'folders', (
    select coalesce(json_agg(f order by f.bucket, f.path), '[]')
      from privacy.folders_of(v_request.subject_user_id, false) f
  ));
end;
$$;
comment on function public.privacy_erasure_folders(uuid) is 'Ops: the folders whose files an erasure would delete.';

create or replace function public.plan_privacy_erasure(p_request_id uuid, p_files jsonb default '[]') returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
set datestyle = 'ISO, YMD'
as $$
declare
  v_request privacy.requests;
  v_plan jsonb;
  v_sha256 text;
begin
  perform sec.require_ops();
  p_request_id := sec.valid_uuid('request_id', p_request_id);
  p_files := sec.valid_json('files', p_files, 'array', 16000000);
  v_request := privacy.locked_request(p_request_id, 'erasure');
  perform privacy.require_status(v_request, 'approved');
  perform privacy.require_sound_map();
  v_plan := privacy.plan(v_request, p_files);
  v_sha256 := encode(sha256(convert_to(v_plan::text, 'UTF8')), 'hex');
  insert into privacy.plans (request_id, body, files) values (p_request_id, v_plan::text, p_files)
  on conflict (request_id) do update set body = excluded.body, files = excluded.files;
  update privacy.requests set plan_sha256 = v_sha256, planned_at = now() where id = p_request_id;
  perform audit.record(
    'privacy.planned', jsonb_build_object('privacy_request_id', p_request_id, 'plan_sha256', v_sha256)
  );
  return json_build_object(
    'ok', true, 'request_id', p_request_id, 'plan_sha256', v_sha256,
    'plan', (select coalesce(jsonb_agg(step - 'digest'), '[]') from jsonb_array_elements(v_plan -> 'tables') as step),
    'kept', v_plan -> 'kept', 'files', v_plan -> 'files', 'document', v_plan::text
  );
end;
$$;
comment on function public.plan_privacy_erasure(uuid, jsonb) is
'Ops: the dry-run of an approved erasure. p_files lists the files that would be deleted; document is the plan whose '
'hash counts.';
