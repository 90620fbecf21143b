-- What belongs to this database itself: neither a dump of it nor a copy with it as the template carries that. Runs as
-- the administrator after roles.sql, whenever SQL is applied and before a restore, so all of it may run twice.

do $$
declare
  v_callers constant text := 'public, anon, authenticated, service_role, ops_staff, web_anon, web_authenticated,'
    ' web_service, psql_staff, psql_service';
  v_owner constant text := (select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'public');
begin
  execute format('grant create on database %I to ecotrips_owner', current_database());
  -- Who may make a temporary type, table or function can name it like one of ours and wait for a function with more
  -- rights to take it (PostgreSQL's manual, "Writing SECURITY DEFINER Functions Safely").
  execute format('revoke create, temporary on database %I from %s', current_database(), v_callers);
  -- The schema public is the database owner's. Rights that another role granted on it only a superuser could restore.
  execute format('set local role %I', v_owner);
  revoke grant option for create, usage on schema public from ecotrips_owner cascade;
  revoke all on schema public from public;
  grant create, usage on schema public to ecotrips_owner;
  grant usage on schema public to anon, authenticated, service_role;
  reset role;
end;
$$;
