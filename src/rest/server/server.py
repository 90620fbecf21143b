"""`ecotrips rest`: the standalone REST engine, in place of PostgREST."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from src.database.background import Outage, stopped, supervised
from src.database.connections import Connections, DedicatedConnections
from src.database.errors import FAILED, DatabaseUnavailable, RefusedConnection
from src.database.notifications import Notifications
from src.database.refresher import Refresher
from src.edge import bounded
from src.edge.asgi import Asgi, Message, Receive, Send
from src.edge.cors import Cors
from src.edge.draining import draining
from src.edge.errors import SettingsError
from src.edge.listening import BACKLOG, HTTP1, BoundedListener, connections
from src.rest.asgi.access_log import AccessLog
from src.rest.asgi.admin import Admin
from src.rest.asgi.application import RestApplication
from src.rest.asgi.claims import BadPathError, parse_claim_path
from src.rest.asgi.information import Information
from src.rest.asgi.jwt import BadSecretError, JwtIdentities, keys_of
from src.rest.catalog.introspection import Exposure
from src.rest.catalog.loader import CatalogLoader
from src.rest.catalog.model import Catalog
from src.rest.run.binding import Binder
from src.rest.run.engine import Engine
from src.rest.run.runners import Runner
from src.rest.run.sessions import AuthenticatorSessions
from src.rest.server.settings import STORED, RestSettings, command_line, rest_settings
from src.rest.server.stored_settings import stored_settings

log = logging.getLogger("ecotrips.rest")
LEVELS = {
    "crit": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}


class _Server(BoundedListener, Server):
    pass


class Standalone(Collector):
    """The engine over one database. Settings stored in the database override the given ones."""

    def __init__(self, environ: Mapping[str, str], flags: Mapping[str, str], file: Path | None) -> None:
        self._given = (environ, flags, file)
        settings = rest_settings(*self._given)
        self._pool = Connections(
            settings.db_uri,
            settings.db_pool,
            timeout=float(settings.db_pool_acquisition_timeout),
            pooler=not settings.db_prepared_statements,
        )
        self._dedicated = DedicatedConnections(self._pool)
        self.loader = CatalogLoader(self._dedicated, _exposure(settings))
        self._compose(settings)
        self.schema = Refresher("reading settings and schema", self._read)
        self.notifications = Notifications(settings.db_uri, {settings.db_channel: self.schema})
        self._retiring: asyncio.Task[None] | None = None

    def _compose(self, settings: RestSettings) -> None:
        """Apply these settings. Raises SettingsError."""
        configuration = settings.configuration
        identities = _identities(settings)
        sessions = AuthenticatorSessions(self._pool, configuration, Catalog())
        engine = Engine(configuration, Runner(sessions, Binder(configuration.max_rows), configuration))
        server = f"http://{settings.server_host}:{settings.server_port}/"
        application = RestApplication(
            engine,
            configuration,
            identities,
            Information(engine, configuration, server),
            server_timing=settings.server_timing,
            log_query=settings.log_query,
        )
        cors = Cors(frozenset(map(str.encode, settings.cors_origins)) or None)
        self._application: Asgi = AccessLog(cors.around(application), settings.server_trace_header.encode())
        self.settings, self.engine, self.identities, self._sessions = settings, engine, identities, sessions

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await self._application(scope, receive, send)

    @property
    def ready(self) -> bool:
        """Whether a schema is served, is current, and changes are listened for."""
        listens = self.notifications.listening or not self.settings.db_channel_enabled
        return self.engine.catalog is not None and not self.schema.behind and listens

    async def start(self) -> None:
        """Read settings and schema once; after a failure retry in the background and answer 503.

        Raises SettingsError when the database refuses the login or fails verification, as a retry would not help.
        """
        try:
            async with self._pool.acquire():
                pass
        except ssl.SSLCertVerificationError as error:
            raise SettingsError(str(error)) from None
        except RefusedConnection as refused:
            if isinstance(refused.reason, asyncpg.InvalidAuthorizationSpecificationError):
                raise SettingsError(str(refused.reason)) from None
        except (*FAILED, DatabaseUnavailable):
            pass
        await (self.notifications if self.settings.db_channel_enabled else self.schema).start()
        self._retiring = supervised("closing old connections", self._retire)

    async def stop(self) -> None:
        await stopped(self._retiring)
        await self.notifications.stop()
        await self._pool.close()

    async def _read(self) -> None:
        """Read stored settings and schema again; a failure keeps the old ones and is raised."""
        settings, failed = self.settings, None
        try:
            settings = await self._read_settings()
        except SettingsError as error:
            # A retry would not help; a notification follows once they are corrected.
            log.error("the settings kept in the database are not used: %s", error)  # noqa: TRY400 - the error says all
        except Exception as error:  # noqa: BLE001 - the schema is read in any case
            failed = error
        self.loader.exposure = _exposure(settings)
        catalog = await self.loader.read()
        if settings != self.settings:
            self._compose(settings)
        self.engine.use(catalog)
        self._sessions.use(catalog)
        if failed is not None:
            raise failed

    async def _read_settings(self) -> RestSettings:
        stored = {}
        if self.settings.db_config:
            async with self._dedicated.acquire() as connection:
                stored = await stored_settings(connection, self.settings.db_pre_config, STORED)
        settings = rest_settings(*self._given, stored)
        _identities(settings)
        return settings

    async def _retire(self, outage: Outage) -> None:
        while True:
            await asyncio.sleep(max(1, self.settings.db_pool_max_idletime))
            await self._pool.retire(self.settings.db_pool_max_lifetime)
            outage.over()

    def collect(self) -> list[Metric]:
        """The metrics of the administration port, with PostgREST's names where those exist."""
        loads = CounterMetricFamily("pgrst_schema_cache_loads", "Readings of the schema", labels=("status",))
        loads.add_metric(("SUCCESS",), self.loader.loads)
        loads.add_metric(("FAIL",), self.loader.failures)
        pool, size, tokens = self._pool, self.settings.db_pool, self.identities
        gauge, counter = GaugeMetricFamily, CounterMetricFamily
        return [
            loads,
            gauge("pgrst_schema_cache_query_time_seconds", "Duration of the last reading", self.loader.seconds),
            gauge("ecotrips_catalog_stale", "Whether a known change is not read yet", self.schema.behind),
            gauge("ecotrips_listening", "Whether changes of the schema are heard of", self.notifications.listening),
            gauge("pgrst_db_pool_max", "Connections at most", size),
            gauge("pgrst_db_pool_available", "Connections that are free or not open yet", size - pool.busy),
            gauge("pgrst_db_pool_waiting", "Requests that wait for a connection", pool.waiting),
            counter("pgrst_db_pool_timeouts", "Requests that got no connection in time", pool.timeouts),
            counter("pgrst_jwt_cache_requests", "Tokens looked for", tokens.lookups),
            counter("pgrst_jwt_cache_hits", "Tokens found in the cache", tokens.hits),
            counter("pgrst_jwt_cache_evictions", "Tokens evicted from the cache", tokens.cache.evictions),
        ]


def _exposure(settings: RestSettings) -> Exposure:
    configuration = settings.configuration
    return Exposure(configuration.schemas, configuration.extra_search_path, settings.hoisted_settings)


def _identities(settings: RestSettings) -> JwtIdentities:
    try:
        keys = keys_of(settings.jwt_secret, is_base64=settings.jwt_secret_is_base64) if settings.jwt_secret else None
        path = parse_claim_path(settings.jwt_role_claim_key)
    except (BadSecretError, BadPathError) as error:
        raise SettingsError(str(error)) from None
    return JwtIdentities(
        keys, settings.configuration.anonymous_role, path, settings.jwt_audience, settings.jwt_cache_max_entries
    )


def serve(environ: Mapping[str, str], flags: Mapping[str, str], file: Path | None) -> None:
    """Serve until SIGINT or SIGTERM; SIGUSR1 and SIGUSR2 reload schema and settings. Raises SettingsError."""
    standalone = Standalone(environ, flags, file)
    bounded.configure(LEVELS[standalone.settings.log_level])
    _make_room(standalone.settings)
    uvloop.run(_serve(standalone))


def _make_room(settings: RestSettings) -> None:
    """Remove the socket that a killed server left behind, and see that the new one has its mode."""
    socket = Path(settings.server_unix_socket)
    if settings.server_unix_socket:
        os.umask(0o777 & ~settings.server_unix_socket_mode)
        if socket.is_socket():
            socket.unlink()


async def _serve(standalone: Standalone) -> None:
    await standalone.start()
    settings = standalone.settings
    socket = settings.server_unix_socket
    address = f"unix:{socket}" if socket else f"http://{settings.server_host}:{settings.server_port}"
    max_size = connections()
    servers = [_server(standalone, settings.server_host, settings.server_port, socket, max_size)]
    if settings.admin_port is not None:
        admin = Admin(lambda: standalone.ready, lambda: standalone.engine.catalog, standalone)
        servers.append(_server(admin, settings.admin_host, settings.admin_port, "", max_size))
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, _stop, servers)
    for sign in (signal.SIGUSR1, signal.SIGUSR2):
        loop.add_signal_handler(sign, standalone.schema.changed)
    print(f"serving {address}", flush=True)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*(server.serve() for server in servers))
    except RuntimeError as error:
        # The first line has the reason, the rest is a native trace.
        message = f"cannot listen on {address} or the administration port: {str(error).partition(chr(10))[0]}"
        raise SettingsError(message) from None
    finally:
        await standalone.stop()


def _stop(servers: list[_Server]) -> None:
    for server in servers:
        server.stop()  # type: ignore[no-untyped-call]  # granian's embedded server has no annotations


def _server(application: Asgi, host: str, port: int, unix_socket: str, max_size: int) -> _Server:
    return _Server(
        draining(application),
        address=host,
        port=port,
        uds=Path(unix_socket) if unix_socket else None,
        interface=Interfaces.ASGINL,
        http1_settings=HTTP1,
        backlog=BACKLOG,
        backpressure=max_size,
        log_enabled=False,
    )


if __name__ == "__main__":
    serve(os.environ, *command_line(sys.argv[1:]))
