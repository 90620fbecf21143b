-- From the data map to SQL: which rows are a person's, and what an erasure does with them. Every name in the statements
-- made here is looked up in the catalog by privacy.map_faults first and quoted by format().

create or replace function privacy.subject_predicate(p_schema text, p_table text, p_alias text default 'target')
returns text
language plpgsql stable
as $$
declare
  v_link privacy.links;
  v_parts text[] := '{}'::text[];
  v_part text;
  v_type text;
  v_parent text := p_alias || '_';
begin
  for v_link in
    select * from privacy.links l where l.table_schema = p_schema and l.table_name = p_table
    order by l.column_name, l.parent_schema, l.parent_table
  loop
    v_type := privacy.type_of(p_schema, p_table, v_link.column_name);
    if v_link.parent_table is null then
      v_part := format(
        '%s.%I = %s', p_alias, v_link.column_name, case v_type when 'uuid' then '$1' else '$1::text' end
      );
    else
      v_part := format(
        '%s.%I in (select %s from %I.%I %s where %s)', p_alias, v_link.column_name,
        case v_link.compare
          when 'digits' then format(
            'regexp_replace(%s.%I, ''[^[:digit:]]'', '''', ''g'')', v_parent, v_link.parent_column
          )
          else format('%s.%I::%s', v_parent, v_link.parent_column, v_type)
        end,
        v_link.parent_schema, v_link.parent_table, v_parent,
        privacy.subject_predicate(v_link.parent_schema, v_link.parent_table, v_parent)
      );
    end if;
    if v_link.fallback then
      v_part := v_part || (
        select coalesce(string_agg(format(
          ' and not exists (select from %I.%I other where other.%I = %s.%I)',
          o.parent_schema, o.parent_table, o.parent_column, p_alias, o.column_name
        ), ''), '')
        from privacy.links o
        where o.table_schema = p_schema and o.table_name = p_table and not o.fallback and o.parent_table is not null
      );
    end if;
    v_parts := v_parts || v_part;
  end loop;
  if cardinality(v_parts) < 2 then
    return v_parts[1];
  end if;
  -- A plain `or` of subqueries would read the whole table; each branch of a union uses its own index.
  return format(
    '%s.ctid = any (array(%s))', p_alias,
    (
      select string_agg(
        format('select %s.ctid from %I.%I %s where %s', p_alias, p_schema, p_table, p_alias, part), ' union '
      )
      from unnest(v_parts) as part
    )
  );
end;
$$;
comment on function privacy.subject_predicate(text, text, text) is
'The condition under which a row (alias p_alias) is of the person $1, by the table''s links; null for a table without.';

create or replace function privacy.type_of(p_schema text, p_table text, p_column text) returns text
language sql stable
as $$
  select format_type(a.atttypid, null)
  from pg_attribute a
  join pg_class c on c.oid = a.attrelid
  join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = p_schema and c.relname = p_table and a.attname = p_column and a.attnum > 0 and not a.attisdropped
$$;
comment on function privacy.type_of(text, text, text) is
'A column''s type as SQL writes it; null when there is no such column.';

create or replace function privacy.key_columns(p_schema text, p_table text) returns text[]
language sql stable
as $$
  select array_agg(a.attname::text order by a.attnum)
  from pg_index i
  join pg_class c on c.oid = i.indrelid
  join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
  where i.indisprimary and n.nspname = p_schema and c.relname = p_table
$$;
comment on function privacy.key_columns(text, text) is 'The columns of a table''s primary key.';

create or replace function privacy.depth(p_schema text, p_table text) returns int
language sql stable
as $$
  select coalesce(max(case when parent_table is null then 0 else 1 + privacy.depth(parent_schema, parent_table) end), 0)
  from privacy.links
  where table_schema = p_schema and table_name = p_table
$$;
comment on function privacy.depth(text, text) is
'How many tables lie between a table and the person. The deepest are erased first, while the way to them still stands.';

create or replace function privacy.path_of(p_schema text, p_table text) returns text
language sql stable
as $$
  select string_agg(
    column_name || coalesce(' → ' || concat_ws('.', parent_schema, parent_table, parent_column) || ' → '
    || privacy.path_of(parent_schema, parent_table), ''),
    ' or ' order by fallback, column_name
  )
  from privacy.links
  where table_schema = p_schema and table_name = p_table
$$;
comment on function privacy.path_of(text, text) is
'The way from a row to its person in words, for the readers of the map.';

create or replace function privacy.map_version() returns text
language sql stable
as $$
  select encode(sha256(convert_to(string_agg(line, E'\n' order by line), 'UTF8')), 'hex')
  from (
    select m::text as line from privacy.mapped_tables m
    union all select l::text from privacy.links l
    union all select d::text from privacy.data_map d
  ) lines
$$;
comment on function privacy.map_version() is 'SHA-256 over the whole map; part of every plan.';

create or replace function privacy.require_sound_map() returns void
language plpgsql stable
as $$
declare
  v_fault text;
begin
  select fault into v_fault from privacy.map_faults limit 1;
  if found then
    raise exception using
      errcode = 'PT409', constraint = 'data_map_sound', message = format('The data map is wrong: %s', v_fault),
      hint = 'Mend sql/views/privacy_data_map.sql; select * from privacy.map_faults lists everything.';
  end if;
end;
$$;
comment on function privacy.require_sound_map() is
'Raises data_map_sound while the map and the catalog differ: nothing is planned then.';

create or replace function public.privacy_get_datamap() returns setof privacy.data_map
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform sec.require_ops();
  return query select * from privacy.data_map order by table_schema, table_name, column_name;
end;
$$;
comment on function public.privacy_get_datamap() is 'Ops: what we know of people, column by column.';
