"""Queries on pg_catalog. `$1` is the schemas; `$2` whether objects of extensions count.

Rights are those of `session_user`, the login, because a called function may have set another role. Names are compared
as names, and never cast: `::regrole` would parse them as SQL and fold their case.
"""

BASE_TYPES = """
with recursive chain as (
  select oid, oid as base from pg_type where typtype <> 'd'
  union all
  select t.oid, c.base from pg_type t join chain c on t.typbasetype = c.oid and t.typtype = 'd'
), base_types as (
  select c.oid, b.oid as base, bn.nspname as base_schema, b.typname as base_name, b.typtype as base_kind,
    b.typrelid, an.nspname as array_schema, a.typname as array_name
  from chain c
  join pg_type b on b.oid = c.base
  join pg_namespace bn on bn.oid = b.typnamespace
  left join pg_type a on a.oid = b.typarray
  left join pg_namespace an on an.oid = a.typnamespace
)
"""

RELATIONS = """
select n.nspname, c.relname, c.oid::int8, c.relkind in ('v', 'm') as is_view, d.description,
  case when c.relkind in ('r', 'p') then 28
    when c.relkind in ('v', 'f') then pg_relation_is_updatable(c.oid, true)
    else 0 end as events,
  (select array_agg(a.attname order by a.attname) from pg_constraint k
    join pg_attribute a on a.attrelid = k.conrelid and a.attnum = any (k.conkey)
    where k.conrelid = c.oid and k.contype = 'p') as primary_key,
  exists (select from pg_policy g where g.polrelid = c.oid and g.polname = $3) as guarded
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join pg_description d on d.objoid = c.oid and d.objsubid = 0 and d.classoid = 'pg_class'::regclass
where c.relkind in ('v', 'r', 'm', 'f', 'p') and not c.relispartition and n.nspname = any ($1)
  and ($2 or not exists (
    select from pg_depend e where e.classid = 'pg_class'::regclass and e.objid = c.oid and e.deptype = 'e'))
order by n.nspname, c.relname
"""

# The shown type is information_schema's: without length, and domains of built-in types as those types.
COLUMNS = (
    BASE_TYPES  # noqa: S608 - constants
    + """
select a.attrelid::int8 as relation, a.attname, tn.nspname as type_schema, t.typname as type_name,
  b.base_schema, b.base_name, b.array_schema, b.array_name, b.base::int8 as base_oid,
  case
    when t.typtype = 'd' and b.base_schema = 'pg_catalog' then format_type(b.base, null)
    when t.typtype <> 'd' and tn.nspname = 'pg_catalog' then format_type(a.atttypid, null)
    else format_type(a.atttypid, a.atttypmod)
  end as shown_type,
  not (a.attnotnull or t.typnotnull) as nullable,
  case
    when t.typtype = 'd' and e.adbin is null then pg_get_expr(t.typdefaultbin, 0)
    when a.attidentity = 'd' then
      (select format('nextval(%L)', s.objid::regclass) from pg_depend s
        where s.refobjid = a.attrelid and s.refobjsubid = a.attnum and s.deptype = 'i' limit 1)
    when a.attgenerated = 's' then null
    else pg_get_expr(e.adbin, e.adrelid)
  end as expression,
  d.description,
  case when b.base_name in ('varchar', 'bpchar') and b.base_schema = 'pg_catalog' then
    nullif(case when t.typtype = 'd' then t.typtypmod else a.atttypmod end, -1) - 4 end as max_length
from pg_attribute a
join pg_class c on c.oid = a.attrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_type t on t.oid = a.atttypid
join pg_namespace tn on tn.oid = t.typnamespace
join base_types b on b.oid = t.oid
left join pg_attrdef e on e.adrelid = a.attrelid and e.adnum = a.attnum
left join pg_description d on d.objoid = a.attrelid and d.objsubid = a.attnum and d.classoid = 'pg_class'::regclass
where a.attnum > 0 and not a.attisdropped
  and (c.relkind in ('r', 'v', 'f', 'm', 'p') and n.nspname = any ($1)
    or c.oid in (
      select y.typrelid from pg_proc p
      join pg_namespace pn on pn.oid = p.pronamespace
      join base_types r on r.oid = p.prorettype
      join pg_type y on y.oid = r.base
      where pn.nspname = any ($1) and y.typtype = 'c'))
order by a.attrelid, a.attnum
"""
)

ENUMS = "select enumtypid::int8, array_agg(enumlabel order by enumsortorder) as labels from pg_enum group by enumtypid"

FOREIGN_KEYS = """
with keys as (
  select conrelid, (select array_agg(k order by k) from unnest(conkey) k) as columns
  from pg_constraint where contype in ('p', 'u')
)
select n.nspname, c.relname, fn.nspname as foreign_schema, f.relname as foreign_name, k.conname,
  k.conrelid::int8 as relation, k.confrelid::int8 as foreign_relation,
  (select array_agg(a.attname order by x.ordinality) from unnest(k.conkey) with ordinality x (attnum, ordinality)
    join pg_attribute a on a.attrelid = k.conrelid and a.attnum = x.attnum) as own,
  (select array_agg(a.attname order by x.ordinality) from unnest(k.confkey) with ordinality x (attnum, ordinality)
    join pg_attribute a on a.attrelid = k.confrelid and a.attnum = x.attnum) as other,
  exists (select from keys u where u.conrelid = k.conrelid
    and u.columns = (select array_agg(c order by c) from unnest(k.conkey) c)) as one_to_one
from pg_constraint k
join pg_class c on c.oid = k.conrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_class f on f.oid = k.confrelid
join pg_namespace fn on fn.oid = f.relnamespace
where k.contype = 'f' and k.conparentid = 0
order by k.conrelid, k.conname
"""

# Every key with its columns, to find it again behind a view's columns.
KEYS = """
select contype::text as kind, conname, conrelid::int8 as relation, conkey::int[] as columns
from pg_constraint where contype in ('p', 'f')
union all
select 'f_ref', conname, confrelid::int8, confkey::int[] from pg_constraint where contype = 'f'
"""

VIEWS = """
select c.oid::int8, n.nspname, c.relname, r.ev_action::text as definition,
  (select array_agg(a.attname order by a.attnum) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0) as names
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_rewrite r on r.ev_class = c.oid
where c.relkind in ('v', 'm') and n.nspname = any ($1)
"""

ROUTINES = (
    BASE_TYPES  # noqa: S608 - constants
    + """
select n.nspname, p.proname, p.oid::int8, d.description, p.provolatile::text as volatility, p.proretset, p.proconfig,
  b.base_schema, b.base_name, b.base_kind::text as base_kind, b.typrelid::int8,
  p.pronargs - p.pronargdefaults as required,
  (select json_agg(json_build_object(
      'name', coalesce(x.name, ''), 'mode', coalesce(x.mode, 'i'), 'type_schema', yn.nspname, 'type_name', y.typname,
      'base_schema', bt.base_schema, 'base_name', bt.base_name,
      'array_schema', bt.array_schema, 'array_name', bt.array_name,
      'shown', format_type(x.type, null)) order by x.ordinality)
    from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargnames, p.proargmodes::text[])
      with ordinality x (type, name, mode, ordinality)
    join pg_type y on y.oid = x.type
    join pg_namespace yn on yn.oid = y.typnamespace
    left join base_types bt on bt.oid = y.oid)::text as parameters
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
join base_types b on b.oid = p.prorettype
left join pg_description d on d.objoid = p.oid and d.classoid = 'pg_proc'::regclass
where p.prokind = 'f' and p.prorettype <> 'trigger'::regtype and n.nspname = any ($1)
  and ($2 or not exists (
    select from pg_depend e where e.classid = 'pg_proc'::regclass and e.objid = p.oid and e.deptype = 'e'))
order by n.nspname, p.proname, p.pronargs, p.oid
"""
)

# Functions of one row: computed fields and relationships.
FUNCTIONS_OF_ROWS = (
    BASE_TYPES
    + """
select n.nspname, p.proname, an.nspname as table_schema, a.relname as table_name, p.proretset,
  (not p.proretset or p.prorows = 1) as single, rn.nspname as foreign_schema, r.relname as foreign_name,
  b.base_schema, b.base_name, b.array_schema, b.array_name,
  tn.nspname as type_schema, t.typname as type_name, format_type(p.prorettype, null) as shown_type
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
join pg_class a on a.reltype = p.proargtypes[0] and a.relkind in ('v', 'r', 'm', 'f', 'p')
join pg_namespace an on an.oid = a.relnamespace
join pg_type t on t.oid = p.prorettype
join pg_namespace tn on tn.oid = t.typnamespace
join base_types b on b.oid = t.oid
left join pg_class r on r.reltype = p.prorettype and r.relkind in ('v', 'r', 'm', 'f', 'p')
left join pg_namespace rn on rn.oid = r.relnamespace
where p.pronargs = 1 and p.prokind = 'f'
order by n.nspname, p.proname
"""
)

REPRESENTATIONS = """
select sn.nspname as source_schema, s.typname as source, dn.nspname as target_schema, t.typname as target,
  fn.nspname as function_schema, f.proname
from pg_cast c
join pg_type s on s.oid = c.castsource
join pg_namespace sn on sn.oid = s.typnamespace
join pg_type t on t.oid = c.casttarget
join pg_namespace dn on dn.oid = t.typnamespace
join pg_proc f on f.oid = c.castfunc
join pg_namespace fn on fn.oid = f.pronamespace
where c.castcontext = 'i' and c.castmethod = 'f' and has_function_privilege(session_user, c.castfunc, 'execute')
  and (s.typtype = 'd' and t.oid in ('json'::regtype, 'text'::regtype)
    or t.typtype = 'd' and s.oid in ('json'::regtype, 'text'::regtype))
"""

MEDIA_HANDLERS = """
with media as (
  select t.oid, lower(t.typname) as name, t.typname, n.nspname,
    case t.typname when '*/*' then 'application/octet-stream' else t.typname end as answered
  from pg_type t join pg_namespace n on n.oid = t.typnamespace
  where t.typtype = 'd' and (t.typname ~* '^[a-z0-9.-]+/[a-z0-9.+-]+$' or t.typname = '*/*')
)
select pn.nspname as function_schema, p.proname as function_name, an.nspname as target_schema,
  a.typname as target_name, m.name, m.answered, false as by_function
from media m
join pg_proc p on p.prorettype = m.oid and p.prokind = 'a' and p.pronargs = 1
join pg_namespace pn on pn.oid = p.pronamespace
join pg_type a on a.oid = p.proargtypes[0]
join pg_namespace an on an.oid = a.typnamespace
where pn.nspname = any ($1) and (a.typname = 'anyelement' or a.typrelid <> 0)
union all
select m.nspname, m.typname, pn.nspname, p.proname, m.name, m.answered, true
from media m
join pg_proc p on p.prorettype = m.oid and p.prokind = 'f' and not p.proretset
join pg_namespace pn on pn.oid = p.pronamespace
where pn.nspname = any ($1)
"""

TYPES = """
select n.nspname, t.typname
from pg_type t join pg_namespace n on n.oid = t.typnamespace
where (n.nspname = 'pg_catalog' or n.nspname = any ($1))
  and t.typelem = 0 and t.typtype in ('b', 'd', 'e', 'r', 'm', 'c') and (t.typrelid = 0 or n.nspname <> 'pg_catalog')
order by array_position(array['pg_catalog']::name[] || $1::name[], n.nspname) desc
"""

# Relations that show some roles only part of their rows, with the roles that see all: superusers, roles with BYPASSRLS,
# and owners without forced row security. A view reads as its owner; with security_invoker as the caller, even below
# another view. Behind functions and foreign servers nobody is known to see all.
ROW_SECURITY = """
with recursive below as (
  select c.oid as exposed, c.oid as relation, null::oid as seen_as
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = any ($1) and c.relkind in ('v', 'r', 'f', 'p') and not c.relispartition
  union
  select b.exposed, d.refobjid, case when not exists (
    select from pg_options_to_table(v.reloptions) o
    where o.option_name = 'security_invoker' and o.option_value::bool) then v.relowner end
  from below b
  join pg_class v on v.oid = b.relation and v.relkind = 'v'
  join pg_rewrite r on r.ev_class = v.oid
  join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
    and d.refclassid = 'pg_class'::regclass and d.refobjid <> v.oid
), owners as materialized (
  select o.relowner, o.relforcerowsecurity, array(
    select r.oid from pg_roles r
    where r.rolsuper or r.rolbypassrls
      or not o.relforcerowsecurity and pg_has_role(r.oid, o.relowner, 'usage')) as seers
  from (select distinct relowner, relforcerowsecurity from pg_class where relrowsecurity) o
)
select b.exposed::int8 as relation,
  case when b.seen_as is null then array(select rolname from pg_roles r where r.oid = any (o.seers)) else '{}' end
    as roles
from below b
join pg_class c on c.oid = b.relation and c.relrowsecurity
join owners o on o.relowner = c.relowner and o.relforcerowsecurity = c.relforcerowsecurity
where b.seen_as is null or b.seen_as <> all (o.seers)
union all
select b.exposed::int8, '{}'
from below b join pg_class c on c.oid = b.relation
where c.relkind = 'f' or c.relkind = 'v' and exists (
  select from pg_rewrite r
  join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_proc'::regclass
  join pg_proc p on p.oid = d.refobjid
  where r.ev_class = c.oid and p.proretset)
"""

DESCRIPTIONS = "select nspname, obj_description(oid, 'pg_namespace') as text from pg_namespace where nspname = any ($1)"

ROLE_SETTINGS = """
select r.rolname, lower(split_part(s.setting, '=', 1)) as name, substr(s.setting, strpos(s.setting, '=') + 1) as value
from pg_auth_members m
join pg_roles r on r.oid = m.roleid
cross join unnest(r.rolconfig) as s (setting)
left join pg_settings p on p.name = lower(split_part(s.setting, '=', 1))
where m.member = (select oid from pg_roles where rolname = session_user)
  and (p.context is null or p.context = 'user' or p.name = 'default_transaction_isolation'
    or p.context = 'superuser' and has_parameter_privilege(session_user, p.name, 'set'))
"""
