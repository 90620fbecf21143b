from uuid import UUID

import msgspec

from src.adapters.postgres.answers import answered, decoded, parameters
from src.adapters.postgres.database import Database
from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.privacy import Folder, PrivacyRequest, RequestStatus, Review
from src.domain.privacy_erasure import ErasurePlan, Purge
from src.domain.privacy_export import Contents, Export, ExportedTable


class PostgresPrivacyRequests:
    """Requests in privacy.requests."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, context: Context, asked: PrivacyRequest) -> Answered[RequestStatus]:
        body = await self._database.call(context, "public.create_privacy_request", **parameters(asked))
        return answered(RequestStatus, body)

    async def review(self, context: Context, review: Review) -> Answered[RequestStatus]:
        body = await self._database.call(context, "public.review_privacy_request", **parameters(review))
        return answered(RequestStatus, body)

    async def remind(self, context: Context) -> int:
        return int(await self._database.call(context, "public.remind_privacy_deadlines"))


class PostgresPrivacyExports:
    """What privacy.data_map says is a person's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, context: Context, request_id: UUID) -> Contents:
        body = await self._database.call(context, "public.begin_privacy_export", p_request_id=request_id)
        return decoded(body, Contents)

    async def rows(self, context: Context, request_id: UUID, table: ExportedTable, offset: int, limit: int) -> bytes:
        return await self._database.call(
            context,
            "public.read_privacy_export",
            p_request_id=request_id,
            p_schema=table.schema,
            p_table=table.table,
            p_offset=offset,
            p_limit=limit,
        )

    async def record(self, context: Context, done: Export) -> RequestStatus:
        return decoded(
            await self._database.call(context, "public.record_privacy_export", **parameters(done)), RequestStatus
        )


class _Folders(msgspec.Struct):
    folders: list[Folder]


class PostgresPrivacyErasures:
    """Plans, certificates and purges. `secret` is the key of the tokens that stay in place of a person's ids."""

    def __init__(self, database: Database, secret: str) -> None:
        self._database = database
        self._secret = secret

    async def folders(self, context: Context, request_id: UUID) -> list[Folder]:
        body = await self._database.call(context, "public.privacy_erasure_folders", p_request_id=request_id)
        return decoded(body, _Folders).folders

    async def plan(self, context: Context, request_id: UUID, files: str) -> ErasurePlan:
        body = await self._database.call(context, "public.plan_privacy_erasure", p_request_id=request_id, p_files=files)
        return decoded(body, ErasurePlan)

    async def execute(self, context: Context, request_id: UUID, confirm: str, files: str) -> Answered[RequestStatus]:
        body = await self._database.call(
            context,
            "public.execute_privacy_erasure",
            p_request_id=request_id,
            p_confirm=confirm,
            p_secret=self._secret,
            p_files=files,
        )
        return answered(RequestStatus, body)

    async def claim_purges(self, context: Context, request_id: UUID | None = None) -> list[Purge]:
        body = await self._database.call(context, "public.claim_privacy_purges", p_request_id=request_id)
        return decoded(body, list[Purge])

    async def finish_purge(self, context: Context, purge: Purge, error: str | None = None) -> None:
        await self._database.call(
            context,
            "public.finish_privacy_purge",
            p_purge_id=purge.purge_id,
            p_attempt=purge.attempt,
            p_error=error,
        )

    async def sweep_retention(self, context: Context) -> int:
        return int(await self._database.call(context, "public.sweep_privacy_retention"))
