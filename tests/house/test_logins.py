"""`ecotrips psql` and its neighbours: whose login they use, what it may, and that nobody reads a password off them."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import yaml

from src.commands import check_database
from src.database.dsn import for_libpq
from src.database.embedded import binaries
from src.database.opened import connect
from src.logins import OPERATORS, SERVICE, STAFF, login_dsn
from tests.support.guides import leaving
from tests.support.postgres import JWT_SECRET, Server, settings, with_login
from tests.support.processes import ROOT, ecotrips

SECRET = "known-to-nobody"
# psql says what everybody can see of it.
ARGUMENTS = r"\! tr '\000' ' ' < /proc/$PPID/cmdline; echo"
WRAPPER = """#!/bin/sh
tr '\\000' ' ' < /proc/$$/cmdline >> {log}
echo >> {log}
echo "password=$PGPASSWORD" >> {log}
exec {program} "$@"
"""


def psql(folder: Path, database: str, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return ecotrips(folder, "psql", *arguments, DATABASE_URL=database, **changes)


@pytest.fixture
async def person(admin: asyncpg.Connection, database: str) -> AsyncIterator[str]:
    """The DSN of a person's login, made as docs/operate.md says."""
    await admin.execute(f"create role amina login password '{SECRET}' in role ops_staff")
    yield with_login(database, "amina", SECRET)
    await admin.execute("drop role if exists amina")


@pytest.mark.parametrize(("flags", "role"), [([], STAFF), (["--service"], SERVICE)])
def test_psql_is_a_login_without_more_rights_than_its_role(
    database: str, tmp_path: Path, flags: list[str], role: str
) -> None:
    administrators = with_login(database, "postgres", SECRET)
    for before in ("reset role", "set role none", f"set role {role}", "reset session authorization"):
        found = psql(tmp_path, administrators, *flags, "-Atqc", f"{before}; select session_user, sec.session_role()")
        expected = role if before.endswith(role) else OPERATORS[role]
        assert found.stdout == f"{OPERATORS[role]}|{expected}\n", found.stderr
    for gain in (
        "set role postgres",
        "set role ecotrips_owner",
        "set session authorization postgres",
        "set session authorization ecotrips_owner",
        "alter role current_user superuser",
        "grant ecotrips_owner to current_user",
        "create role mallory",
        "select * from meta.applied; insert into ops.flags values ('USE_FIXTURES', '1', 'x')",
        "delete from fin.entries",
        "copy (select 1) to program 'id'",
        "select pg_read_file('/etc/passwd')",
    ):
        refused = psql(tmp_path, administrators, *flags, "-v", "ON_ERROR_STOP=1", "-c", gain)
        assert refused.returncode == 1, gain
        assert "permission denied" in refused.stderr or "must be" in refused.stderr, (gain, refused.stderr)


def test_the_administrators_psql_is_the_administrators(database: str, tmp_path: Path) -> None:
    found = ecotrips(tmp_path, "db", "psql", "-Atc", "select session_user", DATABASE_URL=database)
    assert found.stdout == "postgres\n"


async def test_a_persons_own_login_is_used_as_it_is_and_needs_no_other_setting(
    person: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    """Also behind a pooler."""
    for dsn, direct in ((person, ""), ("postgresql://pooler.invalid/none", person)):
        given = {"JWT_SECRET": "", "DATABASE_DIRECT_URL": direct}
        found = psql(tmp_path, dsn, "-Atc", "select session_user", **given)
        assert found.stdout == "amina\n", found.stderr
        assert ecotrips(tmp_path, "flags", "set", "WA_OFFLINE=1", DATABASE_URL=dsn, **given).returncode == 0
        assert ecotrips(tmp_path, "ledger", "verify", DATABASE_URL=dsn, **given).returncode == 0
    assert await admin.fetchval("select updated_by from ops.flags") == "amina"
    refused = psql(tmp_path, person, "--service", "-c", "select 1", JWT_SECRET="")
    alone = "a login of one's own in service_role needs no setting but DATABASE_URL, with its password"
    assert (refused.returncode, refused.stderr) == (1, f"ecotrips: JWT_SECRET is not set; {alone}\n")


async def test_who_leaves_cannot_keep_their_login_from_being_dropped(
    person: str, admin: asyncpg.Connection, database: str, tmp_path: Path
) -> None:
    places = (person, urlunsplit(urlsplit(person)._replace(path="/postgres")))
    sessions = [await asyncpg.connect(place) for place in places]
    await admin.execute("grant execute on function lo_create(oid) to amina")
    for session in sessions:
        await session.execute("select lo_create(0); alter default privileges grant select on tables to public")
    for words in leaving("amina"):
        done = ecotrips(tmp_path, "db", "psql", *words, "-v", "ON_ERROR_STOP=1", DATABASE_URL=database)
        assert done.returncode == 0, (words, done.stderr)
    assert not await admin.fetchval("select exists (select from pg_roles where rolname = 'amina')")
    assert all(session.is_closed() for session in sessions)


@pytest.mark.parametrize(
    "words", ["db apply", "db seed --demo", "db psql -c 'select 1'", "db backup dump", "db restore dump"]
)
async def test_a_person_is_told_what_is_the_administrators(person: str, tmp_path: Path, words: str) -> None:
    (tmp_path / "dump").touch()
    refused = ecotrips(tmp_path, *shlex.split(words), DATABASE_URL=person, JWT_SECRET="")
    assert refused.returncode == 1
    assert refused.stderr.startswith("ecotrips: amina is a person's own login; this is for the administrator"), words
    assert "JWT_SECRET is not set" in refused.stderr
    assert refused.stderr.count("\n") == 1


async def test_who_has_another_password_is_named_with_what_helps(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers of tests ask for none: see tests/faults/test_managed.py for one that does."""

    async def refusing(dsn: str, timeout: float) -> object:  # noqa: ASYNC109 - as the one that it stands for
        if "psql_" in dsn:
            raise asyncpg.InvalidPasswordError
        return await connect(dsn, timeout=timeout)

    monkeypatch.setattr(check_database, "connect", refusing)
    told = await check_database.roles(settings(database))
    assert told.well is False
    assert "(psql_staff, psql_service): run ecotrips db apply" in told.detail


def test_no_override_is_said_to_be_none(database: str, tmp_path: Path) -> None:
    done = ecotrips(tmp_path, "flags", "list", DATABASE_URL=database)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "no overrides: the environment of each process decides\n"


@pytest.mark.parametrize("command", ["psql", "db psql"])
def test_psqls_help_is_ours_and_says_how_to_reach_psqls_own(database: str, tmp_path: Path, command: str) -> None:
    for option in ("-h", "--help"):
        ours = ecotrips(tmp_path, *command.split(), option, DATABASE_URL=database).stdout
        assert ours.startswith(f"usage: ecotrips {command} ")
        assert "[PSQL OPTION ...]" in ours
        assert f"`ecotrips {command} -- --help`" in " ".join(ours.split())
    theirs = ecotrips(tmp_path, *command.split(), "--", "--help", DATABASE_URL=database)
    assert theirs.stdout.startswith("psql is the PostgreSQL interactive terminal"), theirs


async def test_the_services_login_is_nobodys_own(database: str, tmp_path: Path) -> None:
    """In psql it would bring claims that count."""
    found = psql(tmp_path, login_dsn(settings(database), "web_service"), "--service", "-Atc", "select session_user")
    assert found.stdout == "psql_service\n"


def test_commands_of_operators_say_whose_they_are(database: str, tmp_path: Path) -> None:
    assert ecotrips(tmp_path, "flags", "set", "WA_OFFLINE=1", DATABASE_URL=database).returncode == 0
    assert "psql_staff" in ecotrips(tmp_path, "flags", "list", DATABASE_URL=database).stdout
    for order in ("open", "show"):
        assert "hbx: open (forced)" in ecotrips(tmp_path, "circuit", order, DATABASE_URL=database).stdout
    written = "select distinct who, login from audit.events where what ~ 'flags|circuit'"
    found = ecotrips(tmp_path, "db", "psql", "-Atc", written, DATABASE_URL=database)
    assert found.stdout == "psql_staff|psql_staff\n"


@pytest.mark.parametrize("place", ["before the host", "among the parameters"])
def test_no_password_stands_in_the_process_list(database: str, tmp_path: Path, place: str) -> None:
    dsn = with_login(database, "postgres", SECRET) if place == "before the host" else f"{database}&password={SECRET}"
    derived = login_dsn(settings(database), "psql_staff").split(":")[2].partition("@")[0]
    for command, secret in ((["db", "psql"], SECRET), (["psql"], derived)):
        shown = ecotrips(tmp_path, *command, "-c", ARGUMENTS, "-c", r"\! echo $PGPASSWORD", DATABASE_URL=dsn).stdout
        arguments, password = shown.splitlines()
        assert "/psql postgresql://" in arguments
        assert secret not in arguments
        assert password == secret


async def test_no_password_of_backup_and_restore_either(database: str, server: Server, tmp_path: Path) -> None:
    log, wrappers = tmp_path / "log", tmp_path / "bin"
    wrappers.mkdir()
    real = binaries()
    for program in ("pg_dump", "pg_restore"):
        (wrappers / program).write_text(WRAPPER.format(log=log, program=real / program))
        (wrappers / program).chmod(0o755)
    (wrappers / "postgres").symlink_to(real / "postgres")
    copy = await server.create()
    for command, dsn in (("backup", database), ("restore", copy)):
        given = {"DATABASE_URL": with_login(dsn, "postgres", SECRET), "POSTGRES_BIN": str(wrappers)}
        ran = ecotrips(tmp_path, "db", command, "dump", **given)
        assert ran.returncode == 0, ran.stderr
    await server.drop(copy)
    written = log.read_text()
    assert written.count("--dbname=postgresql://postgres@") == 1
    assert written.count(SECRET) == 1
    # What reads an archive reaches no server and knows no password.
    assert re.search(rf"pg_dump .*\npassword={SECRET}\n(.*pg_restore .*\npassword=\n)+\Z", written), written


@pytest.mark.parametrize(
    ("dsn", "shown", "password"),
    [
        ("postgresql://a:b%40c@h:5/d?sslmode=require", "postgresql://a@h:5/d?sslmode=require", "b@c"),
        ("postgresql://a:b@h1:1,h2:2/d", "postgresql://a@h1:1,h2:2/d", "b"),
        ("postgres:///d?user=a&password=b&host=/x", "postgres://a@%2Fx/d", "b"),
        ("postgresql://a@/d", "postgresql://a@/d", None),
        ("postgresql:///d", "postgresql:///d", None),
        ("postgresql://:b@h/d", "postgresql://h/d", "b"),
    ],
)
def test_a_dsn_is_shown_without_its_password(dsn: str, shown: str, password: str | None) -> None:
    assert for_libpq(dsn) == (shown, {} if password is None else {"PGPASSWORD": password})


def test_a_password_that_only_an_argument_can_bring_is_refused() -> None:
    with pytest.raises(ValueError, match="sslpassword"):
        for_libpq("postgresql://h/d?sslkey=/k&sslpassword=b")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://h:5/d", "postgresql://web_anon:x@h:5/d"),
        ("postgresql://a:b@h1:1,h2:2/d?sslmode=require", "postgresql://web_anon:x@h1:1,h2:2/d?sslmode=require"),
        ("postgresql:///d?user=a&password=b&host=/x", "postgresql://web_anon:x@%2Fx/d"),
    ],
)
def test_a_login_takes_the_administrators_place(address: str, expected: str) -> None:
    given = settings("postgresql:///", database_role_secret=JWT_SECRET)
    found = login_dsn(given, "web_anon", address)
    assert found.replace(found.split(":")[2].partition("@")[0], "x") == expected


def test_only_who_applies_the_sql_knows_the_administrators_password() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    given = {name: service.get("environment", {}) for name, service in services.items()}
    knowing = {name for name, values in given.items() if "POSTGRES_PASSWORD:?" in str(values.values())}
    assert knowing == {"apply", "postgres"}
    # What .env holds is overridden too.
    assert all(values["POSTGRES_PASSWORD"] == "" for name, values in given.items() if name in ("app", "worker"))
