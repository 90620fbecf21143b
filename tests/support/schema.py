"""All that makes up a database, object by object: two databases are equal where these texts are."""

from __future__ import annotations

import asyncpg

# What is no extension's and no part of the server.
OURS = "nspname !~ '^pg_' and nspname <> 'information_schema'"


def of_extension(catalog: str, oid: str) -> str:
    return f"exists (select from pg_depend where classid = '{catalog}'::regclass and objid = {oid} and deptype = 'e')"


def rights(acl: str, kind: str, owner: str) -> str:
    """The grants in one order, whoever was granted to first."""
    return f"""(
      select string_agg(format('%s %s%s by %s', coalesce(nullif(grantee, 0)::regrole::text, 'public'), privilege_type,
        case when is_grantable then '*' else '' end,
        case grantor when {owner} then 'owner' else grantor::regrole::text end),
        ', ' order by grantee, privilege_type, grantor)
      from aclexplode(coalesce({acl}, acldefault('{kind}', {owner}))))"""


# Each gives rows of a name and of texts.
QUESTIONS = {
    "schema": f"""
      select nspname, nspowner::regrole, {rights("nspacl", "n", "nspowner")}, obj_description(oid, 'pg_namespace')
      from pg_namespace where {OURS}""",
    "relation": f"""
      select c.oid::regclass, relkind, relpersistence, relowner::regrole, reloptions, relrowsecurity,
        relforcerowsecurity, relreplident, relispartition, {rights("relacl", "r", "relowner")},
        obj_description(c.oid, 'pg_class')
      from pg_class c join pg_namespace n on n.oid = relnamespace
      where {OURS} and relkind in ('r', 'p', 'v', 'm', 'f') and not {of_extension("pg_class", "c.oid")}""",
    "column": f"""
      select format('%s.%I', attrelid::regclass, attname), attnum, format_type(atttypid, atttypmod), attnotnull,
        pg_get_expr(adbin, adrelid), attidentity, attgenerated, nullif(attcollation, 0)::regcollation, attstorage,
        attstattarget, attoptions, case when attacl is not null then {rights("attacl", "c", "relowner")} end,
        col_description(attrelid, attnum)
      from pg_attribute a join pg_class c on c.oid = attrelid join pg_namespace n on n.oid = relnamespace
      left join pg_attrdef d on adrelid = attrelid and adnum = attnum
      where {OURS} and relkind in ('r', 'p', 'v', 'm', 'f', 'c') and attnum > 0 and not attisdropped
        and not {of_extension("pg_class", "c.oid")}""",
    "constraint": f"""
      select format('%s %I', coalesce(nullif(conrelid, 0)::regclass::text, contypid::regtype::text), conname),
        pg_get_constraintdef(c.oid), convalidated, obj_description(c.oid, 'pg_constraint')
      from pg_constraint c join pg_namespace n on n.oid = connamespace
      where {OURS} and not {of_extension("pg_constraint", "c.oid")}""",
    "index": f"""
      select indexrelid::regclass, pg_get_indexdef(indexrelid), indisvalid, indisclustered, indisreplident,
        obj_description(indexrelid, 'pg_class')
      from pg_index join pg_class c on c.oid = indexrelid join pg_namespace n on n.oid = relnamespace where {OURS}""",
    "statistics": f"""
      select stxnamespace::regnamespace || '.' || stxname, pg_get_statisticsobjdef(s.oid), stxowner::regrole
      from pg_statistic_ext s join pg_namespace n on n.oid = stxnamespace where {OURS}""",
    "sequence": f"""
      select seqrelid::regclass, seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle,
        relowner::regrole, {rights("relacl", "s", "relowner")}, pg_describe_object(refclassid, refobjid, refobjsubid)
      from pg_sequence join pg_class c on c.oid = seqrelid join pg_namespace n on n.oid = relnamespace
      left join pg_depend on classid = 'pg_class'::regclass and objid = seqrelid and deptype in ('a', 'i')
      where {OURS}""",
    "view": f"""
      select c.oid::regclass, pg_get_viewdef(c.oid), relispopulated
      from pg_class c join pg_namespace n on n.oid = relnamespace
      where {OURS} and relkind in ('v', 'm') and not {of_extension("pg_class", "c.oid")}""",
    "rule": f"""
      select format('%s %I', ev_class::regclass, rulename), pg_get_ruledef(r.oid), ev_enabled
      from pg_rewrite r join pg_class c on c.oid = ev_class join pg_namespace n on n.oid = relnamespace
      where {OURS} and rulename <> '_RETURN'""",
    "function": f"""
      select p.oid::regprocedure, prokind, proowner::regrole,
        case when prokind <> 'a' then pg_get_functiondef(p.oid) end, {rights("proacl", "f", "proowner")},
        obj_description(p.oid, 'pg_proc')
      from pg_proc p join pg_namespace n on n.oid = pronamespace
      where {OURS} and not {of_extension("pg_proc", "p.oid")}""",
    "right on a function of the server": f"""
      select p.oid::regprocedure, {rights("proacl", "f", "proowner")}
      from pg_proc p where pronamespace = 'pg_catalog'::regnamespace and proacl is not null""",
    "trigger": f"""
      select format('%s %I', tgrelid::regclass, tgname), pg_get_triggerdef(t.oid), tgenabled,
        obj_description(t.oid, 'pg_trigger')
      from pg_trigger t join pg_class c on c.oid = tgrelid join pg_namespace n on n.oid = relnamespace
      where {OURS} and not tgisinternal""",
    "policy": """
      select format('%s %I', polrelid::regclass, polname), polcmd, polpermissive,
        array(select coalesce(nullif(r, 0)::regrole::text, 'public') from unnest(polroles) r order by 1),
        pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), obj_description(p.oid, 'pg_policy')
      from pg_policy p""",
    "type": f"""
      select t.oid::regtype, typtype, typowner::regrole, typnotnull, typdefault, format_type(typbasetype, typtypmod),
        nullif(typcollation, 0)::regcollation,
        array(select enumlabel from pg_enum where enumtypid = t.oid order by enumsortorder),
        {rights("typacl", "T", "typowner")}, obj_description(t.oid, 'pg_type')
      from pg_type t join pg_namespace n on n.oid = typnamespace
      where {OURS} and typelem = 0 and not {of_extension("pg_type", "t.oid")}""",
    "of text search or an operator": f"""
      select pg_describe_object(classid, objid, 0), null from (
        select 'pg_ts_config'::regclass, oid, cfgnamespace from pg_ts_config
        union all select 'pg_ts_dict'::regclass, oid, dictnamespace from pg_ts_dict
        union all select 'pg_operator'::regclass, oid, oprnamespace from pg_operator
        union all select 'pg_collation'::regclass, oid, collnamespace from pg_collation
      ) found (classid, objid, namespace) join pg_namespace n on n.oid = namespace where {OURS}""",
    "extension": """
      select extname, extnamespace::regnamespace, extversion, obj_description(oid, 'pg_extension') from pg_extension""",
    "event trigger": "select evtname, evtevent, evtfoid::regproc, evtenabled, evttags from pg_event_trigger",
    "default rights": """
      select format('%s %s %s', defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype), a::text
      from pg_default_acl, unnest(defaclacl) a""",
    "the": f"""
      select 'database', {rights("datacl", "d", "datdba")}, datconnlimit, shobj_description(d.oid, 'pg_database'),
        array(
          select s from pg_db_role_setting, unnest(setconfig) s where setdatabase = d.oid and setrole = 0 order by s
        )
      from pg_database d where datname = current_database()""",
    "role": """
      select rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolconnlimit,
        rolbypassrls, rolvaliduntil, array(select s from unnest(rolconfig) s order by s),
        array(select roleid::regrole::text from pg_auth_members where member = r.oid order by 1),
        array(
          select s from pg_db_role_setting join pg_database d on d.oid = setdatabase, unnest(setconfig) s
          where setrole = r.oid and datname = current_database() order by s
        ),
        shobj_description(oid, 'pg_authid')
      from pg_roles r where rolname !~ '^pg_'""",
}
TABLES = f"""
select c.oid::regclass::text as name, array(
  select quote_ident(attname) from pg_attribute
  where attrelid = c.oid and attnum > 0 and not attisdropped and attidentity = '' and atttypid <> 'timestamptz'::regtype
  order by attnum
) as columns
from pg_class c join pg_namespace n on n.oid = relnamespace where {OURS} and relkind = 'r'
"""


async def described(connection: asyncpg.Connection) -> dict[str, str]:
    """Every object by its kind and name."""
    return {
        f"{kind} {name}": text
        for kind, question in QUESTIONS.items()
        for name, text in await connection.fetch(f"select q.name::text, q::text from ({question}) as q (name)")
    }


async def rows(connection: asyncpg.Connection) -> dict[str, set[str]]:
    """What is in each table that has rows, without the moments when they were written."""
    found = {}
    for table in await connection.fetch(TABLES):
        held = await connection.fetch(f"select row({', '.join(table['columns'])})::text from {table['name']}")
        if held:
            found[table["name"]] = {row[0] for row in held}
    return found
