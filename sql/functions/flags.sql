-- Run-time switches (docs/api.md, Switches). The environment gives the default, a row overrides it at once. In psql the
-- environment is the one of the last `ecotrips db apply`: a session cannot choose to have its money mocked.

create or replace function ops.flag(p_name text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if p_name not in ('PAYOUTS_PAUSED', 'ESCROW_REFUNDS_PAUSED')
    and (select name from meta.environment) is distinct from 'development' then
    return case p_name when 'OPS_REFUND_MODE' then 'live' else '0' end;
  end if;
  return coalesce(
    (select value from ops.flags where name = p_name),
    case when sec.from_edge() then nullif(current_setting('request.switches', true), '')::jsonb ->> p_name
      else (select value from ops.switch_defaults where name = p_name)
    end,
    case p_name when 'OPS_REFUND_MODE' then 'live' else '0' end
  );
end;
$$;
comment on function ops.flag(text) is
'Service: the switch''s value in force: the row, else the calling service''s environment (request.switches; in psql '
'ops.switch_defaults), else live; in a production database live whatever they say, but for pauses.';

create or replace function ops.set_flag(p_name text, p_value text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform sec.require_ops();
  p_name := sec.valid_choice('name', p_name, array[
    'USE_FIXTURES', 'INVENTORY_OFFLINE', 'WA_OFFLINE', 'STRIPE_MOCK_MODE', 'OPS_REFUND_MODE', 'PAYOUTS_PAUSED',
    'ESCROW_REFUNDS_PAUSED'
  ]);
  p_value := sec.valid_choice(
    p_name, p_value, case p_name when 'OPS_REFUND_MODE' then array['live', 'mock'] else array['0', '1'] end,
    p_optional => true
  );
  if p_value is null then
    delete from ops.flags where name = p_name;
  else
    insert into ops.flags (name, value, updated_by) values (p_name, p_value, sec.actor())
    on conflict (name) do update set value = excluded.value, updated_by = excluded.updated_by, updated_at = now();
  end if;
  perform audit.record('flags.set', jsonb_build_object('name', p_name, 'value', p_value));
  perform pg_notify('ecotrips_flags', p_name);
  return p_value;
end;
$$;
comment on function ops.set_flag(text, text) is
'Ops: turns a switch; null removes the override. Every process obeys at its next request.';
