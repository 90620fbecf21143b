-- Schemas and the register of applied files. Runs as the administrator; every later file runs as ecotrips_owner.

do $$
declare
  v_schema text;
begin
  foreach v_schema in array array[
    'core', 'sec', 'auth', 'booking', 'payment', 'fin', 'group', 'permits', 'privacy', 'audit', 'catalog', 'inventory',
    'wa', 'ops', 'storage', 'meta'
  ] loop
    execute format('create schema %I authorization ecotrips_owner', v_schema);
  end loop;
end;
$$;

revoke all on schema public from public;
grant create, usage on schema public to ecotrips_owner with grant option;
alter default privileges for role ecotrips_owner revoke execute on functions from public;

create table meta.applied (
  file text primary key,
  digest text not null,
  ordinal int not null,
  applied_at timestamptz not null default now()
);
alter table meta.applied owner to ecotrips_owner;
