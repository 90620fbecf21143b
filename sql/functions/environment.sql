-- Production (docs/security.md): no switch mocks anything in a database that knows that it is production's.

create or replace function meta.is_production() returns boolean
language sql stable
return coalesce((select name from meta.environment), 'production') = 'production';
comment on function meta.is_production() is
'Service: whether this database is a production one; without a word of it, it is.';

create or replace function meta.set_environment(p_name text) returns text[]
language plpgsql volatile
as $$
declare
  v_removed text[];
begin
  if exists (select from meta.environment where name = p_name) then
    return '{}'::text[];
  end if;
  if current_setting('lock_timeout') = '0' then
    set local lock_timeout = '10s';
  end if;
  -- Sessions that have read the old name hold a lock, which is waited for.
  lock table meta.environment in access exclusive mode;
  update meta.environment set name = p_name, changed_at = now();
  with removed as (
    delete from ops.flags where p_name = 'production' and ops.is_mock(name, value) returning name
  )
  select coalesce(array_agg(name order by name), '{}'::text[]) into v_removed from removed;
  perform audit.record('environment.set', jsonb_build_object('name', p_name, 'flags_removed', v_removed));
  perform pg_notify('ecotrips_flags', '');
  return v_removed;
end;
$$;
comment on function meta.set_environment(text) is
'Administrator: says what this database is, removes the switches that mock something when that is production, and '
'names them.';

create or replace function ops.is_mock(p_name text, p_value text) returns boolean
language sql immutable
return p_name not in ('PAYOUTS_PAUSED', 'ESCROW_REFUNDS_PAUSED') and p_value not in ('0', 'live');
comment on function ops.is_mock(text, text) is
'Whether a switch so mocks something: any that is not known to do something else, with a value that is not the live '
'one.';

create or replace function ops.refuse_in_production() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  -- The lock is taken before the statement's snapshot, so meta.set_environment runs before or after this transaction,
  -- never within it.
  if (select name from meta.environment) is distinct from 'development' then
    raise exception using
      errcode = 'PT409', constraint = 'production_is_live',
      message = 'This is a production database: nothing is mocked in it';
  end if;
  return new;
end;
$$;
comment on function ops.refuse_in_production() is
'Trigger: refuses rows that mock something; a request that began while it was allowed included.';

create or replace trigger refuse_in_production before insert or update on ops.flags
for each row when (ops.is_mock(new.name, new.value)) execute function ops.refuse_in_production();
create or replace trigger refuse_in_production before insert on payment.payments
for each row when (new.mode = 'mock') execute function ops.refuse_in_production();
create or replace trigger refuse_in_production before insert on wa.messages
for each row when (new.mode = 'mock') execute function ops.refuse_in_production();
create or replace trigger refuse_in_production before insert on ops.exceptions
for each row when (new.source = 'fixtures') execute function ops.refuse_in_production();
create or replace trigger refuse_in_production before insert on inventory.holds
for each row when (new.source = 'fixtures') execute function ops.refuse_in_production();
