from src.adapters.postgres.database import Database
from src.domain.context import Context
from src.domain.storage import ObjectName


class PostgresStorageTrail:
    """Changes of objects in audit.events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, context: Context, action: str, name: ObjectName) -> None:
        await self._database.call(context, "public.record_storage_change", p_action=action, p_object=str(name))
