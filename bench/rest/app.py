"""What is measured: the REST engine mounted in Litestar beside a bare route, on the database of REST_BENCH_DSN."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar, Response, asgi, get

from src.adapters.postgres.connections import Connections
from src.adapters.postgres.database import LOGIN_ROLES
from src.adapters.postgres.rest.service import service_engine
from src.domain.rest.request import Configuration
from src.http.auth import Authenticator
from src.http.rest.service import service_application
from src.logins import login_dsn
from src.settings import OFFLINE_SWITCHES, Settings

SECRET = "a-secret-of-measurements-long-enough-for-hs256"  # noqa: S105 - of nothing
SCHEMAS = ("public", "booking", "fin", "ops")
ROW = b'[{"id":"11111111-1111-4111-8111-111111111111","status":"pending","total_cents":25000}]'


def settings() -> Settings:
    return Settings(
        jwt_secret=SECRET,
        database_url=os.environ["REST_BENCH_DSN"],
        database_role_secret=SECRET,
        pool_size=int(os.environ.get("REST_BENCH_POOL", "6")),
        switches=dict(OFFLINE_SWITCHES),
    )


def create() -> Litestar:
    given = settings()
    pools = {role: Connections(login_dsn(given, login), given.pool_size) for role, login in LOGIN_ROLES.items()}
    engine, keeper = service_engine(pools, given.switches_json, Configuration(schemas=SCHEMAS))
    rest = service_application(engine, engine.configuration, Authenticator(SECRET))

    @get("/bare", sync_to_thread=False)
    def bare() -> Response[bytes]:
        return Response(ROW, media_type="application/json")

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        await keeper.read()
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        yield

    return Litestar(
        [asgi("/rest/v1", is_mount=True, copy_scope=False)(rest), bare],
        lifespan=[lifespan],
        openapi_config=None,
        logging_config=None,
    )
