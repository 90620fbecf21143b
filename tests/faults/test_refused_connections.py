"""The database answers and lets the service not in: callers are told to come back, and nothing of what it says."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from src.database.dsn import Dsn
from src.database.embedded import EmbeddedPostgres
from src.settings import OFFLINE_SWITCHES
from tests.conftest import CHECKOUT, Api, serving
from tests.support.cluster import execute, server
from tests.support.postgres import Server, make_template
from tests.support.races import until
from tests.support.readiness import has_wrong

LOGINS = ("web_anon", "web_authenticated", "web_service")
PASSWORD = [f"alter role {login} password 'another'" for login in LOGINS]
END = "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where datname = 'NAME'"
# What makes the server refuse, and what takes that back; NAME is the database. First the rules of who gets in how.
TRUSTED = "local all all trust\n"
CAUSES = {
    "another password": ("local all postgres trust\nlocal all all scram-sha-256\n", PASSWORD, []),
    "no login": (
        TRUSTED,
        [f"alter role {login} nologin" for login in LOGINS],
        [f"alter role {login} login" for login in LOGINS],
    ),
    "a rule that refuses": ("local all postgres trust\nlocal all all reject\n", [], []),
    "no rule": ("local all postgres trust\n", [], []),
    "no right to connect": (
        TRUSTED,
        ['revoke connect on database "NAME" from public'],
        ['grant connect on database "NAME" to public'],
    ),
    "no place": (
        TRUSTED,
        [f"alter role {login} connection limit 0" for login in LOGINS],
        [f"alter role {login} connection limit -1" for login in LOGINS],
    ),
    "a closed database": (
        TRUSTED,
        ['alter database "NAME" allow_connections false'],
        ['alter database "NAME" allow_connections true'],
    ),
    "another name": (
        TRUSTED,
        ['alter database "NAME" allow_connections false', END, 'alter database "NAME" rename to moved'],
        ['alter database moved rename to "NAME"', 'alter database "NAME" allow_connections true'],
    ),
}


class Refusing:
    """A server with the shipped SQL that lets in whom it is told to."""

    def __init__(self, own: EmbeddedPostgres) -> None:
        self._own = own
        self._rules = own.data / "pg_hba.conf"
        self.dsn = own.url(make_template(Server(own.url("postgres"))))

    async def tell(self, rules: str, *statements: str) -> None:
        self._rules.write_text(rules)
        for statement in ("select pg_reload_conf()", *statements, END):
            await execute(self._own.url("postgres"), statement.replace("NAME", Dsn.of(self.dsn).path))


@pytest.fixture(scope="module")
def refusing() -> Iterator[Refusing]:
    with server() as own:
        yield Refusing(own)


@pytest.mark.parametrize("cause", CAUSES)
async def test_whatever_the_server_says_callers_are_told_to_come_back(
    refusing: Refusing, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    rules, refused, undone = CAUSES[cause]
    await refusing.tell(TRUSTED)
    async with serving(refusing.dsn, switches={**OFFLINE_SWITCHES, "USE_FIXTURES": "0"}) as api:
        await until(lambda: has_wrong(api, {}))
        assert [answer.status_code for answer in await asked(api)] == [200] * 4
        try:
            await refusing.tell(rules, *refused)
            # Rules are read again a moment after they are told, and who came in by then stays.
            while not await has_wrong(api, {"database": "unreachable"}):
                await refusing.tell(rules)
            answers = await asked(api)
            metrics = await api.http.get("/metrics")
        finally:
            await refusing.tell(TRUSTED, *undone)
        for answer in answers:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text
            assert answer.json()["code"] in {"TRANSIENT_RETRY", "PGRST000"}
            assert not any(word in answer.text for word in ("web_", "host", 'database "', "role", "hba")), answer.text
        assert "ecotrips_database_up 0" in metrics.text
        await until(lambda: has_wrong(api, {}))
        assert [answer.status_code for answer in await asked(api)] == [200] * 4
    told = [record.getMessage() for record in caplog.records if "is refused by the database: " in record.getMessage()]
    assert len(told) == len(set(told))
    assert bool(told) is (cause != "no place"), told


async def asked(api: Api) -> list[httpx.Response]:
    """Of functions and of /rest/v1, as anybody, in one statement, in a pipeline and in a transaction."""
    read = "/rest/v1/ops.v_bookings?limit=1"
    return [
        await api.post("bff-checkout", CHECKOUT),
        await api.http.get("/functions/v1/ops-bookings", headers=api.service),
        await api.http.get(read, headers=api.service),
        await api.http.get(read, headers={**api.service, "Prefer": "timezone=UTC"}),
    ]
