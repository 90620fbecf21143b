"""The composition root: settings to the adapters that the server, the worker and the commands share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from src.adapters.files.documents import TypstRenderer
from src.adapters.files.links import SignedLinks
from src.adapters.files.store import FileStore, store_at
from src.adapters.fixtures.inventory import FixtureHotels
from src.adapters.fixtures.lists import FixtureBookings
from src.adapters.fixtures.search import FixtureSearch
from src.adapters.hbx.client import HbxClient, HbxSettings
from src.adapters.hbx.supplier import HbxSupplier
from src.adapters.postgres.bookings import PostgresBookings
from src.adapters.postgres.callers import PostgresCallers
from src.adapters.postgres.counters import PostgresCounters
from src.adapters.postgres.database import LOGIN_ROLES, Database
from src.adapters.postgres.exceptions import OfflineExceptions, PostgresExceptions
from src.adapters.postgres.groups import PostgresEscrows, PostgresGroups
from src.adapters.postgres.health import PostgresReadiness
from src.adapters.postgres.idempotency import PostgresIdempotencyKeys
from src.adapters.postgres.inventory import PostgresCache, PostgresCircuit, PostgresHolds
from src.adapters.postgres.invoices import PostgresInvoices
from src.adapters.postgres.ledger import PostgresLedger
from src.adapters.postgres.messaging import PostgresMessages
from src.adapters.postgres.payments import PostgresPayments
from src.adapters.postgres.payouts import PostgresPayouts
from src.adapters.postgres.permits import PostgresPermits
from src.adapters.postgres.privacy import PostgresPrivacyErasures, PostgresPrivacyExports, PostgresPrivacyRequests
from src.adapters.postgres.refunds import PostgresRefunds
from src.adapters.postgres.search import PostgresSearch
from src.adapters.postgres.service_levels import PostgresServiceLevels
from src.adapters.postgres.storage import PostgresStorageTrail
from src.adapters.postgres.sweeps import PostgresSlots
from src.adapters.postgres.switches import PostgresSwitches
from src.adapters.postgres.webhooks import PostgresWebhooks
from src.adapters.resilience.cache import Caching
from src.adapters.resilience.cached_places import CachedPlaces
from src.adapters.resilience.circuit import Circuit
from src.adapters.resilience.flights import SingleFlight
from src.adapters.resilience.retry import Retrying
from src.adapters.stripe.live import LiveStripe
from src.adapters.stripe.mock import MockStripe
from src.adapters.stripe.signatures import StripeSignatures
from src.adapters.telemetry.audit import StandardOutput
from src.adapters.telemetry.metrics import Metrics
from src.adapters.telemetry.observer import Observer
from src.adapters.whatsapp.graph import GraphWhatsApp
from src.adapters.whatsapp.mock import MockWhatsApp
from src.database import apply
from src.database.connections import Connections, DedicatedConnections
from src.database.limited_pool import LimitedPool
from src.database.notifications import Notifications
from src.database.pipeline import Pipeline
from src.database.refresher import Refresher
from src.database.standby import Standby
from src.domain.context import Role
from src.logins import login_dsn, service_dsn
from src.ports.audit import AuditTrail
from src.ports.bookings import Bookings
from src.ports.callers import Callers
from src.ports.counters import Counters
from src.ports.exceptions import OpsQueue
from src.ports.groups import Escrows, Groups
from src.ports.health import Readiness
from src.ports.idempotency import IdempotencyKeys
from src.ports.inventory import Holds, Supplier
from src.ports.invoices import Invoices
from src.ports.ledger import Ledger
from src.ports.messaging import Messages, Sender
from src.ports.payments import Payments
from src.ports.payouts import Payouts
from src.ports.permits import Permits
from src.ports.privacy import PrivacyRequests
from src.ports.privacy_erasures import PrivacyErasures
from src.ports.privacy_exports import PrivacyExports
from src.ports.refunds import Refunds
from src.ports.resilience import Cache
from src.ports.service_levels import ServiceLevels
from src.ports.sweeps import Slots
from src.ports.webhooks import Signatures, Webhooks
from src.settings import Settings

FLAGS = "ecotrips_flags"


@dataclass(frozen=True, slots=True)
class Composed:
    """Every adapter, and what the adapters are made of."""

    settings: Settings
    pools: Mapping[Role, Connections]
    limited_pools: Mapping[Role, LimitedPool]
    dedicated: DedicatedConnections
    standbys: Mapping[Role, Standby]
    pipelines: Mapping[Role, Pipeline]
    database: Database
    notifications: Notifications
    switches: PostgresSwitches
    storage: FileStore
    links: SignedLinks
    bookings: Bookings
    fixture_bookings: Bookings
    callers: Callers
    counters: Counters
    exceptions: OpsQueue
    offline_exceptions: OpsQueue
    groups: Groups
    escrows: Escrows
    holds: Holds
    hotels: Mapping[str, Supplier]
    hotel_answers: Cache
    idempotency_keys: IdempotencyKeys
    invoices: Invoices
    documents: TypstRenderer
    ledger: Ledger
    messages: Messages
    payments: Payments
    payouts: Payouts
    permits: Permits
    privacy_requests: PrivacyRequests
    privacy_exports: PrivacyExports
    privacy_erasures: PrivacyErasures
    refunds: Refunds
    search: PostgresSearch
    fixture_search: FixtureSearch
    places: CachedPlaces
    service_levels: ServiceLevels
    slots: Slots
    storage_trail: PostgresStorageTrail
    audit: AuditTrail
    webhooks: Webhooks
    signatures: Signatures
    mock_whatsapp: MockWhatsApp
    live_whatsapp: GraphWhatsApp
    metrics: Metrics
    observer: Observer
    hbx: HbxClient
    circuit: Circuit
    mock_stripe: MockStripe
    live_stripe: LiveStripe

    @property
    def stripe(self) -> Mapping[str, MockStripe | LiveStripe]:
        """The payment providers by mode."""
        return {"mock": self.mock_stripe, "live": self.live_stripe}

    @property
    def senders(self) -> Mapping[str, Sender]:
        """The senders of messages by mode."""
        return {"mock": self.mock_whatsapp, "live": self.live_whatsapp}

    def readiness(self, schema: Refresher) -> Readiness:
        """What /readyz asks; `schema` reads the catalog of /rest/v1."""
        shipped = apply.digest(apply.shipped())
        return PostgresReadiness(self.database, self.switches, shipped, self.notifications, schema)

    async def close(self) -> None:
        await self.notifications.stop()
        await self.hbx.close()
        await self.database.close()
        await self.live_whatsapp.close()
        await self.observer.close()
        await self.live_stripe.close()


def store_of(settings: Settings, *, make: bool = True) -> FileStore:
    """Where stored files are. Raises what store_at raises."""
    folder = settings.data_dir / "storage"
    return store_at(settings.storage_url, folder, only_https=settings.production, make=make)


def compose(settings: Settings) -> Composed:
    """Make the shared parts. Nothing connects before its first use."""
    pools = _pools(settings, settings.database_url)
    replicas = _pools(settings, settings.database_replica_url) if settings.database_replica_url else {}
    standbys = {role: Standby(pools[role], replica) for role, replica in replicas.items()}
    pipelines = _pipelines(settings)
    metrics = Metrics()
    for role, pool in pools.items():
        metrics.gauge("ecotrips_pool_busy", "Connections in use", partial(getattr, pool, "busy"), role=role.value)
        metrics.gauge("ecotrips_pool_waiting", "Callers that wait", partial(getattr, pool, "waiting"), role=role.value)
    for role, pipeline in pipelines.items():
        waiting = partial(getattr, pipeline, "waiting")
        metrics.gauge("ecotrips_pipeline_waiting", "Statements sent and not answered", waiting, role=role.value)
    for role, standby in standbys.items():
        resting = partial(getattr, standby, "resting")
        metrics.gauge("ecotrips_standby_resting", "1 while the primary is read instead", resting, role=role.value)
    observer = _exporting(metrics) if settings.traced else Observer(metrics)
    database = Database(pools, settings.switches_json, observer, standbys, pipelines)
    limited_pools = {role: LimitedPool(pool, settings.pool_size) for role, pool in pools.items()}
    listening = service_dsn(settings)
    notifications = Notifications(listening)
    metrics.gauge("ecotrips_listening", "1 while notifications arrive", lambda: float(notifications.listening))
    # Reads after a notification must not wait for callers' connections.
    dedicated = DedicatedConnections(pools[Role.SERVICE], listening)
    aside = Database({Role.SERVICE: dedicated}, settings.switches_json, observer)
    switches = PostgresSwitches(database, aside, settings.switches, lambda: notifications.current(FLAGS))
    notifications.add(FLAGS, Refresher("reading the switches", switches.refresh))
    storage = store_of(settings)
    hbx = HbxClient(_hbx_settings(settings))
    circuit = Circuit(Retrying(HbxSupplier(hbx, settings.hbx_markup_percent)), PostgresCircuit(database, "hbx"))
    hear = partial(circuit.refresh, PostgresCircuit(aside, "hbx"))
    notifications.add("ecotrips_circuit", Refresher("reading the circuit", hear))
    metrics.gauge("ecotrips_circuit_open", "1 while hotels are not asked for", lambda: float(circuit.state != "closed"))
    cache = PostgresCache(database)
    search = PostgresSearch(Database(limited_pools, settings.switches_json, observer))
    return Composed(
        settings=settings,
        pools=pools,
        limited_pools=limited_pools,
        dedicated=dedicated,
        standbys=standbys,
        pipelines=pipelines,
        database=database,
        notifications=notifications,
        switches=switches,
        storage=storage,
        links=SignedLinks(settings.link_keys),
        bookings=PostgresBookings(database),
        fixture_bookings=FixtureBookings(),
        callers=PostgresCallers(database),
        counters=PostgresCounters(database),
        exceptions=PostgresExceptions(database),
        offline_exceptions=OfflineExceptions(database),
        groups=PostgresGroups(database),
        escrows=PostgresEscrows(database),
        holds=PostgresHolds(database),
        hotels={
            "0": Caching(SingleFlight(circuit, cache, "HBX"), cache, "HBX"),
            "1": Caching(SingleFlight(FixtureHotels(), cache, "fixtures"), cache, "fixtures"),
        },
        hotel_answers=cache,
        idempotency_keys=PostgresIdempotencyKeys(database),
        ledger=PostgresLedger(database),
        payments=PostgresPayments(database),
        payouts=PostgresPayouts(database),
        permits=PostgresPermits(database),
        privacy_requests=PostgresPrivacyRequests(database),
        privacy_exports=PostgresPrivacyExports(database),
        privacy_erasures=PostgresPrivacyErasures(database, settings.privacy_secret),
        refunds=PostgresRefunds(database),
        search=search,
        fixture_search=FixtureSearch(),
        places=CachedPlaces(search),
        service_levels=PostgresServiceLevels(database),
        slots=PostgresSlots(database),
        storage_trail=PostgresStorageTrail(database),
        audit=StandardOutput(),
        webhooks=PostgresWebhooks(database),
        signatures=StripeSignatures(settings.stripe_webhook_secrets),
        invoices=PostgresInvoices(database, settings.business_timezone, facturx=settings.invoice_facturx),
        documents=TypstRenderer(),
        messages=PostgresMessages(database, settings.wa_link_template),
        mock_whatsapp=MockWhatsApp(),
        live_whatsapp=GraphWhatsApp(
            f"{settings.wa_graph_base.rstrip('/')}/{settings.wa_graph_version}",
            settings.wa_phone_id,
            settings.wa_access_token,
        ),
        metrics=metrics,
        observer=observer,
        hbx=hbx,
        circuit=circuit,
        mock_stripe=MockStripe(),
        live_stripe=LiveStripe(
            settings.stripe_secret_key, settings.stripe_api_base, payout_account=settings.stripe_payout_account
        ),
    )


def _exporting(metrics: Metrics) -> Observer:
    # OpenTelemetry's exporters are imported only where they are used.
    from src.adapters.telemetry.otlp_metrics import OtlpMetrics  # noqa: PLC0415
    from src.adapters.telemetry.traces import SERVICE_NAME, Traces  # noqa: PLC0415

    return Observer(metrics, Traces(), OtlpMetrics(metrics.registry, SERVICE_NAME))


def _hbx_settings(settings: Settings) -> HbxSettings:
    return HbxSettings(
        api_key=settings.hbx_api_key,
        secret=settings.hbx_api_secret,
        base_url=settings.hbx_base_url,
        client_cert=settings.hbx_client_cert,
        client_key=settings.hbx_client_key,
    )


def _pools(settings: Settings, address: str) -> dict[Role, Connections]:
    pooled = settings.database_pooler == "transaction"
    return {
        role: Connections(login_dsn(settings, login, address), settings.pool_size + settings.pool_spare, pooler=pooled)
        for role, login in LOGIN_ROLES.items()
    }


def _pipelines(settings: Settings) -> dict[Role, Pipeline]:
    """None with a pooler, which may not support prepared statements, and none with a standby."""
    if settings.database_pooler or settings.database_direct_url or settings.database_replica_url:
        return {}
    return {role: Pipeline(login_dsn(settings, login)) for role, login in LOGIN_ROLES.items()}
