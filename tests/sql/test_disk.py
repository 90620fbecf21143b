"""A login without a right on any table uses up nothing of what all share: the disk, the locks, the transaction ids."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from src.commands import check_database
from src.commands.verdict import Verdict
from src.database import apply
from src.database.opened import connect
from src.database.roles import LOGINS
from src.logins import OPERATORS, login_dsn, role_password
from src.settings import Settings
from tests.support.postgres import settings

# Of PostgreSQL's own functions that are volatile, as whatever writes or locks is, or that tell of transactions and may
# take an id, those that were looked at: they read, wait, count or end something, write into what one has a right on, or
# ask for the right to replicate or to be a superuser.
HARMLESS = re.compile(
    r"amvalidate|array_sample|array_shuffle|bernoulli|system|binary_upgrade_\w+|brin_\w+|gin_clean_pending_list|\w+handler"
    r"|plpgsql_validator|clock_timestamp|timeofday|current_query|currtid2?|currval|lastval|nextval|setval|setseed"
    r"|cursor_to_xml\w*|query_to_xml\w*|dsnowball_\w+|gen_random_uuid|uuidv\d|random(_normal)?|set_config|ts_rewrite|ts_stat"
    r"|(pg_current_xact_id|txid_current)_if_assigned|txid_(current_)?snapshot\w*|txid_visible_in_snapshot|txid_status"
    r"|lo_(close|get|lseek|lseek64|open|tell|tell64)|loread|pg_advisory_unlock\w*|pg_sleep\w*|pg_(cancel|terminate)_backend"
    r"|pg_blocking_pids|pg_safe_snapshot_blocking_pids|pg_isolation_test_session_is_blocked|pg_lock_status|pg_prepared_xact"
    r"|pg_(database_)?collation_actual_version|pg_control_\w+|pg_(current|last)_wal_\w+|pg_last_xact_replay_timestamp"
    r"|pg_last_committed_xact|pg_xact_\w+|pg_get_\w+|pg_is_\w+|pg_jit_available|pg_\w+_size|pg_partition_\w+"
    r"|pg_sequence_last_value|pg_available_wal_summaries|pg_wal_summary_contents|pg_stat_\w+|pg_notification_queue_usage"
    r"|pg_(copy|create)_(logical|physical)_replication_slot|pg_drop_replication_slot|pg_replication_slot_advance"
    r"|pg_logical_slot_\w+|pg_sync_replication_slots|pg_(clear|restore)_(attribute|relation)_stats|pg_extension_config_dump"
    r"|pg_import_system_collations|pg_nextoid|pg_stop_making_pinned_objects|pg_read_file_old|pg_rotate_logfile_old"
    # The queue of notifications has an end, and NOTIFY is anybody's.
    r"|pg_notify"
)
MAY_CALL = """
select distinct proname from pg_proc
where pronamespace = 'pg_catalog'::regnamespace and (provolatile = 'v' or proname ~ 'xact|txid')
  and prorettype <> 'trigger'::regtype and has_function_privilege($1, oid, 'execute')
"""
HOARDS = (
    "select count(pg_advisory_lock(i)) from generate_series(1, 10000000) i",
    "select pg_advisory_lock_shared(1, 2)",
    "select pg_advisory_xact_lock(1)",
    "select pg_advisory_xact_lock_shared(1)",
    "select pg_try_advisory_lock(1)",
    "select pg_try_advisory_lock_shared(1)",
    "select pg_try_advisory_xact_lock(1, 2)",
    "select pg_try_advisory_xact_lock_shared(1)",
    "do $$ begin for i in 1..100000 loop perform pg_current_xact_id(); commit; end loop; end $$",
    "select txid_current()",
)
WRITES = (
    "select lo_creat(-1)",
    "select lo_create(0)",
    "select lo_from_bytea(0, 'much')",
    "select lo_put(1, 0, 'much')",
    "select lowrite(0, 'much')",
    "select lo_truncate(0, 1)",
    "select lo_import('/etc/passwd')",
    "select pg_logical_emit_message(false, 'much', 'of it')",
    "select pg_logical_emit_message(true, 'much', 'of it'::bytea)",
    "select pg_export_snapshot()",
    "create temporary table mine (id int)",
)
SORTED = "select i, repeat(md5(i::text), 30) from generate_series(1, 9000) i"
CURSOR = f"begin; declare mine cursor with hold for {SORTED}; commit"


@pytest.fixture
async def staff(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(login_dsn(settings(database), "psql_staff"))
    yield connection
    await connection.close()


async def apply_again(dsn: str) -> Settings:
    given = settings(dsn)
    await apply.apply(dsn, apply.shipped(), lambda role: role_password(given, role))
    return given


async def judged(dsn: str, part: str) -> Verdict:
    connection = await connect(login_dsn(settings(dsn), "web_service"))
    try:
        return {verdict.part: verdict async for verdict in check_database.verdicts(connection)}[part]
    finally:
        await connection.close()


@pytest.mark.parametrize("login", LOGINS)
async def test_no_function_of_postgresql_that_uses_up_what_all_share_is_anybodys(
    admin: asyncpg.Connection, login: str
) -> None:
    """One of a release to come is looked at, and becomes one of HARMLESS or of those that database.sql takes."""
    names = {row[0] for row in await admin.fetch(MAY_CALL, login)}
    assert "pg_notify" in names
    assert {name for name in names if not HARMLESS.fullmatch(name)} == set()
    assert [name for name in (*apply.WRITERS, *apply.HOARDERS) if HARMLESS.fullmatch(name)] == []


async def test_an_administrator_who_is_no_superuser_may_write_and_so_back_up(admin: asyncpg.Connection) -> None:
    await admin.execute("set role ecotrips_owner")
    await admin.execute("select lo_unlink(lo_from_bytea(0, 'a picture')), pg_export_snapshot()")


async def test_an_administrator_who_is_no_superuser_may_lock_and_so_apply(admin: asyncpg.Connection) -> None:
    await admin.execute("set role ecotrips_owner")
    await admin.execute("select pg_advisory_lock(1), pg_advisory_unlock(1), pg_current_xact_id()")


@pytest.mark.parametrize("statement", [*WRITES, *HOARDS])
async def test_staff_write_nothing_that_stays_and_use_up_nothing(staff: asyncpg.Connection, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await staff.execute(statement)


async def test_a_cursor_that_outlives_its_transaction_has_an_end(database: str, admin: asyncpg.Connection) -> None:
    name = await admin.fetchval("select current_database()")
    await admin.execute(f"alter database \"{name}\" set temp_file_limit = '1MB'")
    for login in OPERATORS.values():
        connection = await asyncpg.connect(login_dsn(settings(database), login))
        with pytest.raises(asyncpg.PostgresError, match="temporary file size exceeds"):
            await connection.execute(CURSOR)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("set temp_file_limit = -1")
        await connection.close()


async def test_a_server_without_a_limit_has_one_in_our_database(database: str, admin: asyncpg.Connection) -> None:
    name = await admin.fetchval("select current_database()")
    await admin.execute(f'alter database "{name}" set temp_file_limit = -1')
    await admin.execute("grant execute on function pg_export_snapshot() to public")
    found = await judged(database, "disk")
    assert (found.well, "temp_file_limit is -1" in found.detail) == (None, True)
    assert "public may call pg_export_snapshot;" in found.detail
    given = await apply_again(database)
    found = await judged(database, "disk")
    assert "temp_file_limit" not in found.detail
    assert "public may call" not in found.detail
    # What an administrator has chosen stays.
    for chosen in ("1GB", "5GB"):
        connection = await asyncpg.connect(login_dsn(given, "psql_staff"))
        assert await connection.fetchval("show temp_file_limit") == chosen
        await connection.close()
        await admin.execute(f"alter database \"{name}\" set temp_file_limit = '5GB'")
        await apply_again(database)


async def test_what_uses_up_locks_and_is_anybodys_is_named_and_taken_back(
    database: str, admin: asyncpg.Connection
) -> None:
    assert (await judged(database, "locks")).well is True
    await admin.execute("grant execute on function pg_advisory_lock(bigint), txid_current() to public")
    found = await judged(database, "locks")
    assert (found.well, found.detail.partition("public may call ")[2]) == (None, "pg_advisory_lock, txid_current")
    await apply_again(database)
    assert (await judged(database, "locks")).well is True


async def test_what_a_session_takes_of_locks_and_keeps_of_ids_is_told(
    database: str, admin: asyncpg.Connection, staff: asyncpg.Connection
) -> None:
    async def level(name: str) -> float:
        watching = await asyncpg.connect(login_dsn(settings(database), "web_service"))
        try:
            return float(await watching.fetchval(f"select (ops.service_levels() ->> '{name}')::float8"))
        finally:
            await watching.close()

    room = int(
        await admin.fetchval(
            "select current_setting('max_locks_per_transaction')::int * current_setting('max_connections')::int"
        )
    )
    await admin.execute("select count(pg_advisory_lock(i)) from generate_series(1, 1000) i")
    assert await level("lock_table_ratio") >= 1000 / room
    assert 0 < await level("transaction_ids_ratio") < 0.01
    await staff.execute("begin isolation level repeatable read; select 1")
    await admin.execute("do $$ begin for i in 1..200 loop perform pg_current_xact_id(); commit; end loop; end $$")
    assert await level("oldest_snapshot_transactions") >= 200
