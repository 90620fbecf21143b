"""On a server that somebody else runs: the administrator is no superuser, and every login needs its password."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from src.adapters.postgres import apply
from src.adapters.postgres.database import LOGIN_ROLES
from src.composition import compose
from src.logins import login_dsn, role_password
from tests.cluster import execute, server, start_again
from tests.conftest import SERVICE_CONTEXT
from tests.postgres import settings
from tests.processes import ecotrips

COPY = "create database copy owner admin"

pytestmark = pytest.mark.heavy


async def test_an_administrator_who_owns_the_database_and_may_create_roles_is_enough(tmp_path: Path) -> None:
    with server() as managed:
        await execute(managed.url("postgres"), "create role admin login createrole password 'administrators'")
        await execute(managed.url("postgres"), "create database ecotrips owner admin")
        await execute(managed.url("postgres"), "alter role postgres password 'of-the-provider'")
        managed.stop()
        (managed.data / "pg_hba.conf").write_text("local all all scram-sha-256\n")
        start_again(managed)
        dsn = managed.url("ecotrips").replace("postgres@", "admin:administrators@")
        given = settings(dsn)
        for expected in (len(apply.shipped()), 0):
            assert len(await apply.apply(dsn, apply.shipped(), lambda role: role_password(given, role))) == expected
        may = "select has_database_privilege('public', 'ecotrips', 'temporary')"
        assert await execute(dsn, may) is False
        for login in LOGIN_ROLES.values():
            assert await execute(login_dsn(given, login), "select session_user") == login
            with pytest.raises(asyncpg.InvalidPasswordError):
                await execute(managed.url("ecotrips").replace("postgres@", f"{login}:another@"), "select 1")
        for flags, role in (([], "psql_staff"), (["--service"], "psql_service"), (["db"], "admin")):
            command = ["db", "psql"] if flags == ["db"] else ["psql", *flags]
            said = ecotrips(tmp_path, *command, "-Atc", "select session_user", DATABASE_URL=dsn)
            assert said.stdout == f"{role}\n", said.stderr
        await execute(dsn, "create role amina login in role ops_staff password 'amina-alone'")
        hers = dsn.replace("admin:administrators@", "amina:amina-alone@")
        for statement in ("select session_user", "select who from audit.events"):
            said = ecotrips(tmp_path, "psql", "-Atc", statement, DATABASE_URL=hers, JWT_SECRET="")
            assert said.stdout == "amina\n", said.stderr
            assert ecotrips(tmp_path, "flags", "set", "WA_OFFLINE=1", DATABASE_URL=hers, JWT_SECRET="").returncode == 0
        for command in (["flags", "set", "WA_OFFLINE="], ["circuit", "show"], ["ledger", "verify"]):
            ran = ecotrips(tmp_path, *command, DATABASE_URL=dsn)
            assert ran.returncode == 0, ran.stderr
        await execute(managed.url("postgres").replace("postgres@", "postgres:of-the-provider@"), COPY)
        copy = dsn.replace("/ecotrips?", "/copy?")
        for command, where in (["backup", "dump"], dsn), (["restore", "dump"], copy):
            ran = ecotrips(tmp_path, "db", *command, DATABASE_URL=where)
            assert ran.returncode == 0, ran.stderr
        assert ecotrips(tmp_path, "db", "apply", DATABASE_URL=copy).stdout == "up to date\n"
        assert await execute(copy, "select count(*) from audit.events") == 3
        assert await execute(copy, "select has_database_privilege('public', 'copy', 'temporary')") is False
        assert await execute(copy, "select has_schema_privilege('public', 'public', 'usage, create')") is False
        said = ecotrips(tmp_path, "psql", "-Atc", "select fin.verify_ledger()", DATABASE_URL=copy)
        assert (said.returncode, said.stdout) == (0, ""), said.stderr
        # The administrator may do what ops may, superuser or not.
        said = ecotrips(tmp_path, "db", "psql", "-Atc", "select * from privacy.map_faults", DATABASE_URL=copy)
        assert (said.returncode, said.stdout) == (0, ""), said.stderr
        composed = compose(given)
        assert b'"exceptions_open":0' in await composed.database.call(SERVICE_CONTEXT, "ops.service_levels")
        await composed.close()
        provider = managed.url("ecotrips").replace("postgres@", "postgres:of-the-provider@")
        await execute(provider, "alter database ecotrips owner to postgres")
        await execute(provider, "grant temporary on database ecotrips to public")
        with pytest.raises(apply.ApplyError, match="apply as the owner of the database"):
            await apply.apply(dsn, apply.shipped(), lambda role: role_password(given, role))
