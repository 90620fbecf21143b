-- What operators read about privacy requests and about the map.

create or replace view privacy.queue with (security_invoker = true) as
select
  id,
  kind,
  status,
  subject_user_id,
  due_at,
  ceil(extract(epoch from due_at - now()) / 86400)::int as days_left,
  due_at < now() as overdue,
  extension_reason,
  created_at
from privacy.requests
where status not in ('completed', 'rejected') and (select sec.ops_only());
comment on view privacy.queue is 'Open requests and how long there is to answer them, for ops only; order by due_at.';

create or replace view privacy.map_faults with (security_invoker = true) as
with existing as (
  select n.nspname as table_schema, c.relname as table_name, a.attname as column_name, a.attnotnull, a.atttypid,
    format_type(a.atttypid, null) as type, c.oid, a.attnum, format('%s.%s.%s', n.nspname, c.relname, a.attname) as path
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  where c.relkind in ('r', 'p') and pg_get_userbyid(c.relowner) = 'ecotrips_owner' and c.relpersistence <> 't'
),
mapped as (
  select d.table_schema, d.table_name, d.column_name, d.erase_action, m.erasure, m.retain_from, m.files,
    exists (select from privacy.links l where l.table_schema = d.table_schema and l.table_name = d.table_name) as linked
  from privacy.data_map d
  join privacy.mapped_tables m using (table_schema, table_name)
)
select fault from (
  select format('%s.%s.%s is not classified', table_schema, table_name, column_name) as fault
  from existing e
  where not exists (
    select from mapped m
    where m.table_schema = e.table_schema and m.table_name = e.table_name and m.column_name = e.column_name
  )
  union all
  select format('%s.%s.%s is classified and does not exist', table_schema, table_name, column_name)
  from mapped m
  where format('%s.%s.%s', table_schema, table_name, column_name) not in (select path from existing)
  union all
  select format(
    '%s.%s.%s is to be erased by %s and cannot be', e.table_schema, e.table_name, e.column_name, m.erase_action
  )
  from mapped m
  join existing e using (table_schema, table_name, column_name)
  where (m.erase_action = 'null' and e.attnotnull)
    or (m.erase_action = 'redact' and e.type not in ('text', 'jsonb', 'json'))
    or (m.erase_action = 'token' and e.type not in ('text', 'uuid'))
  union all
  select format('%s.%s is %s and has %s to the person', table_schema, table_name, erasure,
    case when linked then 'a way' else 'no way' end)
  from (select distinct table_schema, table_name, erasure, linked from mapped) tables
  where linked = (erasure = 'none')
  union all
  select format('%s.%s is to be redacted and no column of it is', table_schema, table_name)
  from mapped
  group by table_schema, table_name
  having bool_or(erasure = 'redact') and not bool_or(erase_action in ('null', 'redact', 'token'))
  union all
  select format('%s.%s leads to the person by %s, which does not exist', table_schema, table_name, name)
  from privacy.links
  cross join lateral (
    values (table_schema, table_name, column_name), (parent_schema, parent_table, parent_column)
  ) as ends (schema, tab, col)
  cross join lateral format('%s.%s.%s', schema, tab, col) as name
  where tab is not null and name not in (select path from existing)
  union all
  select format('%s.%s leads to the person through %s.%s, which has no way to them', table_schema, table_name,
    parent_schema, parent_table)
  from privacy.links l
  where parent_table is not null
    and not exists (
      select from privacy.links p where p.table_schema = l.parent_schema and p.table_name = l.parent_table
    )
  union all
  select format('%s.%s has no column %s, from which it is kept', table_schema, table_name, retain_from)
  from privacy.mapped_tables
  where retain_from is not null
    and format('%s.%s.%s', table_schema, table_name, retain_from) not in (select path from existing)
  union all
  select format('%s.%s names its files by a column that it lacks: %s', table_schema, table_name, files)
  from privacy.mapped_tables
  where files is not null
    and format('%s.%s.%s', table_schema, table_name, substring(files from '\{(\w+)\}')) not in (select path
      from existing)
  union all
  select format('%s.%s has no column %s, by which it grows old', table_schema, table_name, age_column)
  from privacy.retention
  where format('%s.%s.%s', table_schema, table_name, age_column) not in (select path from existing)
  union all
  select format('%s.%s cannot be deleted while rows of %s refer to it', table_schema, table_name, f.conrelid::regclass)
  from privacy.mapped_tables m
  join pg_constraint f on f.contype = 'f' and f.confrelid = to_regclass(format('%I.%I', m.table_schema, m.table_name))
  where m.erasure = 'delete' and f.confdeltype in ('a', 'r')
    and not exists (
      select from privacy.mapped_tables c
      where to_regclass(format('%I.%I', c.table_schema, c.table_name)) = f.conrelid and c.erasure = 'delete'
    )
) faults
where (select sec.ops_only());
comment on view privacy.map_faults is
'Where the map and the catalog differ. While there is one, nothing is planned or erased.';
