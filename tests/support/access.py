"""Who may use what, by the catalog.

`python -m tests.support.access` writes tests/sql/access.txt and the list in sql/README.md anew. Review the difference
like code.
"""

import asyncio

import asyncpg

from tests.support import postgres
from tests.support.function_list import HEADING, README, listed
from tests.support.processes import ROOT

CALLERS = ("anon", "authenticated", "service_role", "ops_staff")
TABLE = ROOT / "tests" / "sql" / "access.txt"
OURS = "n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
# What a role may do with an object, by the catalog's own account; nothing where it may not use the schema. Of what an
# extension brings only what somebody may use is worth a line.
OBJECTS = f"""
with rights as (
  select 'schema ' || n.nspname as name, n.oid as schema, false as brought, r.rolname, p.letter,
    has_schema_privilege(r.oid, n.oid, p.name) as may
  from pg_namespace n, pg_roles r, (values ('U', 'usage'), ('C', 'create')) as p (letter, name)
  where {OURS} and r.rolname = any ($1)
  union all
  select p.oid::regprocedure::text, n.oid, exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e'),
    r.rolname, 'x', has_function_privilege(r.oid, p.oid, 'execute')
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace cross join pg_roles r
  where {OURS} and p.prorettype <> 'trigger'::regtype and r.rolname = any ($1)
  union all
  select c.oid::regclass::text, n.oid, exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e'),
    r.rolname, p.letter, has_table_privilege(r.oid, c.oid, p.name)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join pg_roles r
  cross join (values ('r', 'select'), ('a', 'insert'), ('w', 'update'), ('d', 'delete'), ('D', 'truncate'),
    ('X', 'references'), ('t', 'trigger')) as p (letter, name)
  where {OURS} and c.relkind in ('r', 'p', 'v', 'm', 'f') and r.rolname = any ($1)
  union all
  select format('sequence %s', c.oid::regclass), n.oid, false, r.rolname, p.letter,
    has_sequence_privilege(r.oid, c.oid, p.name)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace cross join pg_roles r
  cross join (values ('U', 'usage'), ('r', 'select'), ('w', 'update')) as p (letter, name)
  where {OURS} and c.relkind = 'S' and r.rolname = any ($1)
  union all
  select format('%s.%I', c.oid::regclass, a.attname), n.oid, false, r.rolname, p.letter,
    has_column_privilege(r.oid, c.oid, a.attnum, p.name)
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
  cross join pg_roles r
  cross join (values ('r', 'select'), ('a', 'insert'), ('w', 'update'), ('X', 'references')) as p (letter, name)
  where {OURS} and a.attacl is not null and r.rolname = any ($1)
)
select name, rolname, string_agg(letter, '' order by letter) filter (
  where may and (name like 'schema %' or has_schema_privilege(rolname, schema, 'usage'))) as may
from rights group by name, rolname, brought
having not brought or name in (
  select o.name from rights o where o.may and has_schema_privilege(o.rolname, o.schema, 'usage'))
"""
HEAD = f"""\
# Who may use what, in every schema. x = execute; r, a, w, d, D = select, insert, update, delete, truncate; of schemas
# and sequences U = usage, C = create; - = nothing. A column has a line where it has rights of its own.
# What only ops may do is granted to authenticated and refused to others by sec.require_ops() or a row policy.
# Written by `python -m tests.support.access`; review the difference like code.
# {"object":<98} {" ".join(f"{caller:<13}" for caller in CALLERS)}
"""


async def granted(connection: asyncpg.Connection) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row in await connection.fetch(OBJECTS, CALLERS):
        found.setdefault(row["name"], {})[row["rolname"]] = row["may"] or "-"
    return found


def line(name: str, rights: dict[str, str]) -> str:
    return " ".join([f"{name:<100}", *(f"{rights.get(caller, '-'):<13}" for caller in CALLERS)]).rstrip()


async def write(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    found = await granted(connection)
    before, _, _ = README.read_text().partition(HEADING)
    README.write_text(before + await listed(connection))
    await connection.close()
    TABLE.write_text(HEAD + "".join(f"{line(name, rights)}\n" for name, rights in sorted(found.items())))


if __name__ == "__main__":
    with postgres.disposable("embedded") as server:
        asyncio.run(write(server.url(postgres.make_template(server))))
