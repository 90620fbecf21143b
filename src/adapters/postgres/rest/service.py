"""The engine over our own database: a pool for each caller's role, reads in one statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from src.adapters.postgres.connections import Reserve, Source
from src.adapters.postgres.pipeline import Pipeline
from src.adapters.postgres.rest.binding import Binder
from src.adapters.postgres.rest.engine import Engine
from src.adapters.postgres.rest.introspection import Exposure
from src.adapters.postgres.rest.keeper import CatalogKeeper
from src.adapters.postgres.rest.runners import Runner
from src.adapters.postgres.rest.sessions import RoleSessions
from src.adapters.postgres.standby import Standby
from src.domain.context import Role
from src.domain.rest.request import Configuration


def service_engine(
    pools: Mapping[Role, Source],
    reserve: Reserve,
    standbys: Mapping[Role, Standby],
    pipelines: Mapping[Role, Pipeline],
    switches: str,
    configuration: Configuration,
) -> tuple[Engine, CatalogKeeper]:
    """The engine, and the keeper whose `read` is to run at start and after each notification on channel pgrst.

    The catalog is read through `reserve`. `standbys` is where reads go if there is one, `pipelines` where quick ones go
    if there is none; `switches` is this process's request.switches as JSON.
    """
    configuration = replace(configuration, dotted_names=True, anonymous_role=Role.ANONYMOUS.value)
    sessions = RoleSessions(
        {role.value: pool for role, pool in pools.items()},
        {role.value: standby for role, standby in standbys.items()},
        {role.value: pipeline for role, pipeline in pipelines.items()},
        switches,
        Role.ANONYMOUS.value,
    )
    engine = Engine(configuration, Runner(sessions, Binder(configuration.max_rows, switches), configuration))
    exposure = Exposure(configuration.schemas, configuration.extra_search_path, extensions=False)
    return engine, CatalogKeeper(reserve, exposure, engine.use)
