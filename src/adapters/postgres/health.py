import asyncpg

from src.adapters.postgres.database import SETTINGS, Database
from src.adapters.postgres.switches import PostgresSwitches
from src.database.apply import RELEASE_STATUS
from src.database.notifications import Notifications
from src.database.refresher import Refresher
from src.domain.context import SERVICE, Context
from src.domain.errors import DomainError
from src.domain.health import State

FOUND = f"{SETTINGS} select ({RELEASE_STATUS.replace('$1', '$4')}) from s"  # noqa: S608 - constants


class PostgresReadiness:
    """The database answers, holds this or the next release's SQL, and its notifications arrive.

    The next release's SQL counts, so that old servers go on answering during an upgrade.
    """

    def __init__(
        self,
        database: Database,
        switches: PostgresSwitches,
        digest: str,
        notifications: Notifications,
        schema: Refresher,
    ) -> None:
        self._database = database
        self._switches = switches
        self._digest = digest
        self._notifications = notifications
        self._schema = schema

    async def check(self) -> State:
        return State(await self._parts(), await self._switches.all())

    async def _parts(self) -> dict[str, str]:
        try:
            found = await self._database.value(Context(SERVICE, "readiness"), FOUND, self._digest)
        except asyncpg.SyntaxOrAccessError:
            found = None  # there is no SQL of ours
        except (DomainError, asyncpg.PostgresError):
            return {"database": "unreachable"}
        return {
            "database": "ok",
            "sql": "differs from this release: run ecotrips db apply" if found in {None, "differs"} else "ok",
            "notifications": "ok" if self._notifications.listening else "nobody listens",
            "catalog": "older than a known change" if self._schema.behind else "ok",
        }
