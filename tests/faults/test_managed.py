"""On a server that somebody else runs: the administrator is no superuser."""

from __future__ import annotations

import pytest

from src.adapters.postgres import apply
from src.composition import compose
from src.logins import role_password
from tests.cluster import execute, server
from tests.conftest import SERVICE_CONTEXT
from tests.postgres import settings

pytestmark = pytest.mark.heavy


async def test_an_administrator_who_owns_the_database_and_may_create_roles_is_enough() -> None:
    with server() as managed:
        await execute(managed.url("postgres"), "create role admin login createrole")
        await execute(managed.url("postgres"), "create database ecotrips owner admin")
        dsn = managed.url("ecotrips").replace("postgres@", "admin@")
        given = settings(dsn)
        for expected in (len(apply.shipped()), 0):
            assert len(await apply.apply(dsn, apply.shipped(), lambda role: role_password(given, role))) == expected
        composed = compose(given)
        assert b'"exceptions_open":0' in await composed.database.call(SERVICE_CONTEXT, "ops.service_levels")
        await composed.close()
