"""The composition root: settings to adapters to the Litestar application. The only place that knows every adapter."""

from __future__ import annotations

import gc
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import cast
from urllib.parse import quote, urlsplit, urlunsplit

import httpx
import msgspec
from litestar import Litestar, Request, Response, asgi, get
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.handlers import ASGIRouteHandler
from litestar.types import ControllerRouterHandler

from src.adapters.files.documents import TypstRenderer
from src.adapters.files.links import SignedLinks
from src.adapters.files.store import FileStore, store_at
from src.adapters.fixtures.inventory import FixtureHotels
from src.adapters.fixtures.lists import FixtureBookings, FixtureExceptions
from src.adapters.fixtures.search import FixtureSearch
from src.adapters.hbx.client import HbxClient, HbxSettings
from src.adapters.hbx.supplier import HbxSupplier
from src.adapters.postgres import apply
from src.adapters.postgres.bookings import PostgresBookings
from src.adapters.postgres.callers import PostgresCallers
from src.adapters.postgres.connections import Connections
from src.adapters.postgres.counters import PostgresCounters
from src.adapters.postgres.database import LOGIN_ROLES, Database
from src.adapters.postgres.exceptions import PostgresExceptions
from src.adapters.postgres.groups import PostgresEscrows, PostgresGroups
from src.adapters.postgres.health import PostgresReadiness
from src.adapters.postgres.idempotency import PostgresIdempotencyKeys
from src.adapters.postgres.inventory import PostgresCache, PostgresCircuit, PostgresHolds
from src.adapters.postgres.invoices import PostgresInvoices
from src.adapters.postgres.ledger import PostgresLedger
from src.adapters.postgres.messaging import PostgresMessages
from src.adapters.postgres.notifications import Notifications
from src.adapters.postgres.payments import PostgresPayments
from src.adapters.postgres.payouts import PostgresPayouts
from src.adapters.postgres.permits import PostgresPermits
from src.adapters.postgres.privacy import PostgresPrivacyErasures, PostgresPrivacyExports, PostgresPrivacyRequests
from src.adapters.postgres.refunds import PostgresRefunds
from src.adapters.postgres.rest.service import service_engine
from src.adapters.postgres.search import PostgresSearch
from src.adapters.postgres.service_levels import PostgresServiceLevels
from src.adapters.postgres.standby import Standby
from src.adapters.postgres.switches import PostgresSwitches
from src.adapters.postgres.webhooks import PostgresWebhooks
from src.adapters.resilience.cache import Caching
from src.adapters.resilience.circuit import Circuit
from src.adapters.resilience.flights import SingleFlight
from src.adapters.resilience.retry import Retrying
from src.adapters.stripe.live import LiveStripe
from src.adapters.stripe.mock import MockStripe
from src.adapters.stripe.signatures import StripeSignatures
from src.adapters.telemetry import logs
from src.adapters.telemetry.audit import StandardOutput
from src.adapters.telemetry.metrics import Metrics
from src.adapters.telemetry.observer import Observer
from src.adapters.telemetry.otlp_metrics import OtlpMetrics
from src.adapters.telemetry.traces import SERVICE_NAME, Traces
from src.adapters.whatsapp.graph import GraphWhatsApp
from src.adapters.whatsapp.mock import MockWhatsApp
from src.domain.context import Role
from src.domain.rest.request import Configuration
from src.http import (
    bookings,
    counters,
    exceptions,
    groups,
    health,
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
    webhooks,
    wire,
)
from src.http import docs as docs_page
from src.http import metrics as metrics_route
from src.http.auth import Authenticator
from src.http.edge import Edge
from src.http.endpoint import Endpoint
from src.http.loopback import Loopback
from src.http.me import CurrentUser
from src.http.observe import Application, observed
from src.http.rest.service import service_application
from src.http.storage import StorageRoutes
from src.ports.inventory import Supplier
from src.ports.messaging import Sender
from src.settings import Settings, from_environment

PROVIDER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Composed:
    """What every way into the service shares: the database, its notifications, the switches and the documents."""

    settings: Settings
    pools: Mapping[Role, Connections]
    database: Database
    notifications: Notifications
    switches: PostgresSwitches
    storage: FileStore
    links: SignedLinks
    invoices: PostgresInvoices
    documents: TypstRenderer
    messages: PostgresMessages
    senders: Mapping[str, Sender]
    client: httpx.AsyncClient
    metrics: Metrics
    observer: Observer
    hbx: HbxClient
    circuit: Circuit
    mock_stripe: MockStripe
    live_stripe: LiveStripe

    @property
    def stripe(self) -> Mapping[str, MockStripe | LiveStripe]:
        """The payment provider of each mode."""
        return {"mock": self.mock_stripe, "live": self.live_stripe}

    async def close(self) -> None:
        """Let go of everything that was opened."""
        await self.notifications.stop()
        await self.hbx.close()
        await self.database.close()
        await self.client.aclose()
        await self.observer.close()
        await self.live_stripe.close()


def compose(settings: Settings) -> Composed:
    """Make the shared parts; nothing connects before it is used."""
    pools = _pools(settings, settings.database_url)
    replicas = _pools(settings, settings.database_replica_url) if settings.database_replica_url else {}
    standbys = {role: Standby(pools[role], replica) for role, replica in replicas.items()}
    metrics = Metrics()
    for role, pool in pools.items():
        metrics.gauge("ecotrips_pool_busy", "Connections in use", partial(getattr, pool, "busy"), role=role.value)
        metrics.gauge("ecotrips_pool_waiting", "Callers that wait", partial(getattr, pool, "waiting"), role=role.value)
    for role, standby in standbys.items():
        resting = partial(getattr, standby, "resting")
        metrics.gauge("ecotrips_standby_resting", "1 while the primary is read instead", resting, role=role.value)
    observer = Observer(metrics, *((Traces(), OtlpMetrics(metrics.registry, SERVICE_NAME)) if settings.traced else ()))
    database = Database(pools, settings.switches_json, observer, standbys)
    switches = PostgresSwitches(database, settings.switches, lambda: notifications.connected)
    listening = login_dsn(settings, LOGIN_ROLES[Role.SERVICE], settings.direct_url)
    notifications = Notifications(listening, {"ecotrips_flags": switches.refresh})
    client = httpx.AsyncClient(timeout=PROVIDER_SECONDS)
    storage = store_at(settings.storage_url, settings.data_dir / "storage")
    hbx = HbxClient(_hbx_settings(settings))
    circuit = Circuit(Retrying(HbxSupplier(hbx, settings.hbx_markup_percent)), PostgresCircuit(database, "hbx"))
    notifications.add("ecotrips_circuit", circuit.refresh)
    return Composed(
        settings=settings,
        pools=pools,
        database=database,
        notifications=notifications,
        switches=switches,
        storage=storage,
        links=SignedLinks(settings.link_keys),
        invoices=PostgresInvoices(database, settings.business_timezone, facturx=settings.invoice_facturx),
        documents=TypstRenderer(),
        messages=PostgresMessages(database, settings.wa_link_template),
        senders={
            "mock": MockWhatsApp(),
            "live": GraphWhatsApp(
                client,
                f"{settings.wa_graph_base.rstrip('/')}/{settings.wa_graph_version}",
                settings.wa_phone_id,
                settings.wa_access_token,
            ),
        },
        client=client,
        metrics=metrics,
        observer=observer,
        hbx=hbx,
        circuit=circuit,
        mock_stripe=MockStripe(),
        live_stripe=LiveStripe(
            settings.stripe_secret_key, settings.stripe_api_base, payout_account=settings.stripe_payout_account
        ),
    )


def create(settings: Settings | None = None) -> Litestar:
    """The application, ready to serve. Without settings it reads the environment (what the server does)."""
    if settings is None:
        settings = from_environment()
        logs.configure(settings.log_level)
    composed = compose(settings)
    loopback = Loopback()
    declared = _endpoints(composed)
    declared += probes.endpoints([endpoint.name for endpoint in declared], loopback)
    authenticator, audit = Authenticator(settings.jwt_secrets, settings.jwt_jwks), StandardOutput()
    edge = Edge(
        authenticator=authenticator,
        callers=PostgresCallers(composed.database),
        keys=PostgresIdempotencyKeys(composed.database),
        audit=audit,
        limited=settings.rate_limits,
        public_url=settings.public_url,
    )
    engine, keeper = service_engine(composed.pools, settings.switches_json, Configuration(schemas=settings.schemas))
    composed.notifications.add("pgrst", keeper.refresh)
    rest = service_application(engine, engine.configuration, authenticator)
    readiness = PostgresReadiness(composed.database, composed.switches, apply.digest(apply.shipped()))

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        await keeper.refresh()
        await composed.notifications.start()
        await composed.observer.start()
        # What start-up made lives as long as the process: the collector need not walk it again.
        gc.collect()
        gc.freeze()
        try:
            yield
        finally:
            await composed.close()

    loopback.application = application = Litestar(
        route_handlers=[
            *(_mounted(f"/functions/v1/{e.name}", edge.serve(e), composed, mount=False) for e in declared),
            _mounted("/storage/v1", StorageRoutes(composed.storage, composed.links, authenticator, audit), composed),
            _mounted("/rest/v1", cast("Application", rest), composed),
            _mounted("/auth/v1/user", CurrentUser(authenticator), composed, mount=False),
            *health.routes([e.name for e in declared], readiness),
            metrics_route.route(composed.metrics, PostgresServiceLevels(composed.database), settings.metrics_token),
            *_documents(declared),
        ],
        lifespan=[lifespan],
        openapi_config=None,
        cors_config=CORSConfig(allow_origins=list(settings.cors_origins)) if settings.cors_origins else None,
        exception_handlers={HTTPException: _unknown_path},
        logging_config=None,
    )
    return application


def _mounted(path: str, application: Application, composed: Composed, *, mount: bool = True) -> ASGIRouteHandler:
    return asgi(path, is_mount=mount, copy_scope=False)(observed(application, path, composed.observer))


def _endpoints(composed: Composed) -> list[Endpoint]:
    database, switches = composed.database, composed.switches
    catalog, curated = PostgresSearch(database), FixtureSearch()
    signatures = StripeSignatures(composed.settings.stripe_webhook_secrets)
    return [
        *bookings.endpoints(PostgresBookings(database), FixtureBookings(), switches),
        *exceptions.endpoints(PostgresExceptions(database), FixtureExceptions(), switches),
        *payments.endpoints(PostgresPayments(database), composed.stripe),
        *quotes.endpoints(),
        *counters.endpoints(PostgresCounters(database)),
        *refunds.endpoints(PostgresRefunds(database), composed.stripe, switches),
        *ledger.endpoints(PostgresLedger(database)),
        *webhooks.endpoints(PostgresWebhooks(database), signatures, switches),
        *permits.endpoints(PostgresPermits(database)),
        *invoices.endpoints(composed.invoices, composed.documents, composed.storage, composed.links),
        *search.endpoints(catalog, curated, catalog, curated.places, switches),
        *_inventory(composed, catalog, curated),
        *privacy.endpoints(
            PostgresPrivacyRequests(database),
            PostgresPrivacyExports(database),
            PostgresPrivacyErasures(database, composed.settings.privacy_secret),
            composed.storage,
            composed.links,
        ),
        *messaging.endpoints(
            composed.messages,
            composed.senders,
            switches,
            composed.settings.wa_app_secret,
            composed.settings.wa_verify_token,
        ),
        *groups.endpoints(
            PostgresGroups(database), PostgresEscrows(database), PostgresPayments(database), composed.stripe
        ),
        *payouts.endpoints(PostgresEscrows(database), PostgresPayouts(database), composed.stripe, StandardOutput()),
    ]


def _inventory(composed: Composed, catalog: PostgresSearch, curated: FixtureSearch) -> list[Endpoint]:
    cache = PostgresCache(composed.database)
    suppliers: dict[str, Supplier] = {
        "0": Caching(SingleFlight(composed.circuit, cache, "HBX"), cache, "HBX"),
        "1": Caching(SingleFlight(FixtureHotels(), cache, "fixtures"), cache, "fixtures"),
    }
    holds = PostgresHolds(composed.database)
    return inventory.endpoints(suppliers, lambda: composed.circuit.state, catalog, curated, holds, composed.switches)


def _hbx_settings(settings: Settings) -> HbxSettings:
    return HbxSettings(
        api_key=settings.hbx_api_key,
        secret=settings.hbx_api_secret,
        base_url=settings.hbx_base_url,
        client_cert=settings.hbx_client_cert,
        client_key=settings.hbx_client_key,
    )


def _documents(declared: Sequence[Endpoint]) -> list[ControllerRouterHandler]:
    document = msgspec.json.encode(openapi.document(declared, version("ecotrips-ops")))
    text = docs_page.page(declared)

    @get(["/schema", "/schema/openapi.json"], include_in_schema=False, sync_to_thread=False)
    def schema() -> Response[bytes]:
        return Response(document, media_type="application/json")

    @get("/docs", include_in_schema=False, sync_to_thread=False)
    def docs() -> Response[str]:
        return Response(text, media_type="text/html; charset=utf-8")

    return [schema, docs]


def _unknown_path(request: Request[None, None, State], error: HTTPException) -> Response[bytes]:
    """Paths and methods that no route takes, in the envelope of all failures."""
    request_id = wire.new_request_id(request.scope)
    failure = problems.from_status(error.status_code)
    return Response(
        problems.body_of(failure, request_id),
        status_code=error.status_code,
        media_type="application/json",
        headers={"x-request-id": request_id, **(error.headers or {})},
    )


def _pools(settings: Settings, address: str) -> dict[Role, Connections]:
    pooled = settings.database_pooler == "transaction"
    return {
        role: Connections(login_dsn(settings, login, address), settings.pool_size, pooler=pooled)
        for role, login in LOGIN_ROLES.items()
    }


def login_dsn(settings: Settings, role: str, address: str | None = None) -> str:
    """DATABASE_URL, or the `address` given, with the login of `role` in place of the administrator's."""
    parts = urlsplit(address or settings.database_url)
    host = parts.netloc.rpartition("@")[2]
    password = role_password(settings, role)
    return urlunsplit(parts._replace(netloc=f"{role}:{quote(password)}@{host}"))


def role_password(settings: Settings, role: str) -> str:
    """A login role's password: derived from DATABASE_ROLE_SECRET, so there is nothing more to keep."""
    return hmac.new(settings.database_role_secret.encode(), role.encode(), hashlib.sha256).hexdigest()
