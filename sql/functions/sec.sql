-- Who is calling. Claims come from the edge in request.jwt.claims, and count in its own sessions alone: anybody can set
-- them. The database role comes from the login, or from `set role` in psql. Neither can raise the other: service needs
-- the role itself, ops needs the stored persona.
-- Policies run these under the reader's own search_path. A body after `return` is parsed once, here, so no path changes
-- what it means, and it is still inlined; plpgsql sets its path.

create or replace function sec.from_edge() returns boolean
language sql stable
return session_user in ('web_anon', 'web_authenticated', 'web_service');
comment on function sec.from_edge() is
'Internal: whether the session is one of the service itself, which has verified what it says in request.jwt.claims '
'and request.switches.';

create or replace function auth.claims() returns jsonb
language sql stable
return case when sec.from_edge() then coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')
  else '{}' end::jsonb;
comment on function auth.claims() is 'Internal: the verified token''s claims; {} in psql, whatever is set there.';

create or replace function auth.uid() returns uuid
language sql stable
return nullif(auth.claims() ->> 'sub', '')::uuid;
comment on function auth.uid() is 'Internal: the signed-in user''s id, null for keys and in psql.';

create or replace function sec.session_role() returns text
language sql stable
return coalesce(nullif(current_setting('role'), 'none'), session_user);
comment on function sec.session_role() is
'Internal: the role this session acts as, the same inside security definer functions, where current_user is the owner.';

create or replace function sec.is_service() returns boolean
language sql stable
return pg_has_role(sec.session_role(), 'service_role', 'usage');
comment on function sec.is_service() is 'Internal: the service key, or a psql session as service_role.';

create or replace function sec.is_ops() returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_user uuid;
begin
  if sec.is_service() then
    return true;
  end if;
  v_user := auth.uid();
  if v_user is null then
    return pg_has_role(sec.session_role(), 'ops_staff', 'usage');
  end if;
  return coalesce((select persona = 'ops' from core.profiles where auth_user_id = v_user), false);
end;
$$;
comment on function sec.is_ops() is
'Internal: whether the caller is ops: the service role, a user whose persona is ops now, or psql as a member of '
'ops_staff. In policies always (select sec.is_ops()).';

create or replace function sec.refuse(p_rule text, p_message text, p_code text default '42501') returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  if sec.from_edge() then
    raise exception using errcode = p_code, constraint = p_rule, message = p_message;
  end if;
  raise exception using
    errcode = p_code, constraint = p_rule, message = p_message,
    hint = format('%s is the login. As ops: ecotrips psql. As the service: ecotrips psql --service.', session_user);
end;
$$;
comment on function sec.refuse(text, text, text) is
'Internal: refuses what ops and the service may; in psql, not over HTTP, the hint says by which login.';

create or replace function sec.require_ops() returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  perform sec.ops_only();
end;
$$;
comment on function sec.require_ops() is 'Internal: raises ops_only (42501) unless the caller is ops.';

create or replace function sec.ops_only() returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  if not sec.is_ops() then
    perform sec.refuse('ops_only', 'Only ops may do this');
  end if;
  return true;
end;
$$;
comment on function sec.ops_only() is
'Internal: true for ops, raises ops_only for others: what nobody else may see is refused to them, not shown empty. In '
'views always (select sec.ops_only()), in policies never: a condition that finds rows by an index would tell of them.';

create or replace function sec.require_service() returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
  if not sec.is_service() then
    perform sec.refuse('service_only', 'Only the service may do this');
  end if;
end;
$$;
comment on function sec.require_service() is
'Raises service_only (42501) unless the caller is the service: begins what staff in psql may call only to be told so.';

create or replace function sec.actor() returns text
language sql stable
return coalesce(
  auth.uid()::text,
  case session_user when 'web_anon' then 'anonymous' when 'web_service' then 'service-role' else session_user::text end
);
comment on function sec.actor() is
'Internal: the name of the caller in the audit trail: a user''s uuid, service-role, anonymous, or in psql the login.';

create or replace function sec.request_id() returns text
language sql volatile
return case
  when sec.from_edge() and current_setting('request.id', true) <> '' then current_setting('request.id')
  -- What a session of psql calls its work, within an HTTP request id's letters and length, and never mistaken for one.
  when current_setting('request.id', true) ~ '^psql-[A-Za-z0-9._-]{1,123}$' then current_setting('request.id')
  when current_setting('request.id', true) ~ '^[A-Za-z0-9._-]{1,123}$' then 'psql-' || current_setting('request.id')
  else set_config('request.id', 'psql-' || gen_random_uuid(), true)
end;
comment on function sec.request_id() is
'Internal: the request id of the HTTP call; in psql its own request.id with psql- before it, else one made for this '
'transaction.';
