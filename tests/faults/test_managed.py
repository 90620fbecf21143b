"""Every command on servers that somebody else runs: the administrator is no superuser, and every login has a password.

Of each command it is said who may: the administrator (with DATABASE_URL and the service's secrets), staff, and who acts
as the service (each with a login of their own and nothing else).
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg
import httpx
import pytest

from src import cli
from src.adapters.postgres.database import LOGIN_ROLES
from src.commands import clients
from src.database import apply
from src.database.embedded import EmbeddedPostgres
from src.logins import login_dsn
from src.settings import OFFLINE_SWITCHES
from tests.conftest import Api
from tests.servers import RELEASES, programs
from tests.support.cluster import execute, server
from tests.support.guides import blocks, leaving
from tests.support.postgres import JWT_SECRET, settings, with_login
from tests.support.processes import command, ecotrips, environment, first_line, free_port
from tests.support.processes import server as serving
from tests.support.tls import tls_server

PROVIDERS = "of the provider"
SECRETS = {"administrator": "administrators own", "amina": "aminas own", "bob": "bobs own"}
ADMINISTRATOR, STAFF, SERVICE = SECRETS
# As a provider makes them: neither superuser nor more than a database of its own.
PROVIDED = (
    "create role administrator login createrole password 'administrators own'",
    "create database ecotrips owner administrator",
    "create database copy owner administrator",
)
PERSONS = (
    "create role amina login in role ops_staff password 'aminas own'",
    "create role bob login in role service_role password 'bobs own'",
)
PRIVACY = "privacy-secret-of-tests-that-is-long-enough"
ERASED = (
    "select create_privacy_request('erasure', '55555555-5555-4555-8555-555555555555') ->> 'request_id'",
    "select review_privacy_request('{0}', 'approve') ->> 'request_id'",
    "select plan_privacy_erasure('{0}') ->> 'request_id'",
    f"select execute_privacy_erasure('{{0}}', 'ERASE', '{PRIVACY}') ->> 'request_id'",
)


@dataclass(frozen=True)
class Managed:
    """A server, as its provider sees it (`dsn(PROVIDER, …)`) and as its customers do."""

    release: int
    url: Callable[[str], str]
    by_tls: bool
    folder: Path
    service: Mapping[str, str]

    def dsn(self, login: str, database: str = "ecotrips") -> str:
        return with_login(self.url(database), login, quote(SECRETS.get(login, PROVIDERS)))

    def execute(self, login: str, statement: str, database: str = "ecotrips") -> object:
        return asyncio.run(execute(self.dsn(login, database), statement))

    def ran(self, login: str, words: str, *more: str, database: str = "ecotrips") -> tuple[int, str]:
        """Exit status and all that was said."""
        given = {"DATABASE_URL": self.dsn(login, database), **OFFLINE_SWITCHES, **self.service}
        done = ecotrips(self.folder, *words.split(), *more, **given, JWT_SECRET=JWT_SECRET * (login == ADMINISTRATOR))
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    def works(self, login: str, words: str, *more: str, said: str = "", database: str = "ecotrips") -> None:
        status, text = self.ran(login, words, *more, database=database)
        assert (status, re.search(said, text) is not None) == (0, True), (login, words, text)

    def refuses(self, login: str, words: str, *more: str, said: str = "JWT_SECRET is not set", status: int = 1) -> None:
        found, text = self.ran(login, words, *more)
        assert (found, re.search(said, text) is not None) == (status, True), (login, words, text)

    def is_for_ops(self, words: str, said: str) -> None:
        """The administrator and staff may, the service may not."""
        for login in (ADMINISTRATOR, STAFF):
            self.works(login, words, said=said)
        self.refuses(SERVICE, words)

    def can_dump(self) -> bool:
        """Whether a program for that is here, which no wheel has for TLS."""
        majors = [int(path.parent.parent.name) for path in clients.INSTALLED.glob("*/bin/pg_dump")]
        return not self.by_tls or max(majors, default=0) >= self.release


@contextmanager
def managed(release: str, folder: Path, *, by_tls: bool = False) -> Iterator[Managed]:
    with ExitStack() as stack:
        stripe = stack.enter_context(first_line("-m", "tests.fakes.stripe", str(free_port())))
        service = {"PRIVACY_HMAC_SECRET": PRIVACY, "STRIPE_SECRET_KEY": "sk_test", "STRIPE_API_BASE": stripe}
        if by_tls:
            tls = stack.enter_context(tls_server(programs(release)))
            asyncio.run(_provide(tls.server))
            yield Managed(int(release), tls.dsn, by_tls, folder, service)
            return
        postgres = stack.enter_context(server(programs(release)))
        asyncio.run(_provide(postgres))
        # A start would write the embedded server's own rules again.
        (postgres.data / "pg_hba.conf").write_text("local all all scram-sha-256\n")
        asyncio.run(execute(postgres.url("postgres"), "select pg_reload_conf()"))
        yield Managed(int(release), postgres.url, by_tls, folder, service)


async def _provide(postgres: EmbeddedPostgres) -> None:
    for statement in (*PROVIDED, f"alter role postgres password '{PROVIDERS}'"):
        await execute(postgres.url("postgres"), statement)


# In the order in which they are tried.
COMMANDS: dict[str, Callable[[Managed], None]] = {}


def tried(words: str) -> Callable[[Callable[[Managed], None]], None]:
    """Registers what tries a command."""

    def register(function: Callable[[Managed], None]) -> None:
        COMMANDS[words] = function

    return register


@tried("db apply")
def _(at: Managed) -> None:
    for words in ("psql -c x", "flags list", "circuit show", "ledger verify"):
        at.refuses(ADMINISTRATOR, words, said='user "psql_staff": run ecotrips db apply')
    at.works(ADMINISTRATOR, "db apply", said=f"{len(apply.shipped())} files applied")
    at.works(ADMINISTRATOR, "db apply", said="up to date")
    for statement in PERSONS:
        at.execute(ADMINISTRATOR, statement)
    for person in (STAFF, SERVICE):
        at.refuses(person, "db apply", said=f"{person} is a person's own login")


@tried("db seed")
def _(at: Managed) -> None:
    at.works(ADMINISTRATOR, "db seed --demo", said="demo rows added")
    at.works(ADMINISTRATOR, "db seed --volume 50", said="50 of 50")
    for person in (STAFF, SERVICE):
        at.refuses(person, "db seed --demo")


@tried("check")
def _(at: Managed) -> None:
    way = "by TLS, its name proved" if at.by_tls else "by a socket"
    at.works(
        ADMINISTRATOR,
        "check",
        said=rf"PostgreSQL {at.release}\.\d+, {way}\n(.|\n)*psql_service log in\n(.|\n)*all well",
    )
    # Only a superuser can take that back.
    at.works(ADMINISTRATOR, "check", said="any login may fill it .*public may call lo_creat, lo_create, .* postgres")
    at.execute(ADMINISTRATOR, "alter role psql_staff password 'another'")
    at.refuses(ADMINISTRATOR, "check", said=r"roles .*\(psql_staff\): run ecotrips db apply")
    at.works(ADMINISTRATOR, "db apply", said="up to date")
    at.works(ADMINISTRATOR, "check", said="all well")
    for person in (STAFF, SERVICE):
        at.refuses(person, "check")


@tried("psql")
def _(at: Managed) -> None:
    asked = "select session_user || ' is ' || sec.session_role()"
    at.works(ADMINISTRATOR, "psql", "-Atc", asked, said="^psql_staff is ")
    at.works(ADMINISTRATOR, "psql --service", "-Atc", asked, said="^psql_service is ")
    at.works(STAFF, "psql", "-Atc", asked, said="^amina is ")
    at.works(SERVICE, "psql --service", "-Atc", asked, said="^bob is ")
    at.refuses(STAFF, "psql --service", "-c", asked)
    at.refuses(SERVICE, "psql", "-c", asked)
    at.refuses(STAFF, "psql", "-c", "delete from fin.entries", said="permission denied")
    # As servers have it: the administrator's name and no password.
    bare = {"DATABASE_URL": with_login(at.url("ecotrips"), ADMINISTRATOR, ""), **OFFLINE_SWITCHES, **at.service}
    done = ecotrips(at.folder, "psql", "-Atc", "select session_user", **bare, JWT_SECRET=JWT_SECRET)
    assert (done.stdout, done.returncode) == ("psql_staff\n", 0), done.stderr
    done = ecotrips(at.folder, "flags", "list", **bare, JWT_SECRET="")
    assert (done.returncode, "needs no setting but DATABASE_URL, with its password" in done.stderr) == (1, True)


@tried("db psql")
def _(at: Managed) -> None:
    at.works(ADMINISTRATOR, "db psql", "-Atc", "select session_user", said="^administrator$")
    at.execute(ADMINISTRATOR, f"create role carol login in role ops_staff password '{PROVIDERS}'")
    for database in ("ecotrips", "postgres"):
        at.execute("carol", "select lo_create(0)", database)
    for words in leaving("carol"):
        at.works(ADMINISTRATOR, "db psql", "-v", "ON_ERROR_STOP=1", *words)
    # The administrator may do what ops and the service may, superuser or not.
    at.works(
        ADMINISTRATOR, "db psql", "-Atc", "select count(*) from privacy.map_faults, fin.verify_ledger()", said="^0$"
    )
    for person in (STAFF, SERVICE):
        at.refuses(person, "db psql", "-c", "select 1")
    # docs/secrets.md: the administrator ends the sessions of everybody who has a leaked password.
    [ending] = [block for block in blocks("docs/secrets.md", "sql") if "pg_terminate_backend" in block]
    with ThreadPoolExecutor(1) as thieves:
        thief = thieves.submit(at.ran, ADMINISTRATOR, "psql", "-c", "select pg_sleep(600)")
        while not at.execute("postgres", "select count(*) from pg_stat_activity where query = 'select pg_sleep(600)'"):
            time.sleep(0.1)
        at.works(ADMINISTRATOR, "db psql", "-v", "ON_ERROR_STOP=1", "-c", ending.replace("\n", " "), said=r" ended \n")
        assert "terminating connection" in thief.result()[1]
    at.works(ADMINISTRATOR, "db psql", "-Atc", "select pg_has_role('psql_staff', 'usage')", said="^f$")


@tried("flags set")
def _(at: Managed) -> None:
    at.is_for_ops("flags set WA_OFFLINE=1", said="^WA_OFFLINE=1$")


@tried("flags list")
def _(at: Managed) -> None:
    at.is_for_ops("flags list", said=r"^WA_OFFLINE=1  \(amina, ")


@tried("circuit open")
def _(at: Managed) -> None:
    at.is_for_ops("circuit open", said=r"open \(forced\)")


@tried("circuit close")
def _(at: Managed) -> None:
    at.is_for_ops("circuit close", said=r"closed \(forced\)")


@tried("circuit auto")
def _(at: Managed) -> None:
    at.is_for_ops("circuit auto", said="closed, 0 failures")


@tried("circuit show")
def _(at: Managed) -> None:
    at.is_for_ops("circuit show", said="hbx: closed")


@tried("ledger verify")
def _(at: Managed) -> None:
    at.is_for_ops("ledger verify", said=r"^0 faults in \d+ facts")


@tried("ledger reconcile")
def _(at: Managed) -> None:
    at.works(ADMINISTRATOR, "ledger reconcile", said=r"^0 differences in 0 payments since \d{4}-")
    for person in (STAFF, SERVICE):
        at.refuses(person, "ledger reconcile")


@tried("privacy verify")
def _(at: Managed) -> None:
    request = ""
    for statement in ERASED:
        request = str(at.execute(ADMINISTRATOR, statement.format(request)))
    at.works(ADMINISTRATOR, "privacy verify", request, said="nothing is left")
    for person in (STAFF, SERVICE):
        at.refuses(person, "privacy verify", request)


@tried("token")
def _(at: Managed) -> None:
    at.works(ADMINISTRATOR, "token anon", said="^ey")
    for person in (STAFF, SERVICE):
        at.refuses(person, "token anon")


@tried("serve")
def _(at: Managed) -> None:
    with serving(at.dsn(ADMINISTRATOR), at.folder) as service:
        assert httpx.get(f"{service.address}/readyz").status_code == 200
        assert httpx.get(f"{service.address}/functions/v1/ops-bookings", headers=Api.service).status_code == 200
        assert service.stop() == 0, service.text()
    for person in (STAFF, SERVICE):
        at.refuses(person, "serve")


@tried("worker")
def _(at: Managed) -> None:
    at.works(ADMINISTRATOR, "worker --once")
    assert at.execute(ADMINISTRATOR, "select max(failures) from ops.sweeps") == 0
    for person in (STAFF, SERVICE):
        at.refuses(person, "worker --once")


@tried("rest")
def _(at: Managed) -> None:
    gate = "create role gate login noinherit password 'gates own' in role anon"
    at.execute(ADMINISTRATOR, gate)
    given = {
        "PGRST_DB_URI": with_login(at.url("ecotrips"), "gate", quote("gates own")),
        "PGRST_DB_SCHEMAS": "catalog",
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_SERVER_HOST": "127.0.0.1",
        "PGRST_SERVER_PORT": str(free_port()),
    }
    with command(at.folder, "rest", ready="serving ", env=environment(**given)) as service:
        places = httpx.get(f"http://127.0.0.1:{given['PGRST_SERVER_PORT']}/search_index?limit=1")
        assert len(places.json()) == 1, places.text
        service.stop()


@tried("db backup")
def _(at: Managed) -> None:
    if at.can_dump():
        at.works(ADMINISTRATOR, "db backup", "dump", said=r"written: .*dump \([\d,]+ rows, ")
    else:
        at.refuses(ADMINISTRATOR, "db backup", "dump", said=f"install postgresql-client-{at.release}")
    for person in (STAFF, SERVICE):
        at.refuses(person, "db backup", "theirs")
    assert not (at.folder / "theirs").exists()


@tried("db restore")
def _(at: Managed) -> None:
    if not at.can_dump():
        with managed("15", at.folder) as other:
            COMMANDS["db apply"](other)
            COMMANDS["db backup"](other)
    for person in (STAFF, SERVICE):
        at.refuses(person, "db restore", "dump")
    at.works(ADMINISTRATOR, "db restore", "dump", said="restored: dump", database="copy")
    at.works(ADMINISTRATOR, "db apply", said="up to date", database="copy")
    at.works(ADMINISTRATOR, "check", said="all well", database="copy")
    for right in (
        "database_privilege('public', 'copy', 'temporary')",
        "schema_privilege('public', 'public', 'usage, create')",
    ):
        assert at.execute(ADMINISTRATOR, f"select has_{right}", "copy") is False


@tried("settings")
def _(at: Managed) -> None:
    for login in (ADMINISTRATOR, STAFF, SERVICE):
        status, said = at.ran(login, "settings")
        assert status in {0, 1}
        assert "DATABASE_URL" in said
        assert quote(SECRETS[login]) not in said


@tried("db reset")
def _(at: Managed) -> None:
    at.refuses(ADMINISTRATOR, "db reset --yes", said="only the embedded database can be reset", status=2)


# These are of DATA_DIR alone, whatever DATABASE_URL says.


@tried("db start")
def _(at: Managed) -> None:
    at.works(ADMINISTRATOR, "db start", said="started: ")


@tried("db status")
def _(at: Managed) -> None:
    at.works(ADMINISTRATOR, "db status", said="running")


@tried("demo")
def _(at: Managed) -> None:
    before = at.execute(ADMINISTRATOR, "select count(*) from core.profiles")
    env = environment(DATABASE_URL=at.dsn(ADMINISTRATOR), PORT=str(free_port()))
    with command(at.folder, "demo", ready="/docs", env=env) as service:
        assert service.stop() == 0, service.text()
    assert at.execute(ADMINISTRATOR, "select count(*) from core.profiles") == before


@tried("db stop")
def _(at: Managed) -> None:
    at.works(ADMINISTRATOR, "db stop", said="^stopped")


def words_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every command of a parser, as one types it."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001 - argparse shows them nowhere
    if not groups:
        yield parser.prog.partition(" ")[2]
    for group in groups:
        for inner in group.choices.values():
            yield from words_of(inner)


def test_every_command_is_tried() -> None:
    assert sorted(words_of(cli.parser())) == sorted(COMMANDS)


@pytest.mark.heavy
@pytest.mark.parametrize("by_tls", [False, True], ids=["socket", "tls"])
@pytest.mark.parametrize("release", RELEASES)
def test_every_command_works_for_whom_it_is_meant(release: str, tmp_path: Path, *, by_tls: bool) -> None:
    if by_tls and release == "18":
        pytest.skip("the wheel's server has no TLS")
    with managed(release, tmp_path, by_tls=by_tls) as at:
        for words, tries in COMMANDS.items():
            print(words)
            tries(at)


@pytest.mark.heavy
def test_no_login_gets_in_by_another_ones_password(tmp_path: Path) -> None:
    with managed("18", tmp_path) as at:
        COMMANDS["db apply"](at)
        for login in LOGIN_ROLES.values():
            own = login_dsn(settings(at.dsn(ADMINISTRATOR)), login)
            assert asyncio.run(execute(own, "select session_user")) == login
            with pytest.raises(asyncpg.InvalidPasswordError):
                asyncio.run(execute(with_login(at.url("ecotrips"), login, "another"), "select 1"))


@pytest.mark.heavy
def test_who_owns_the_database_no_more_is_told_who_must_apply(tmp_path: Path) -> None:
    with managed("18", tmp_path) as at:
        COMMANDS["db apply"](at)
        at.execute("postgres", "alter database ecotrips owner to postgres")
        at.execute("postgres", "grant temporary on database ecotrips to public")
        at.refuses(ADMINISTRATOR, "db apply", said="apply as the owner of the database")


@pytest.mark.heavy
@pytest.mark.parametrize("release", ["16", "18"])
def test_who_did_not_make_the_roles_is_told_who_must_apply(release: str, tmp_path: Path) -> None:
    with managed(release, tmp_path) as at:
        COMMANDS["db apply"](at)
        at.execute("postgres", f"create role second login createrole password '{PROVIDERS}'")
        at.execute("postgres", "create database seconds owner second")
        done = ecotrips(tmp_path, "db", "apply", DATABASE_URL=at.dsn("second", "seconds"))
        assert done.returncode == 1
        assert done.stderr.endswith(f": {apply.NOT_THE_MAKER}\n")
        assert done.stderr.count("\n") == 1


@pytest.mark.heavy
def test_an_extension_that_only_superusers_make_is_left_out_and_named(tmp_path: Path) -> None:
    with managed("16", tmp_path) as at:
        COMMANDS["db apply"](at)
        at.execute("postgres", "create extension pg_stat_statements")
        at.works(ADMINISTRATOR, "db backup", "dump")
        left_out = (
            "left out: pg_stat_statements (.|\n)*restored: dump|restored: dump\n(.|\n)*left out: pg_stat_statements"
        )
        at.works(ADMINISTRATOR, "db restore", "dump", said=left_out, database="copy")
        at.execute("postgres", "create table public.theirs ()")
        at.refuses(ADMINISTRATOR, "db backup", "dump", said="permission denied for table theirs")
