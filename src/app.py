"""The Litestar application: every family's endpoints over its adapters, and the mounted neighbours."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar, cast

from litestar import Controller, Litestar, Router, asgi
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import ASGIRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.types import ASGIApp, AsyncAnyCallable, Middleware

from src.adapters.postgres.database import LOGIN_ROLES
from src.adapters.telemetry import logs
from src.composition import Composed, compose
from src.database.refresher import Refresher
from src.domain.context import Role
from src.edge.asgi import Asgi
from src.edge.cors import SERVICE_EXPOSES, Cors
from src.edge.draining import draining
from src.edge.errors import SettingsError
from src.edge.turns import Turns
from src.http import (
    bookings,
    browsers,
    counters,
    exceptions,
    groups,
    inventory,
    invoices,
    ledger,
    messaging,
    openapi,
    payments,
    payouts,
    permits,
    privacy,
    probes,
    problems,
    quotes,
    refunds,
    search,
    storage_problems,
    webhooks,
)
from src.http import metrics as metrics_route
from src.http.application import Application, no_route
from src.http.auth import Authenticator
from src.http.client_address import ClientAddresses
from src.http.docs import root
from src.http.docs import schema as schema_of_all
from src.http.edge import Edge
from src.http.endpoint import constant, endpoints_of
from src.http.health import HealthController
from src.http.limits import RateLimits, by_function
from src.http.loopback import Loopback
from src.http.me import UserController
from src.http.observe import observing
from src.http.rest import admission, service_application
from src.http.schemas import StructSchemas
from src.http.storage import StorageController, StorageEdge
from src.rest import Configuration, Name, service_engine
from src.settings import Settings, from_environment

T = TypeVar("T")
# Every family's endpoints.
CONTROLLERS: Sequence[type[Controller]] = (
    bookings.BookingsController,
    exceptions.ExceptionsController,
    payments.PaymentsController,
    quotes.QuotesController,
    counters.CountersController,
    refunds.RefundsController,
    ledger.LedgerController,
    webhooks.WebhooksController,
    permits.PermitsController,
    invoices.InvoicesController,
    search.SearchController,
    inventory.InventoryController,
    privacy.PrivacyController,
    messaging.MessagingController,
    groups.GroupsController,
    payouts.PayoutsController,
    probes.ProbesController,
)
REST = "/rest/v1"
# Endpoints whose statuses deploy/alerts.yml watches, so that their series start at 0.
JUDGED = ("bff-checkout", "fin-invoice-generate", "stripe-webhook", "wa-webhook")
COUNTED_FROM_THE_START = (200, 400, 401, 500, 502, 503)
# The SQL function that bounds embedded lists (sql/functions/limits.sql).
BOUND = Name("sec", "bounded_rows")
# The SQL function that bounds numbers that fields are cast to.
CAST_BOUND = Name("sec", "bounded_cast")
# The name of the policies of tables that only ops may read (sql/policies.sql).
GUARD = Name("sec", "ops_only")


def create(settings: Settings | None = None) -> Litestar:
    """The application. Without settings it reads the environment."""
    if settings is None:
        settings = from_environment()
        logs.configure(settings.log_level)
    composed = compose(settings)
    loopback = Loopback()
    endpoints = list(endpoints_of(CONTROLLERS))
    names = sorted({path.strip("/") for endpoint in endpoints for path in endpoint.paths})
    authenticator = authenticator_of(settings)
    clients = ClientAddresses(settings.trusted_proxies, settings.address_key, settings.public_url)
    limits, turns = RateLimits(composed.callers, clients) if settings.rate_limits else None, Turns()
    edge = Edge(
        authenticator=authenticator,
        callers=composed.callers,
        keys=composed.idempotency_keys,
        audit=composed.audit,
        clients=clients,
        limits=limits,
        turns=turns,
    )
    engine, loader = service_engine(
        pools=_by_name(composed.limited_pools),
        dedicated=composed.dedicated,
        standbys=_by_name(composed.standbys),
        pipelines=_by_name(composed.pipelines),
        logins=_by_name(LOGIN_ROLES),
        switches=settings.switches_json,
        configuration=Configuration(
            schemas=settings.schemas,
            anonymous_role=Role.ANONYMOUS.value,
            bound=BOUND,
            cast_bound=CAST_BOUND,
            guard=GUARD,
        ),
    )
    schema = Refresher("reading the schema", loader.read)
    composed.notifications.add("pgrst", schema)
    composed.metrics.gauge("ecotrips_catalog_stale", "1 while the schema is older than known", lambda: schema.behind)
    fronted = by_function(endpoints)
    admit = admission(engine.configuration, authenticator, limits, fronted) if limits is not None else None
    rest = service_application(engine, engine.configuration, authenticator, turns, admit)

    for name in JUDGED:
        composed.metrics.begin("POST", f"/functions/v1/{name}", COUNTED_FROM_THE_START)

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        await composed.notifications.start()
        await composed.observer.start(composed.service_levels)
        # Objects made at start-up live as long as the process, so the collector skips them.
        gc.collect()
        gc.freeze()
        # Requests rarely leave cycles, and frequent collections lengthen the slowest answers.
        gc.set_threshold(50_000, 50, 50)
        try:
            yield
        finally:
            await composed.close()

    observed = [observing(composed.observer)]
    application = Application(
        route_handlers=[
            Router("/functions/v1", route_handlers=CONTROLLERS, middleware=observed, tags=["functions"]),
            _served(REST, rest, mount=True, middleware=observed, opt={browsers.OPT: browsers.DATA}),
            Router("/", route_handlers=[StorageController, UserController], middleware=observed),
            HealthController,
            metrics_route.route(composed.metrics, composed.service_levels, settings.metrics_token),
            schema_of_all,
            root,
            no_route,
        ],
        dependencies={
            **dependencies_of(composed),
            "edge": constant(edge),
            "loopback": constant(loopback),
            "endpoint_names": constant(names),
            "readiness": constant(composed.readiness(schema)),
            "authenticator": constant(authenticator),
            "storage_edge": constant(
                StorageEdge(composed.storage, composed.links, composed.storage_trail, authenticator, composed.audit)
            ),
        },
        middleware=[
            DefineMiddleware(browsers.telling, https_only=settings.production),
            _middleware(draining),
            *_cors(settings.cors_origins),
        ],
        lifespan=[lifespan],
        plugins=[StructSchemas()],
        openapi_config=openapi.configuration(),
        exception_handlers={Exception: problems.answer_of, HTTPException: storage_problems.refused},
        logging_config=None,
    )
    loopback.application = cast("Asgi", application)
    return application


def _by_name(of_role: Mapping[Role, T]) -> dict[str, T]:
    return {role.value: value for role, value in of_role.items()}


def _middleware(around: Callable[[Asgi], Asgi]) -> DefineMiddleware:
    return DefineMiddleware(cast("Callable[..., ASGIApp]", around))


def _cors(origins: Sequence[str]) -> list[DefineMiddleware]:
    """None without origins: browsers then let no other origin read answers."""
    if not origins:
        return []
    cors = Cors(None if "*" in origins else frozenset(map(str.encode, origins)), SERVICE_EXPOSES)
    return [_middleware(cors.around)]


def authenticator_of(settings: Settings) -> Authenticator:
    """Raises SettingsError for a JWKS file that has become invalid since the settings were read."""
    try:
        return Authenticator(settings.jwt_secrets, settings.jwt_jwks, settings.jwt_issuers, settings.jwt_audiences)
    except ValueError as error:
        message = f"JWT_JWKS {error}"
        raise SettingsError(message) from None


def _served(
    path: str,
    application: object,
    *,
    mount: bool,
    middleware: Sequence[Middleware],
    opt: Mapping[str, object] | None = None,
) -> ASGIRouteHandler:
    handler = asgi(path, is_mount=mount, copy_scope=False, middleware=middleware, opt=opt)
    return handler(cast("AsyncAnyCallable", application))


def dependencies_of(composed: Composed) -> dict[str, Provide]:
    """What methods of controllers may name as dependencies: every adapter, and values made of settings."""
    adapters = {field.name: getattr(composed, field.name) for field in dataclasses.fields(composed)}
    settings = composed.settings
    return {
        name: constant(value)
        for name, value in {
            **adapters,
            "stripe": composed.stripe,
            "senders": composed.senders,
            "curated_places": composed.fixture_search.places,
            "whatsapp_secrets": settings.wa_app_secrets,
            "whatsapp_verify_token": settings.wa_verify_token,
        }.items()
    }
