"""Claims and switches count in the service's own sessions alone, and every session is on record."""

from __future__ import annotations

import json
import re

import asyncpg
import pytest

from src.database import apply
from src.domain.context import Role
from src.logins import OPERATORS, SERVICE, STAFF, login_dsn, role_password
from src.settings import LIVE_SWITCHES, OFFLINE_SWITCHES
from tests.conftest import ITINERARY, OPS_USER, TRAVELLER, as_role
from tests.support.postgres import settings, with_login

CLAIMED = f'{{"role":"authenticated","sub":"{OPS_USER}"}}'
PERSON = "create role amina login in role ops_staff password 'of-a-person'"


async def connected(database: str, role: str) -> asyncpg.Connection:
    return await asyncpg.connect(login_dsn(settings(database), OPERATORS[role]))


@pytest.mark.parametrize("role", [STAFF, SERVICE])
async def test_who_is_in_psql_cannot_act_under_anothers_name(
    database: str, admin: asyncpg.Connection, role: str
) -> None:
    staff = await connected(database, role)
    for statement in ("reset role", f"set role {role}", "set role none"):
        await staff.execute(statement)
        await staff.execute("select set_config('request.jwt.claims', $1, false)", CLAIMED)
        assert await staff.fetchval("select auth.uid()") is None
        assert await staff.fetchval("select auth.claims()") == "{}"
        await staff.execute("select set_permit_quota('Volcanoes', 96)")
        assert tuple(await last_event(admin)) == (OPERATORS[role], OPERATORS[role])
    for who in (OPS_USER, TRAVELLER):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="Ops log what they did themselves"):
            await staff.execute("select privacy_log_audit($1, 'privacy.shown')", who)
    await staff.execute("select privacy_log_audit(null, 'privacy.shown')")
    assert tuple(await last_event(admin)) == (OPERATORS[role], OPERATORS[role])
    await staff.close()


@pytest.mark.parametrize(
    ("given", "kept"),
    [("refund-of-march-3", "psql-refund-of-march-3"), ("psql-mine", "psql-mine")],
)
async def test_a_request_id_given_in_psql_is_told_from_an_http_calls(
    database: str, admin: asyncpg.Connection, given: str, kept: str
) -> None:
    staff = await connected(database, STAFF)
    await staff.execute("select set_config('request.id', $1, false)", given)
    await staff.execute("select set_permit_quota('Volcanoes', 96)")
    assert await last_request_id(admin) == kept
    await staff.close()


@pytest.mark.parametrize("given", ["one\nAUDIT forged", "a b", "x" * 10_000_000, ""])
async def test_a_request_id_that_is_none_is_replaced(database: str, admin: asyncpg.Connection, given: str) -> None:
    staff = await connected(database, STAFF)
    await staff.execute("select set_config('request.id', $1, false)", given)
    await staff.execute("select set_permit_quota('Volcanoes', 96)")
    assert re.fullmatch("psql-[0-9a-f-]{36}", await last_request_id(admin))
    await staff.close()


async def last_request_id(admin: asyncpg.Connection) -> str:
    return str(await admin.fetchval("select request_id from audit.events order by id desc limit 1"))


async def last_event(admin: asyncpg.Connection) -> asyncpg.Record:
    (event,) = await admin.fetch("select who, login from audit.events order by id desc limit 1")
    return event


async def test_a_persons_own_login_is_on_record(database: str, admin: asyncpg.Connection) -> None:
    await admin.execute(PERSON)
    try:
        amina = await asyncpg.connect(with_login(database, "amina", "of-a-person"))
        await amina.execute("select set_permit_quota('Volcanoes', 96)")
        assert tuple(await last_event(admin)) == ("amina", "amina")
        await amina.close()
    finally:
        await admin.execute("drop role amina")


async def test_the_services_sessions_say_whom_they_act_for(database: str, admin: asyncpg.Connection) -> None:
    async with as_role(database, Role.USER, OPS_USER) as user:
        await user.execute("select set_permit_quota('Volcanoes', 96)")
    assert tuple(await last_event(admin)) == (OPS_USER, "web_authenticated")
    async with as_role(database, Role.SERVICE) as service:
        await service.execute("select set_permit_quota('Volcanoes', 96)")
        assert tuple(await last_event(admin)) == ("service-role", "web_service")
        await service.execute("select privacy_log_audit($1, 'privacy.shown')", TRAVELLER)
    assert tuple(await last_event(admin)) == (TRAVELLER, "web_service")


async def test_an_event_without_a_login_is_refused(admin: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="login_known"):
        await admin.execute("insert into audit.events (who, what, request_id, login) values ('x', 'x', 'x', null)")


@pytest.mark.parametrize("role", [STAFF, SERVICE])
async def test_no_session_of_psql_has_its_money_mocked(database: str, role: str) -> None:
    """On an installation whose environment is live, whatever the session says of itself."""
    staff = await connected(database, role)
    await staff.execute("select set_config('request.switches', $1, false)", json.dumps(OFFLINE_SWITCHES))
    made = json.loads(await staff.fetchval("select start_checkout($1, 25000, 'USD', 'k')", ITINERARY))
    assert made["mode"] == "live"
    for statement in ("insert into ops.switch_defaults values ('USE_FIXTURES', '1')", "table ops.switch_defaults"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await staff.execute(statement)
    await staff.close()


async def test_psql_works_under_the_switches_of_its_installation(database: str, admin: asyncpg.Connection) -> None:
    staff = await connected(database, SERVICE)
    mock = "select ops.flag('STRIPE_MOCK_MODE')"
    given = settings(database)
    for switches, expected in ((OFFLINE_SWITCHES, "1"), (None, "1"), (LIVE_SWITCHES, "0"), ({}, "0")):
        await apply.apply(database, apply.shipped(), lambda role: role_password(given, role), switches=switches)
        assert await staff.fetchval(mock) == expected
    await admin.execute("insert into ops.flags values ('STRIPE_MOCK_MODE', '1', 'x')")
    assert await staff.fetchval(mock) == "1"
    await staff.close()


# How an event is named where a function writes it.
EVENT = re.compile(r"audit\.record\((?:case.*?end|[^,]*),", re.DOTALL)


async def test_staff_say_of_nothing_that_it_was_done(database: str, admin: asyncpg.Connection) -> None:
    sources = "\n".join(path.read_text() for path in sorted((apply.SQL_FOLDER / "functions").glob("*.sql")))
    written = "".join(EVENT.findall(sources))
    events = set(re.findall(r"'(privacy\.\w+)'", written))
    assert {"privacy.erased", "privacy.approved", "privacy.purged"} <= events
    # A name that is put together is not found where it is asked for.
    assert re.findall(r"'privacy\.'", written) == []
    staff = await connected(database, STAFF)
    for what in sorted(events):
        with pytest.raises(asyncpg.PostgresError, match="is said by what does it"):
            await staff.execute("select privacy_log_audit(null, $1)", what)
    for payload in ('{"name": "Amina Uwase"}', '{"Amina Uwase": 1}', '{"to": {"name": "amina"}}', '{"to": ["amina"]}'):
        with pytest.raises(asyncpg.PostgresError, match="ids, numbers and short codes"):
            await staff.execute("select privacy_log_audit(null, 'privacy.shown', $1)", payload)
    told = (
        f'{{"privacy_request_id": "{TRAVELLER}", "rows": 3, "kept": true, "at": "2026-01-02T03:04:05Z", "why": null}}'
    )
    assert await staff.fetchval("select privacy_log_audit(null, 'privacy.shown', $1)", told)
    await staff.close()
    assert await admin.fetchval("select count(*) from audit.events where what = any ($1)", sorted(events)) == 0
