from src.adapters.postgres.apply import DIGEST_OF_DATABASE
from src.adapters.postgres.database import SETTINGS, Database
from src.adapters.postgres.switches import PostgresSwitches
from src.domain.context import SERVICE, Context
from src.domain.errors import DomainError
from src.domain.health import State

DIGEST = f"{SETTINGS} select ({DIGEST_OF_DATABASE}) from s"  # noqa: S608 - constants


class PostgresReadiness:
    """The database answers, and holds exactly the SQL that this code ships."""

    def __init__(self, database: Database, switches: PostgresSwitches, digest: str) -> None:
        self._database = database
        self._switches = switches
        self._digest = digest

    async def check(self) -> State:
        try:
            found = await self._database.value(Context(SERVICE, "readiness"), DIGEST)
        except DomainError:
            parts = {"database": "unreachable"}
        else:
            verdict = "ok" if found == self._digest else "differs from this release: run ecotrips db apply"
            parts = {"database": "ok", "sql": verdict}
        return State(parts, await self._switches.all())
