-- A person's copy of what we know of them, table by table.

create or replace function public.begin_privacy_export(p_request_id uuid) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
-- @plpgsql_check_options: security_warnings = off
declare
  v_request privacy.requests;
  v_map privacy.mapped_tables;
  v_rows bigint;
  v_tables jsonb := '[]'::jsonb;
begin
  perform sec.require_ops();
  p_request_id := sec.valid_uuid('request_id', p_request_id);
  v_request := privacy.locked_request(p_request_id, 'export');
  perform privacy.require_status(v_request, 'approved', 'completed');
  perform privacy.require_sound_map();
  for v_map in select * from privacy.mapped_tables where erasure <> 'none'
    order by table_schema collate "C", table_name collate "C" loop
    execute format(
      'select count(*) from %I.%I target where %s',
      v_map.table_schema, v_map.table_name, privacy.subject_predicate(v_map.table_schema, v_map.table_name)
    ) into v_rows using v_request.subject_user_id;
    if v_rows > 0 then
      v_tables := v_tables || jsonb_build_object(
        'schema', v_map.table_schema, 'table', v_map.table_name, 'label', v_map.label, 'rows', v_rows,
        'columns', (
          select jsonb_object_agg(column_name, label) from privacy.data_map
          where table_schema = v_map.table_schema and table_name = v_map.table_name and exported
        )
      );
    end if;
  end loop;
  -- The path is known before the archive exists, so that an unfinished one is deleted, too.
  update privacy.requests
  set export_path = id || '/export.zip', export_expires_at = now() + interval '7 days' where id = p_request_id;
  perform audit.record('privacy.export_begun', jsonb_build_object('privacy_request_id', p_request_id));
  return json_strip_nulls(json_build_object(
    'ok', true, 'request_id', p_request_id, 'tables', v_tables,
    'folders', (select coalesce(json_agg(f order by f.bucket, f.path), '[]')
    from privacy.folders_of(v_request.subject_user_id, true) f)
  ));
end;
$$;
comment on function public.begin_privacy_export(uuid) is
'Ops: the tables that hold rows of an approved export''s person, with labels, and where their files are.';

create or replace function public.read_privacy_export(
  p_request_id uuid, p_schema text, p_table text, p_offset bigint, p_limit int
)
returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
as $$
declare
  v_request privacy.requests;
  v_rows json;
begin
  perform sec.require_ops();
  p_request_id := sec.valid_uuid('request_id', p_request_id);
  p_offset := sec.valid_integer('offset', p_offset, 0, 1000000000000);
  p_limit := sec.valid_integer('limit', p_limit, 1, 10000);
  v_request := privacy.locked_request(p_request_id, 'export');
  perform privacy.require_status(v_request, 'approved', 'completed');
  if not exists (
    select from privacy.mapped_tables where table_schema = p_schema and table_name = p_table and erasure <> 'none'
  ) then
    raise exception using errcode = 'PT404', constraint = 'table_mapped', message = 'No such table of personal data';
  end if;
  execute format(
    'select coalesce(json_agg(json_strip_nulls(to_json(page))), ''[]'') from (
       select %s from %I.%I target where %s order by %s offset $2 limit $3
     ) page',
    (
      select string_agg(format('target.%I', column_name), ', ' order by column_name) from privacy.data_map
      where table_schema = p_schema and table_name = p_table and exported
    ),
    p_schema, p_table, privacy.subject_predicate(p_schema, p_table),
    (select string_agg(format('target.%I', name), ', ') from unnest(privacy.key_columns(p_schema, p_table)) as name)
  ) into v_rows using v_request.subject_user_id, p_offset, p_limit;
  return v_rows;
end;
$$;
comment on function public.read_privacy_export(uuid, text, text, bigint, int) is
'Ops: some of the person''s rows of one table, by its key, without the technical columns.';

create or replace function public.record_privacy_export(
  p_request_id uuid, p_path text, p_sha256 text, p_expires_at timestamptz
)
returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_request privacy.requests;
begin
  perform sec.require_ops();
  p_request_id := sec.valid_uuid('request_id', p_request_id);
  p_path := sec.valid_choice(
    'path', p_path, array[p_request_id || '/export.zip'], p_message => 'path must be <request_id>/export.zip'
  );
  p_sha256 := sec.valid_pattern(p_sha256, '^[0-9a-f]{64}$', 'sha256 must be 64 hex digits');
  p_expires_at := sec.valid_time('expires_at', p_expires_at);
  if p_expires_at <= now() then
    perform sec.refuse_input('expires_at must lie ahead');
  end if;
  v_request := privacy.locked_request(p_request_id, 'export');
  perform privacy.require_status(v_request, 'approved', 'completed');
  if v_request.export_path is null then
    raise exception using
      errcode = 'PT409', constraint = 'export_overtaken', message = 'The person''s data was erased while it was copied';
  elsif v_request.status = 'approved' then
    update privacy.requests set status = 'processing' where id = p_request_id;
    update privacy.requests set status = 'completed' where id = p_request_id;
  end if;
  update privacy.requests set export_path = p_path, export_sha256 = p_sha256, export_expires_at = p_expires_at
    where id = p_request_id;
  perform audit.record('privacy.exported', jsonb_build_object('privacy_request_id', p_request_id, 'sha256', p_sha256));
  return json_build_object('ok', true, 'request_id', p_request_id, 'status', 'completed');
end;
$$;
comment on function public.record_privacy_export(uuid, text, text, timestamptz) is
'Ops: an export''s bundle is stored; the request is completed and remembers it until its link ends.';
