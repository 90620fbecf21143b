-- Roles, which belong to the server and not to a dump of the database. Runs as the administrator whenever SQL is
-- applied, before anything else, so all of it may run twice.

do $$
declare
  v_role text;
begin
  foreach v_role in array array['ecotrips_owner', 'anon', 'authenticated', 'service_role', 'ops_staff'] loop
    if not exists (select from pg_roles where rolname = v_role) then
      execute format('create role %I nologin', v_role);
    end if;
  end loop;
  -- One login for each caller's role: rights and row policies are bound when a statement is planned, so a
  -- connection must already be the role it reads as (and cannot become another one).
  -- And two for people in psql: what a person does is not what the service says that a caller did (sec.from_edge()).
  foreach v_role in array array['web_anon', 'web_authenticated', 'web_service', 'psql_staff', 'psql_service'] loop
    if not exists (select from pg_roles where rolname = v_role) then
      execute format('create role %I login inherit', v_role);
    end if;
  end loop;
end;
$$;

grant anon to web_anon;
grant authenticated to web_authenticated;
grant service_role to web_service, psql_service;
-- Who may log in to the database as staff reads and calls all that an authenticated caller may, and is ops.
grant authenticated to ops_staff;
grant ops_staff to psql_staff;
-- An administrator who is no superuser may still do what ops and the service may.
grant ops_staff, service_role to ecotrips_owner;

do $$
begin
  execute format('grant ecotrips_owner to %I', current_user);
end;
$$;

-- What \du+ tells an administrator.
comment on role ecotrips_owner is 'ecoTrips: owns what db apply makes; administrators are in it';
comment on role anon is 'ecoTrips: what callers without a token may do';
comment on role authenticated is 'ecoTrips: what callers with a token may do';
comment on role service_role is 'ecoTrips: what the service itself may do';
comment on role ops_staff is 'ecoTrips: what staff may do in psql';
comment on role web_anon is 'ecoTrips: the login of the service for callers without a token';
comment on role web_authenticated is 'ecoTrips: the login of the service for callers with a token';
comment on role web_service is 'ecoTrips: the login of the service for itself';
comment on role psql_staff is 'ecoTrips: the login of people in ecotrips psql';
comment on role psql_service is 'ecoTrips: the login of people in ecotrips psql --service';

-- A login can change its own settings and password, so one user of a shared login could lock out the others. Settings
-- that are not made below are reset, in every database.
do $$
declare
  v_set record;
begin
  for v_set in
    select r.rolname, d.datname from pg_db_role_setting s join pg_roles r on r.oid = s.setrole
    left join pg_database d on d.oid = s.setdatabase
    where r.rolname in ('web_anon', 'web_authenticated', 'web_service', 'psql_staff', 'psql_service')
  loop
    execute format('alter role %I', v_set.rolname) || coalesce(' in database ' || quote_ident(v_set.datname), '')
    || ' reset all';
  end loop;
end;
$$;

-- Each login has a connection limit that suits a team, because any login could use up the server's sessions.
alter role psql_staff connection limit 20;
alter role psql_service connection limit 20;

-- An idle transaction keeps its locks, on money too, so it is ended.
alter role psql_staff set idle_in_transaction_session_timeout = '5min';
alter role psql_service set idle_in_transaction_session_timeout = '5min';

alter role web_anon set statement_timeout = '8s';
alter role web_authenticated set statement_timeout = '8s';
alter role web_service set statement_timeout = '30s';
alter role web_anon set lock_timeout = '4s';
alter role web_authenticated set lock_timeout = '4s';
alter role web_service set lock_timeout = '4s';
alter role web_anon set idle_in_transaction_session_timeout = '15s';
alter role web_authenticated set idle_in_transaction_session_timeout = '15s';
alter role web_service set idle_in_transaction_session_timeout = '60s';
