-- What belongs to this database itself: neither a dump of it nor a copy with it as the template carries that. Runs as
-- the administrator after roles.sql, whenever SQL is applied and before a restore, so all of it may run twice.

do $$
declare
  v_callers constant text := 'public, anon, authenticated, service_role, ops_staff, web_anon, web_authenticated,'
    ' web_service, psql_staff, psql_service';
  v_owner constant text := (select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'public');
  -- Functions by which anybody can write to the disk without a right on any table: large objects, log records, files.
  v_writers constant text[] := array[
    'lo_creat', 'lo_create', 'lo_export', 'lo_from_bytea', 'lo_import', 'lo_put', 'lo_truncate', 'lo_truncate64',
    'lo_unlink',
    'lowrite', 'pg_export_snapshot', 'pg_logical_emit_message'
  ];
  -- Functions by which anybody can use up shared locks and transaction ids. Of our logins only the administrator needs
  -- them.
  v_hoarders constant text[] := array[
    'pg_advisory_lock', 'pg_advisory_lock_shared', 'pg_advisory_xact_lock', 'pg_advisory_xact_lock_shared',
    'pg_try_advisory_lock', 'pg_try_advisory_lock_shared', 'pg_try_advisory_xact_lock',
    'pg_try_advisory_xact_lock_shared',
    'pg_current_xact_id', 'txid_current'
  ];
  v_function regprocedure;
begin
  execute format('grant create on database %I to ecotrips_owner', current_database());
  -- Who may make a temporary type, table or function can name it like one of ours and wait for a function with more
  -- rights to take it (PostgreSQL's manual, "Writing SECURITY DEFINER Functions Safely").
  execute format('revoke create, temporary on database %I from %s', current_database(), v_callers);
  -- Only a superuser can revoke it.
  for v_function in
    select oid from pg_proc
    where pronamespace = 'pg_catalog'::regnamespace and proname = any (v_writers || v_hoarders)
      and has_function_privilege('public', oid, 'execute') and pg_has_role(proowner, 'usage')
  loop
    -- The administrator, who need not be a superuser, applies SQL and makes backups.
    execute format('grant execute on function %s to ecotrips_owner', v_function);
    execute format('revoke execute on function %s from public', v_function);
  end loop;
  -- Limits temporary files of each process, for sorts and for cursors that outlive their transaction.
  if has_parameter_privilege('temp_file_limit', 'set')
    and (select reset_val from pg_settings where name = 'temp_file_limit') = '-1'
  then
    execute format('alter database %I set temp_file_limit = %L', current_database(), '1GB');
  end if;
  -- The schema public is the database owner's. Rights that another role granted on it only a superuser could restore.
  execute format('set local role %I', v_owner);
  revoke grant option for create, usage on schema public from ecotrips_owner cascade;
  revoke all on schema public from public;
  grant create, usage on schema public to ecotrips_owner;
  grant usage on schema public to anon, authenticated, service_role;
  reset role;
end;
$$;
