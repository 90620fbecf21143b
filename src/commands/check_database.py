"""Verdicts on the database, the work that waits in it and the hotel supplier's circuit."""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping

import asyncpg
import msgspec

from src.commands import circuit
from src.commands.verdict import Verdict
from src.database import apply
from src.database.errors import FAILED
from src.database.opened import Opened, connect
from src.database.roles import LOGINS
from src.logins import login_dsn
from src.settings import Settings

OLDEST_POSTGRES = 15
MAX_SKEW_SECONDS = 2
# The promised service levels by their names in ops.service_levels(). Levels without data are not judged.
MIN_LEVELS = {"checkout_success_ratio_last_hour": 0.96}
MAX_LEVELS = {
    "webhook_lag_p95_seconds_last_hour": 3.0,
    "refund_lag_p95_seconds_last_hour": 900.0,
    "notification_queue_ratio": 0.1,
    "lock_table_ratio": 0.5,
    "transaction_ids_ratio": 0.3,
    "oldest_snapshot_transactions": 1e7,
}
WAITING = ("refunds_pending", "messages_queued", "payouts_pending", "webhooks_deferred", "exceptions_open")
# Levels of work that needs a running worker.
FOR_WORKERS = WAITING[:-1]
MAX_SILENCE_SECONDS = 300
SETTINGS_OF_LOGINS = """
select r.rolname, d.datname, split_part(setting, '=', 1) as name, substr(setting, strpos(setting, '=') + 1) as value
from pg_db_role_setting s join pg_roles r on r.oid = s.setrole left join pg_database d on d.oid = s.setdatabase,
  unnest(s.setconfig) as setting
where r.rolname = any ($1) and coalesce(d.datname, current_database()) = current_database()
"""
PREPARED = """
select gid, owner, prepared at time zone 'UTC' as prepared from pg_prepared_xacts
where database = current_database() order by prepared limit 10
"""
# Schemas in which our logins may create something.
OTHER_DATABASES = """
select datname from pg_database
where datallowconn and datname <> current_database() and has_database_privilege('psql_staff', oid, 'connect')
order by datname
"""
# By name, because some are overloaded.
ANYBODYS = """
select distinct proname from pg_proc
where pronamespace = 'pg_catalog'::regnamespace and proname = any ($1)
  and has_function_privilege('public', oid, 'execute')
order by proname
"""
MADE_UP_TAX_ID = "TIN 000000000"
RELEASE_STATUSES = {"same": (True, "as shipped"), "before": (None, "of the next release, which this one works on")}
WORKERS = """
select extract(epoch from now() - max(finished_at))::float8 as silence,
  coalesce(array_agg(name order by name) filter (where failures > 0), '{}') as failing
from ops.sweeps
"""


async def verdicts(connection: Opened) -> AsyncIterator[Verdict]:
    """Stops at the first verdict that makes later ones meaningless."""
    version = connection.get_server_version()
    yield Verdict(
        "database",
        well=version.major >= OLDEST_POSTGRES,
        detail=f"PostgreSQL {version.major}.{version.micro}, {_way(connection)}",
    )
    before = time.time()
    database_time = float(await connection.fetchval("select extract(epoch from clock_timestamp())"))
    skew = database_time - (before + time.time()) / 2
    yield Verdict("clock", well=abs(skew) <= MAX_SKEW_SECONDS, detail=f"database is {skew:+.3f} s from here")
    if not await connection.fetchval("select to_regclass('meta.releases') is not null"):
        yield Verdict("sql", well=False, detail="nothing applied: run ecotrips db apply")
        return
    status = await connection.fetchval(apply.RELEASE_STATUS, apply.digest(apply.shipped()))
    well, detail = RELEASE_STATUSES.get(status, (False, "differs: run ecotrips db apply"))
    yield Verdict("sql", well=well, detail=detail)
    if well is False:
        return
    yield await _logins(connection)
    yield await _prepared(connection)
    yield await _seller(connection)
    yield await _disk(connection)
    yield await _shared(connection)
    levels = msgspec.json.decode(await connection.fetchval("select ops.service_levels()::text"), type=dict[str, float])
    yield _levels(levels)
    ((silence, failing),) = await connection.fetch(WORKERS)
    yield _backlog(levels, silence)
    yield _worker(silence, failing)
    yield _circuit(await connection.fetchval(circuit.SHOW))


async def newest_document(connection: Opened) -> str | None:
    """The path of the newest stored document, from any host."""
    found = (
        "select storage_path from fin.invoices where sha256 is not null order by created_at desc, number desc limit 1"
    )
    path: str | None = await connection.fetchval(found)
    return path


async def hosts(connection: Opened) -> int:
    """The number of addresses that the service connects from, as far as sockets and poolers show them."""
    return int(
        await connection.fetchval("select count(distinct client_addr) from pg_stat_activity where usename = user")
    )


async def _seller(connection: Opened) -> Verdict:
    """Whether the seller's details were set; the first migration inserts placeholders."""
    seller = await connection.fetchval("select name from fin.seller where tax_id <> $1", MADE_UP_TAX_ID)
    said = seller or "not set: fin.set_seller says who issues invoices, before the first one (docs/operate.md)"
    return Verdict("seller", well=True if seller else None, detail=said)


def privacy_key(kept: str | None, secret: str) -> Verdict:
    """Whether erasures use the secret of this environment; `kept` is privacy.service_key_id()."""
    ours = hmac.new(secret.encode(), b"subject:key", hashlib.sha256).hexdigest()[:16]
    if kept is None:
        return Verdict("erasures", well=None, detail="under no key yet: ecotrips db apply keeps which one it is")
    if kept == ours:
        return Verdict("erasures", well=True, detail=f"under key {ours}, of PRIVACY_HMAC_SECRET")
    detail = (
        f"refused: the database has key {kept}, PRIVACY_HMAC_SECRET here is key {ours}: set the one that is meant, and"
        " run ecotrips db apply if that is the new one"
    )
    return Verdict("erasures", well=False, detail=detail)


async def roles(settings: Settings) -> Verdict:
    """Whether the login role of each kind of caller can connect with its password."""
    refused, failed = [], []
    for role in LOGINS:
        try:
            # psql's logins do not use the pooler.
            address = settings.direct_url if role.startswith("psql_") else None
            connection = await connect(login_dsn(settings, role, address), timeout=5)
        except asyncpg.InvalidAuthorizationSpecificationError:
            refused.append(role)
        except FAILED as error:
            failed.append(f"{role} cannot log in: {type(error).__name__}")
        else:
            await connection.close()
    if refused:
        changed = f"the password is another one, or the login is gone ({', '.join(refused)}): run ecotrips db apply"
        failed.insert(0, changed)
    return Verdict("roles", well=not failed, detail="; ".join(failed) or f"{', '.join(LOGINS)} log in")


async def _logins(connection: Opened) -> Verdict:
    """Whether the shared logins still have their settings, as each login can change its own."""
    found = {
        (row["rolname"], row["name"], row["value"] if row["datname"] is None else None)
        for row in await connection.fetch(SETTINGS_OF_LOGINS, LOGINS)
    }
    changed = sorted({f"{role}: {name}" for role, name, _ in found ^ apply.SETTINGS_OF_LOGINS})
    detail = (
        f"settings were changed ({', '.join(changed)}): run ecotrips db apply" if changed else "set as they were made"
    )
    return Verdict("logins", well=not changed, detail=detail)


async def _prepared(connection: Opened) -> Verdict:
    """Prepared transactions outlive their sessions and keep their locks."""
    maximum = int(await connection.fetchval("select current_setting('max_prepared_transactions')"))
    rows = await connection.fetch(PREPARED)
    kept = [f"{row['gid']!r} of {row['owner']} since {row['prepared']:%Y-%m-%dT%H:%M:%SZ}" for row in rows]
    if kept:
        detail = f"keep their locks until they are committed or rolled back: {', '.join(kept)}"
    elif maximum:
        detail = f"max_prepared_transactions is {maximum}: any login may keep locks beyond its session; set it to 0"
    else:
        detail = "no transaction can be"
    return Verdict("prepared", well=False if kept else None if maximum else True, detail=detail)


async def _disk(connection: Opened) -> Verdict:
    """Functions by which a login without rights can fill the disk; only a superuser can revoke most of them."""
    found = []
    if await connection.fetchval("select current_setting('temp_file_limit')") == "-1":
        found.append("temp_file_limit is -1")
    if functions := [row[0] for row in await connection.fetch(ANYBODYS, apply.WRITERS)]:
        found.append(f"public may call {', '.join(functions)}")
    if others := [row[0] for row in await connection.fetch(OTHER_DATABASES)]:
        found.append(f"logins may enter the databases {', '.join(others)}")
    detail = f"any login may fill it (docs/security.md): {'; '.join(found)}" if found else "no login may fill it"
    return Verdict("disk", well=None if found else True, detail=detail)


async def _shared(connection: Opened) -> Verdict:
    """Functions by which any login can use up shared locks or transaction ids; only a superuser can revoke them."""
    functions = [row[0] for row in await connection.fetch(ANYBODYS, apply.HOARDERS)]
    detail = (
        f"any login may use up locks and transaction ids (docs/security.md): public may call {', '.join(functions)}"
        if functions
        else "no function of PostgreSQL that uses up locks or transaction ids is anybody's"
    )
    return Verdict("locks", well=None if functions else True, detail=detail)


def _way(connection: Opened) -> str:
    """How well the connection to the server is protected against others on the network."""
    by_tls = connection.transport.get_extra_info("ssl_object")
    if by_tls is not None:
        proved = by_tls.context.verify_mode is ssl.CERT_REQUIRED and by_tls.context.check_hostname
        return "by TLS, its name proved" if proved else "by TLS, its name not proved"
    by_socket = connection.transport.get_extra_info("socket").family == socket.AF_UNIX
    return "by a socket" if by_socket else "in plain text"


def _levels(levels: Mapping[str, float]) -> Verdict:
    missed = [
        f"{name}={levels[name]:g} (at least {minimum:g})"
        for name, minimum in MIN_LEVELS.items()
        if levels.get(name, minimum) < minimum
    ]
    missed += [
        f"{name}={levels[name]:g} (at most {maximum:g})"
        for name, maximum in MAX_LEVELS.items()
        if levels.get(name, maximum) > maximum
    ]
    shown = [f"{name}={value:g}" for name, value in levels.items() if name not in WAITING]
    return Verdict("service levels", well=not missed, detail=", ".join(missed or shown))


def _backlog(levels: Mapping[str, float], silence: float | None) -> Verdict:
    counts = ", ".join(f"{name}={levels.get(name, 0):g}" for name in WAITING)
    unattended = any(levels.get(name) for name in FOR_WORKERS) and not _works(silence)
    return Verdict("backlog", well=not unattended, detail=counts + (" and no worker" if unattended else ""))


def _worker(silence: float | None, failing: list[str]) -> Verdict:
    if failing:
        return Verdict("worker", well=False, detail=f"failing: {', '.join(failing)}; see ops.sweeps")
    if silence is None:
        return Verdict("worker", well=None, detail="none has run yet")
    return Verdict("worker", well=_works(silence) or None, detail=f"its last turn ended {silence:.0f} s ago")


def _works(silence: float | None) -> bool:
    return silence is not None and silence <= MAX_SILENCE_SECONDS


def _circuit(found: str) -> Verdict:
    state = msgspec.json.decode(found, type=circuit.CircuitAnswer)
    return Verdict("circuit", well=state.state != "open", detail=str(state))
