"""The engine over our own database: a pool for each caller's role, reads in one statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from src.database.connections import DedicatedConnections, Source
from src.database.pipeline import Pipeline
from src.database.standby import Standby
from src.rest.catalog.introspection import Exposure
from src.rest.catalog.loader import CatalogLoader
from src.rest.protocol.request import Configuration
from src.rest.run.binding import Binder
from src.rest.run.engine import Engine
from src.rest.run.runners import Runner
from src.rest.run.sessions import RoleSessions


def service_engine(
    pools: Mapping[str, Source],
    dedicated: DedicatedConnections,
    standbys: Mapping[str, Standby],
    pipelines: Mapping[str, Pipeline],
    logins: Mapping[str, str],
    switches: str,
    configuration: Configuration,
) -> tuple[Engine, CatalogLoader]:
    """The engine, and the loader, whose `read` has to run at start and after each notification on channel pgrst.

    `pools` has one for each caller's role, `logins` those roles' names in the database. The catalog is read through
    `dedicated`. `standbys` is where reads go if there is one, `pipelines` where quick ones go if there is none;
    `switches` is this process's request.switches as JSON.
    """
    configuration = replace(configuration, dotted_names=True)
    sessions = RoleSessions(pools, standbys, pipelines, logins, switches, configuration.anonymous_role)
    engine = Engine(configuration, Runner(sessions, Binder(configuration.max_rows, switches), configuration))
    exposure = Exposure(
        configuration.schemas,
        configuration.extra_search_path,
        extensions=False,
        guard=configuration.guard.name if configuration.guard else "",
    )
    return engine, CatalogLoader(dedicated, exposure, engine.use)
