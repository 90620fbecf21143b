"""The list of functions at the end of sql/README.md, made from the catalog."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg

SQL = Path(__file__).parents[2] / "sql"
README = SQL / "README.md"
HEADING = "## Every function that somebody may call\n"
INTRODUCTION = """
By the file in `functions/` that defines them, with the comments that `ops.help` shows. In brackets who may call: *anon*
everybody, *user* who is signed in (ops, unless the comment says more), *service* the service key. *Internal* is what
the service's own processes, row policies and other functions call; all else is in `ops.help`. The list is written by
`python -m tests.support.access`.
"""
CALLABLE = """
select p.oid::regproc::text as name, pg_get_function_arguments(p.oid) as arguments,
  obj_description(p.oid, 'pg_proc') as comment,
  has_function_privilege('anon', p.oid, 'execute') as anon,
  has_function_privilege('authenticated', p.oid, 'execute') as user,
  has_function_privilege('service_role', p.oid, 'execute') as service
from pg_proc p
where p.proowner = 'ecotrips_owner'::regrole and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
order by p.oid::regprocedure::text
"""
CAST = re.compile(r"::[a-z]+(?: [a-z]+)*(?:\[\])?")
CALLERS = ("anon", "user", "service")


async def listed(connection: asyncpg.Connection) -> str:
    """The section as it must stand at the end of sql/README.md."""
    families: dict[str, list[str]] = {}
    for row in await connection.fetch(CALLABLE):
        callers = [caller for caller in CALLERS if row[caller]]
        if callers:
            arguments = CAST.sub("", row["arguments"]).replace(" DEFAULT ", " = ")
            comment = " ".join(row["comment"].split())
            entry = f"- `{row['name']}({arguments})` [{', '.join(callers)}]: {comment}"
            families.setdefault(_family(row["name"]), []).append(entry)
    sections = [f"\n### {family}\n\n" + "\n".join(entries) + "\n" for family, entries in sorted(families.items())]
    return HEADING + INTRODUCTION + "".join(sections)


def _family(name: str) -> str:
    schema, _, bare = name.rpartition(".")
    definition = re.compile(rf'function "?{(schema or "public").strip(chr(34))}"?\.{bare}\(')
    return next(path.stem for path in sorted((SQL / "functions").glob("*.sql")) if definition.search(path.read_text()))
