"""Settings stored in the database: `alter role … set pgrst.x` of the authenticator, and by `db-pre-config`."""

from __future__ import annotations

import asyncpg

from src.rest.catalog.model import Name

PREFIX = "pgrst."
STORED = """
select distinct on (name) split_part(s.setting, '=', 1) as name, substr(s.setting, strpos(s.setting, '=') + 1) as value
from pg_db_role_setting r
cross join unnest(r.setconfig) as s (setting)
cross join lateral (select lower(split_part(s.setting, '=', 1)) as name) n
where r.setrole = (select oid from pg_roles where rolname = session_user) and n.name like 'pgrst.%'
  and r.setdatabase in (0, (select oid from pg_database where datname = current_database()))
order by name, r.setdatabase desc
"""


async def stored_settings(
    connection: asyncpg.Connection[asyncpg.Record], pre_config: Name | None, options: frozenset[str]
) -> dict[str, str]:
    """Option names (`db-max-rows`) to values. `options` are the names that `pre_config` may have set."""
    found = {}
    for row in await connection.fetch(STORED):
        found[_option(row["name"])] = row["value"]
    if pre_config is not None:
        async with connection.transaction():
            name = '"."'.join(part.replace('"', '""') for part in pre_config if part)
            await connection.execute(f'select "{name}"()')
            for option in options:
                value = await connection.fetchval("select current_setting($1, true)", PREFIX + option.replace("-", "_"))
                if value:
                    found[option] = value
    return found


def _option(name: str) -> str:
    return name.lower().removeprefix(PREFIX).replace("_", "-")
