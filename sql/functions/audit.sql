-- The audit trail: written by every function that changes something, in the same transaction. Never changed.

create or replace function audit.record(p_what text, p_payload jsonb default '{}') returns void
language sql volatile
as $$
  insert into audit.events (who, what, request_id, payload) values (sec.actor(), p_what, sec.request_id(), p_payload)
$$;
comment on function audit.record(text, jsonb) is 'Adds one event; the payload holds ids and states, never personal data.';

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
comment on function audit.refuse_change() is 'Trigger of append-only tables: refuses update, delete and truncate for everyone.';

create or replace trigger refuse_change before update or delete or truncate on audit.events
for each statement execute function audit.refuse_change();
