"""All settings, read once from the environment. Switches that change at run time are overridden in ops.flags."""

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from src import production
from src.database import dsn
from src.database.dsn import HIGHEST_PORT
from src.database.roles import LOGINS
from src.database.schemas import OF_THE_SYSTEM
from src.environment import DEVELOPMENT, PRODUCTION, Environment, Words, is_production
from src.production import Form

__all__ = ["Settings", "from_environment"]

# What /rest/v1 shows, the default first; grants and policies decide who sees what of it.
DEFAULT_SCHEMAS = (
    *("public", "core", "booking", "payment", "fin", "group", "permits", "privacy", "audit", "catalog", "inventory"),
    *("wa", "ops"),
)
# What callers never see by name.
INTERNAL_SCHEMAS = ("auth", "ext", "meta", "sec", "storage")
MOCKS = ("USE_FIXTURES", "INVENTORY_OFFLINE", "WA_OFFLINE", "STRIPE_MOCK_MODE")
PAUSES = ("PAYOUTS_PAUSED", "ESCROW_REFUNDS_PAUSED")
SWITCHES = (*MOCKS, "OPS_REFUND_MODE", *PAUSES)
# What is derived from a secret, by its purpose.
PRIVACY, LINKS, ADDRESSES = "privacy", "storage links", "client addresses"
LIVE_SWITCHES: Mapping[str, str] = {**dict.fromkeys(SWITCHES, "0"), "OPS_REFUND_MODE": "live"}
OFFLINE_SWITCHES: Mapping[str, str] = {**LIVE_SWITCHES, **dict.fromkeys(MOCKS, "1"), "OPS_REFUND_MODE": "mock"}

# Providers' own keys, as short as they are known to be.
STRIPE_KEY = Form(24, ("sk_live_", "rk_live_"))
STRIPE_SIGNING = Form(24, ("whsec_",))
HBX_KEY, HBX_SECRET = Form(16), Form(8)
AWS_SECRET = Form(16)

MAX_CONNECTIONS = 1_000
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
ALWAYS = ("always_on", "always_off")
SAMPLERS = tuple(f"{by}{name}" for by in ("", "parentbased_") for name in (*ALWAYS, "traceidratio"))
ACCOUNT = Words("an account's id, acct_…", r"acct_\w+", r"acct_[A-Za-z0-9]{1,24}")
ACCESS_KEY_ID = Words(public="(AKIA|ASIA)[A-Z0-9]{16}")  # Amazon's
DIGITS = Words("digits", "[0-9]+")
GRAPH_VERSION = Words("a version such as v26.0", r"v[0-9]+\.[0-9]+")
TEMPLATE = Words("a template's name, or name:language", r"\w+(:[A-Za-z]{2,3}(_[A-Za-z]+)?)?")
HOSTS = Words("a host, or several with commas between them", r"(/[^,]*|[A-Za-z0-9_.:-]+)(,(/[^,]*|[A-Za-z0-9_.:-]+))*")
ATTRIBUTES = Words("name=value,name=value", r"[^=,]+=[^=,]*(,[^=,]+=[^=,]*)*")


@dataclass(frozen=True, slots=True)
class Settings:
    """One process's settings; `_read` says what each is called in the environment, and what it has to look like."""

    jwt_secret: str = field(repr=False)
    database_url: str = field(repr=False)
    database_role_secret: str = field(repr=False)
    database_pooler: str = ""
    database_replica_url: str = field(default="", repr=False)
    database_direct_url: str = field(default="", repr=False)
    jwt_previous_secrets: tuple[str, ...] = field(default=(), repr=False)
    data_dir: Path = Path(".data")
    port: int = 8000
    public_url: str = ""
    business_timezone: str = "Africa/Kigali"
    invoice_facturx: bool = False
    storage_url: str = ""
    link_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    wa_access_token: str = field(default="", repr=False)
    wa_phone_id: str = ""
    wa_graph_base: str = "https://graph.facebook.com"
    wa_graph_version: str = "v26.0"
    wa_app_secrets: tuple[str, ...] = field(default=(), repr=False)
    wa_verify_token: str = field(default="", repr=False)
    wa_link_template: str = ""
    jwt_jwks: str = field(default="", repr=False)
    jwt_issuers: tuple[str, ...] = ()
    jwt_audiences: tuple[str, ...] = ()
    schemas: tuple[str, ...] = DEFAULT_SCHEMAS
    stripe_secret_key: str = field(default="", repr=False)
    stripe_webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    stripe_api_base: str = ""
    stripe_payout_account: str = ""
    privacy_hmac_secret: str = field(default="", repr=False)
    hbx_api_key: str = field(default="", repr=False)
    hbx_api_secret: str = field(default="", repr=False)
    hbx_base_url: str = "https://api.test.hotelbeds.com"
    hbx_client_cert: str = ""
    hbx_client_key: str = ""
    hbx_markup_percent: Decimal = Decimal(0)
    rate_limits: bool = False
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    cors_origins: tuple[str, ...] = ()
    pool_size: int = 12
    log_level: str = "INFO"
    production: bool = False
    embedded: bool = False
    traced: bool = False
    metrics_token: str = field(default="", repr=False)
    switches: Mapping[str, str] = field(default_factory=lambda: dict(LIVE_SWITCHES))

    @property
    def jwt_secrets(self) -> tuple[str, ...]:
        """The secrets that HS256 tokens may be signed with; the first one signs."""
        return (self.jwt_secret, *self.jwt_previous_secrets)

    @property
    def direct_url(self) -> str:
        """The database past any pooler: for what needs a session of its own (LISTEN, migrations, psql, dumps)."""
        return self.database_direct_url or self.database_url

    @property
    def link_keys(self) -> Mapping[str, str]:
        """The keys of signed links by their id; without any, one derived from each JWT secret."""
        return self.link_secrets or dict(map(_derived_link_key, self.jwt_secrets))

    @property
    def privacy_secret(self) -> str:
        """The key of the tokens that stay in place of erased ids; unless set, one derived from the JWT secret."""
        return self.privacy_hmac_secret or derived(self.jwt_secret, PRIVACY)

    @property
    def pool_spare(self) -> int:
        """Connections beside `pool_size` that statements whose cost their caller chooses leave to all others."""
        return max(1, self.pool_size // 4)

    @property
    def address_key(self) -> bytes:
        """The key of the digests that stand for callers' addresses."""
        return bytes.fromhex(derived(self.jwt_secret, ADDRESSES))

    @property
    def switches_json(self) -> str:
        """The environment's switches as SQL functions read them (request.switches)."""
        return json.dumps(self.switches)


def derived(secret: str, purpose: str) -> str:
    """What stands for a secret of its own where none is set: 64 hex digits of HMAC-SHA-256."""
    return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises SettingsError naming every variable that is missing or wrong.

    With ECOTRIPS_ENV=production that is also whatever src/production.py refuses.
    """
    given = Environment(environ, production=is_production(environ))
    settings = _read(given)
    given.require_sound()
    return settings


def faults_in_production(environ: Mapping[str, str]) -> list[str]:
    """What from_environment would refuse if this were production."""
    return declared(environ, production=True).all_faults()


def port(environ: Mapping[str, str]) -> int:
    """Where to listen, before anything else is read. Raises SettingsError."""
    given = Environment(environ, production=False)
    found = _port(given)
    given.require_sound()
    return found


def programs(environ: Mapping[str, str], wanted: str = "") -> Path | None:
    """POSTGRES_BIN, which has to hold the `wanted` program; None when it is not set. Raises SettingsError."""
    given = Environment(environ, production=False)
    found = given.folder("POSTGRES_BIN", holds=wanted)
    given.require_sound()
    return found


def embedded_place(environ: Mapping[str, str]) -> tuple[Path, int | None]:
    """The embedded PostgreSQL's folder, and the port that it listens on beside its socket. Raises SettingsError."""
    given = Environment(environ, production=False)
    found = _data_dir(given), _embedded_port(given) or None
    given.require_sound()
    return found


def declared(environ: Mapping[str, str], *, production: bool) -> Environment:
    """Every setting that is read, with what is given and its faults: nothing is raised."""
    given = Environment(environ, production=production)
    _read(given)
    return given


def _port(given: Environment) -> int:
    return given.number("PORT", 8000, 1, HIGHEST_PORT)


def _data_dir(given: Environment) -> Path:
    return given.folder("DATA_DIR", ".data") or Path(".data")


def _embedded_port(given: Environment) -> int:
    return given.number("POSTGRES_PORT", 0, 0, HIGHEST_PORT)


def _read(given: Environment) -> Settings:
    given.one_of("ECOTRIPS_ENV", PRODUCTION, DEVELOPMENT)
    data_dir = _data_dir(given)
    with suppress(OSError):
        given.foreign("the secret of the demo (jwt_secret in DATA_DIR)", (data_dir / "jwt_secret").read_text())
    given.folder("POSTGRES_BIN", holds="")
    _embedded_port(given)
    _read_by_libraries(given)
    jwt_secret = given.secret("JWT_SECRET", needed=True)
    jwt_jwks = given.public_keys("JWT_JWKS")
    client_cert, client_key = given.key_pair("HBX_CLIENT_CERT", "HBX_CLIENT_KEY")
    collectors = [
        given.address(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT", fault=production.collector_fault)
        for kind in ("", "TRACES_")
    ]
    previous = given.secrets("JWT_PREVIOUS_SECRETS")
    role_secret = given.secret("DATABASE_ROLE_SECRET", wanted=True) or jwt_secret
    for secret in filter(None, (jwt_secret, *previous)):
        for purpose in (PRIVACY, LINKS, ADDRESSES):
            given.foreign("a value derived from JWT_SECRET", derived(secret, purpose))
    for login in LOGINS:
        given.foreign("a password derived from DATABASE_ROLE_SECRET", derived(role_secret, login))
    return Settings(
        jwt_secret=jwt_secret,
        jwt_previous_secrets=previous,
        jwt_jwks=jwt_jwks,
        jwt_issuers=given.listed("JWT_ISSUER", wanted=bool(jwt_jwks)),
        jwt_audiences=given.listed("JWT_AUDIENCE", wanted=bool(jwt_jwks)),
        database_role_secret=role_secret,
        database_url=given.database("DATABASE_URL", needed=True),
        database_replica_url=given.database("DATABASE_REPLICA_URL"),
        database_direct_url=given.database("DATABASE_DIRECT_URL"),
        database_pooler=given.one_of("DATABASE_POOLER", "transaction"),
        pool_size=given.number("DATABASE_POOL_SIZE", 12, 1, MAX_CONNECTIONS),
        schemas=given.listed("DB_SCHEMAS", DEFAULT_SCHEMAS, fault=_schema_fault),
        data_dir=data_dir,
        port=_port(given),
        public_url=given.address("PUBLIC_URL", wanted=True, fault=production.public_fault),
        cors_origins=given.origins("CORS_ORIGINS"),
        rate_limits=given.switch("RATE_LIMITS", production="1") == "1",
        trusted_proxies=given.networks("TRUSTED_PROXIES"),
        business_timezone=given.timezone("BUSINESS_TIMEZONE", "Africa/Kigali"),
        invoice_facturx=given.switch("INVOICE_FACTURX") == "1",
        storage_url=given.storage("STORAGE_URL", wanted=True),
        link_secrets=given.keys("LINK_SECRETS", wanted=True),
        privacy_hmac_secret=given.secret("PRIVACY_HMAC_SECRET", wanted=True, long_everywhere=True),
        metrics_token=given.secret("METRICS_TOKEN", wanted=True),
        stripe_secret_key=given.secret("STRIPE_SECRET_KEY", STRIPE_KEY, wanted=True),
        stripe_webhook_secrets=given.secrets("STRIPE_WEBHOOK_SECRET", STRIPE_SIGNING, wanted=True),
        stripe_payout_account=given.text("STRIPE_PAYOUT_ACCOUNT", words=ACCOUNT, wanted=True),
        stripe_api_base=given.address("STRIPE_API_BASE"),
        hbx_api_key=given.secret("HBX_API_KEY", HBX_KEY, wanted=True),
        hbx_api_secret=given.secret("HBX_API_SECRET", HBX_SECRET, wanted=True),
        hbx_base_url=given.address(
            "HBX_BASE_URL", "https://api.test.hotelbeds.com", wanted=True, fault=production.hotelbeds_fault
        ),
        hbx_client_cert=client_cert,
        hbx_client_key=client_key,
        hbx_markup_percent=given.decimal("HBX_MARKUP_PERCENT", "0", 0, 100),
        wa_access_token=given.secret("WA_ACCESS_TOKEN", wanted=True),
        wa_app_secrets=given.secrets("WA_APP_SECRET", wanted=True),
        wa_verify_token=given.secret("WA_VERIFY_TOKEN", wanted=True),
        wa_phone_id=given.text("WA_PHONE_ID", words=DIGITS, wanted=True),
        wa_graph_base=given.address("WA_GRAPH_BASE", "https://graph.facebook.com"),
        wa_graph_version=given.text("WA_GRAPH_VERSION", "v26.0", GRAPH_VERSION),
        wa_link_template=given.text("WA_LINK_TEMPLATE", words=TEMPLATE),
        log_level=given.one_of("LOG_LEVEL", *LOG_LEVELS, default="INFO", any_case=True),
        traced=any(collectors),
        production=given.production,
        switches={
            **{name: given.switch(name, production="0") for name in MOCKS},
            "OPS_REFUND_MODE": given.switch("OPS_REFUND_MODE", "live", "mock", production="live"),
            **{name: given.switch(name) for name in PAUSES},
        },
    )


def _schema_fault(schema: str) -> str | None:
    closed = schema in INTERNAL_SCHEMAS or OF_THE_SYSTEM.fullmatch(schema)
    return "names a schema that is never served" if closed else None


def _collector(given: Environment, kind: str) -> str:
    return given.address(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT", fault=production.collector_fault)


def _read_by_libraries(given: Environment) -> None:
    """What libraries read from the environment by themselves, so that it is shown and looked at as everything else."""
    given.text("AWS_ACCESS_KEY_ID", words=ACCESS_KEY_ID, public=True)
    given.secret("AWS_SECRET_ACCESS_KEY", AWS_SECRET)
    given.secret("AWS_SESSION_TOKEN", AWS_SECRET)
    given.wants("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    given.wants("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")
    given.text("AWS_REGION")
    given.address("AWS_ENDPOINT_URL", fault=lambda _address: None)  # where it is in use, production.store_faults judges
    given.switch("AWS_ALLOW_HTTP", "false", "true")
    given.switch("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "false", "true")
    _collector(given, "METRICS_")
    given.hidden("OTEL_EXPORTER_OTLP_HEADERS", "name=value,name=value")
    given.decimal("OTEL_EXPORTER_OTLP_TIMEOUT", "10", 0, 600)
    given.authorities("OTEL_EXPORTER_OTLP_CERTIFICATE")
    given.number("OTEL_METRIC_EXPORT_INTERVAL", 60_000, 10, 86_400_000)
    given.one_of("OTEL_TRACES_SAMPLER", *SAMPLERS)
    given.decimal("OTEL_TRACES_SAMPLER_ARG", "1", 0, 1)
    given.text("OTEL_RESOURCE_ATTRIBUTES", words=ATTRIBUTES)
    given.authorities("SSL_CERT_FILE")
    given.text("PGHOST", words=HOSTS)
    given.number("PGPORT", 5432, 1, HIGHEST_PORT)
    given.text("PGUSER")
    given.password("PGPASSWORD")
    given.passwords("PGPASSFILE")
    given.one_of("PGSSLMODE", *dsn.MODES)
    given.authorities("PGSSLROOTCERT", dsn.SYSTEM)


def _derived_link_key(jwt_secret: str) -> tuple[str, str]:
    """A key's id and secret; the id tells the keys of rotated secrets apart and gives nothing of them away."""
    secret = derived(jwt_secret, LINKS)
    return f"jwt-{hashlib.sha256(secret.encode()).hexdigest()[:8]}", secret
