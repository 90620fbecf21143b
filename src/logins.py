"""The addresses and passwords of the database's login roles."""

from __future__ import annotations

import os
from urllib.parse import quote

import asyncpg

from src.database.dsn import Dsn
from src.database.opened import connect
from src.settings import Settings, derived

# Shared logins for psql and commands, by role.
STAFF, SERVICE = "ops_staff", "service_role"
OPERATORS = {STAFF: "psql_staff", SERVICE: "psql_service"}
IS_A_PERSONS = """
select pg_has_role(session_user, $1, 'usage') and not (rolsuper or rolcreaterole or rolbypassrls or rolreplication)
  and not pg_has_role(session_user, 'ecotrips_owner', 'member') and not sec.from_edge()
from pg_roles where rolname = session_user
"""


def login_dsn(settings: Settings, role: str, address: str | None = None) -> str:
    """DATABASE_URL, or `address`, with the login of `role`."""
    given = Dsn.of(address or settings.database_url)
    return str(given._replace(user=role, password=quote(role_password(settings, role))))


def service_dsn(settings: Settings) -> str:
    """The service's login, without the pooler."""
    return login_dsn(settings, "web_service", settings.direct_url)


def role_password(settings: Settings, role: str) -> str:
    """A login role's password, derived from DATABASE_ROLE_SECRET."""
    return derived(settings.database_role_secret, role)


async def is_a_persons(dsn: str, role: str) -> bool:
    """Whether a DSN names a personal login, which the audit trail then names."""
    given = Dsn.of(dsn)
    if not given.user:
        return False
    try:
        connection = await connect(dsn)
    except asyncpg.InvalidAuthorizationSpecificationError:
        # The service's setting has no password, as only the name is needed.
        if given.password or os.environ.get("PGPASSWORD"):
            raise
        return False
    try:
        return bool(await connection.fetchval(IS_A_PERSONS, role))
    except (asyncpg.UndefinedObjectError, asyncpg.InvalidSchemaNameError, asyncpg.InsufficientPrivilegeError):
        return False  # nothing of ours is applied yet, or the login is a stranger here
    finally:
        await connection.close()
