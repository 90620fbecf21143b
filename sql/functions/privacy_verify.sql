-- Proof after the fact: is anything left that names an erased person? What they were known by is compared by keyed
-- digests (privacy.suppressions), because the words themselves are gone.

create or replace function privacy.known_by(p_request_id uuid, p_secret text) returns bytea[]
language plpgsql stable
as $$
declare
  v_body jsonb;
begin
  perform privacy.require_secret(p_secret);
  select body into v_body from privacy.certificates where request_id = p_request_id;
  if not found then
    raise exception using
      errcode = 'PT409', constraint = 'erasure_executed', message = 'Only an executed erasure can be verified';
  elsif v_body ->> 'key' <> privacy.key_id(p_secret) then
    raise exception using
      errcode = 'PT409', constraint = 'privacy_key',
      message = 'The erasure was executed under another PRIVACY_HMAC_SECRET';
  elsif v_body ->> 'signature' <> encode(
    privacy.hmac(p_secret, 'certificate:' || (v_body - 'signature')::text), 'hex'
  ) then
    raise exception using errcode = 'PT409', constraint = 'certificate_sound', message = 'The certificate was altered';
  end if;
  return (select coalesce(array_agg(token), '{}') from privacy.suppressions where request_id = p_request_id);
end;
$$;
comment on function privacy.known_by(uuid, text) is
'The digests of an executed erasure. Raises erasure_executed, privacy_key and certificate_sound when they could prove '
'nothing.';

create or replace function public.find_erased_subject(p_request_id uuid, p_secret text)
returns table (table_schema text, table_name text, column_name text, kind text, found bigint, kept boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
-- @plpgsql_check_options: security_warnings = off, extra_warnings = off
declare
  v_tokens bytea[];
  v_subject uuid;
  v_column record;
begin
  perform sec.require_ops();
  v_tokens := privacy.known_by(p_request_id, p_secret);
  select subject_user_id into v_subject from privacy.requests where id = p_request_id;
  for v_column in
    select d.table_schema, d.table_name, d.column_name, d.erase_action = 'keep' as kept, type
    from privacy.data_map d
    cross join lateral privacy.type_of(d.table_schema, d.table_name, d.column_name) as type
    where type in ('uuid', 'text', 'character varying', 'name', 'json', 'jsonb', 'text[]')
    order by d.table_schema, d.table_name, d.column_name
  loop
    return query execute format(
      $q$
        select %1$L, %2$L, %3$L, 'id', count(*), %4$L::boolean from %1$I.%2$I target
        where strpos(target.%3$I::text, $1) > 0 having count(*) > 0
        union all
        select %1$L, %2$L, %3$L, known.kind, count(*), %4$L::boolean
        from %1$I.%2$I target cross join lateral privacy.identifiers_in(target.%3$I::text) known
        where %5$L <> 'uuid'
          and sha256($2 || sha256($3 || convert_to(known.kind || ':' || known.value, 'UTF8'))) = any ($4)
        group by known.kind
      $q$,
      v_column.table_schema, v_column.table_name, v_column.column_name, v_column.kept, v_column.type
    ) using v_subject::text, privacy.hmac_pad(p_secret, 92), privacy.hmac_pad(p_secret, 54), v_tokens;
  end loop;
end;
$$;
comment on function public.find_erased_subject(uuid, text) is
'Ops: every mapped column that still holds the id, e-mail address, telephone number or name of an erased person, and '
'in how
many rows; kept says that the law keeps them there. Reads whole tables.';

create or replace function public.find_erased_subject_in_text(p_request_id uuid, p_text text, p_secret text)
returns text[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_tokens bytea[];
  v_inner bytea;
  v_outer bytea;
begin
  perform sec.require_ops();
  perform privacy.require_secret(p_secret);
  v_inner := privacy.hmac_pad(p_secret, 54);
  v_outer := privacy.hmac_pad(p_secret, 92);
  v_tokens := privacy.known_by(p_request_id, p_secret);
  return (
    select array_agg(distinct kind order by kind)
    from (
      select 'id' as kind from privacy.requests where id = p_request_id and strpos(p_text, subject_user_id::text) > 0
      union all
      select kind from privacy.identifiers_in(p_text)
      where sha256(v_outer || sha256(v_inner || convert_to(kind || ':' || value, 'UTF8'))) = any (v_tokens)
    ) found
  );
end;
$$;
comment on function public.find_erased_subject_in_text(uuid, text, text) is
'Ops: which kinds of an erased person''s identifiers a text (a stored file''s) holds; null for none.';
