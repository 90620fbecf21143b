-- The audit trail: written by every function that changes something, in the same transaction. Never changed.

create or replace function audit.record(p_what text, p_payload jsonb default '{}') returns void
language sql volatile
as $$
  insert into audit.events (who, what, request_id, payload) values (sec.actor(), p_what, sec.request_id(), p_payload)
$$;
comment on function audit.record(text, jsonb) is
'Adds one event; the payload holds ids and states, never personal data.';

create or replace function audit.refuse_change() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using
    errcode = 'PT409',
    constraint = 'append_only',
    message = format('%s.%s is append-only', tg_table_schema, tg_table_name),
    hint = 'Record a correction as a new row.';
end;
$$;
comment on function audit.refuse_change() is
'Trigger of append-only tables: refuses update, delete and truncate for everyone.';

create or replace trigger refuse_change before update or delete or truncate on audit.events
for each statement execute function audit.refuse_change();

-- A function cannot choose its isolation level. In one snapshot for the whole transaction its guards would miss what
-- others commit, so such a transaction is refused; serializable would only help if all were serializable.
create or replace function audit.require_read_committed() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    -- An SQLSTATE that no function catches as a rule of its own.
    raise exception using
      errcode = 'invalid_transaction_state',
      constraint = 'read_committed',
      message = 'What changes something runs in a transaction that is read committed',
      hint = 'begin isolation level read committed';
  end if;
  return null;
end;
$$;
comment on function audit.require_read_committed() is
'Trigger of the audit trail, which every change writes: raises read_committed in a transaction that may see old rows.';

create or replace trigger require_read_committed before insert on audit.events
for each statement execute function audit.require_read_committed();

create or replace function audit.record_writes() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_rows bigint := (select count(*) from written);
begin
  if v_rows > 0 then
    perform audit.record(
      format('%s.%s.%s', tg_table_schema, tg_table_name, lower(tg_op)),
      jsonb_build_object('rows', v_rows, 'first', (
        select jsonb_agg((
          select jsonb_object_agg(
            told,
            case
              when right(told, 7) = '_sha256'
                then to_jsonb(encode(sha256(convert_to(to_jsonb(w) ->> replace(told, '_sha256', ''), 'UTF8')), 'hex'))
              else to_jsonb(w) -> told
            end
          )
          from unnest(tg_argv) told
        ))
        from (select * from written limit 100) w
      ))
    );
  end if;
  return null;
end;
$$;
comment on function audit.record_writes() is
'Trigger of tables that callers write themselves: an event for each statement, with the columns that are its '
'arguments; of <column>_sha256 the digest.';

-- Only the digest of a person's id is kept, so that nothing has to be erased.
-- Changes by triggers and cascades belong to the statement that caused them.
do $$
declare
  v_table text;
  v_event text;
  v_told text;
begin
  for v_table, v_told in values
    ('core.profiles', 'auth_user_id_sha256, persona'),
    ('booking.itineraries', 'id, status'),
    ('booking.items', 'id, itinerary_id'),
    ('booking.suppliers', 'code')
  loop
    foreach v_event in array array['insert', 'update', 'delete'] loop
      execute format(
        'create or replace trigger record_%1$s after %1$s on %2$s referencing %3$s table as written'
        ' for each statement when (pg_trigger_depth() = 0) execute function audit.record_writes(%4$s)',
        v_event, v_table, case v_event when 'delete' then 'old' else 'new' end, v_told
      );
    end loop;
  end loop;
end;
$$;
