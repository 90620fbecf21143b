"""Every setting, declared once: what reads the environment, docs/settings.md and `ecotrips settings` go by it.

Switches that change at run time are overridden in ops.flags.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from src.database import dsn
from src.database.dsn import HIGHEST_PORT
from src.database.schemas import OF_THE_SYSTEM
from src.settings import kinds
from src.settings.addresses import collector_fault, hotelbeds_fault
from src.settings.kinds import Networks
from src.settings.setting import Setting, env
from src.settings.weakness import Form

# What /rest/v1 shows, the default first; grants and policies decide who sees what of it.
DEFAULT_SCHEMAS = (
    *("public", "core", "booking", "payment", "fin", "group", "permits", "privacy", "audit", "catalog", "inventory"),
    *("wa", "ops"),
)
# What callers never see by name.
INTERNAL_SCHEMAS = ("auth", "ext", "meta", "sec", "storage")
# What is derived from a secret, by its purpose.
PRIVACY, LINKS, ADDRESSES = "privacy", "storage links", "client addresses"

# Providers' own keys, as short as they are known to be.
STRIPE_KEY = Form(24, ("sk_live_", "rk_live_"))
STRIPE_SIGNING = Form(24, ("whsec_",))
HBX_KEY, HBX_SECRET = Form(16), Form(8)
AWS_SECRET = Form(16)

PRODUCTION = "production"
MAX_CONNECTIONS = 1_000
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
ALWAYS = ("always_on", "always_off")
SAMPLERS = tuple(f"{by}{name}" for by in ("", "parentbased_") for name in (*ALWAYS, "traceidratio"))
PLACEHOLDER = re.compile(r"your[-_]|change[-_]?me|example|placeholder|x{3}|[<>]", re.IGNORECASE)
RANDOM = "$(openssl rand -hex 32)"


def _schema_fault(schema: str) -> str | None:
    closed = schema in INTERNAL_SCHEMAS or OF_THE_SYSTEM.fullmatch(schema)
    return "names a schema that is never served" if closed else None


SWITCH = kinds.one_of(str, "0", "1")
ON_OR_OFF = kinds.one_of("1".__eq__, "0", "1")
TRUE_OR_FALSE = kinds.one_of(str, "false", "true")
ENVIRONMENT = kinds.one_of(PRODUCTION.__eq__, PRODUCTION, "development", unset=", or not set")
LEVEL = replace(kinds.one_of(str.upper, *LOG_LEVELS), sound=lambda level: level.upper() in LOG_LEVELS)
ACCOUNT = replace(
    kinds.text("an account's id, acct_…", r"acct_\w+", public="acct_[A-Za-z0-9]{1,24}"),
    in_production=lambda account: ["is a placeholder" if PLACEHOLDER.search(account) else None],
)
TEMPLATE = kinds.text("a template's name, or name:language", r"\w+(:[A-Za-z]{2,3}(_[A-Za-z]+)?)?")
HOST = "(/[^,]*|[A-Za-z0-9_.:-]+)"
HOSTS = kinds.text("a host, or several with commas between them", f"{HOST}(,{HOST})*")
ATTRIBUTES = kinds.text("name=value,name=value", r"[^=,]+=[^=,]*(,[^=,]+=[^=,]*)*")
COLLECTOR = kinds.address(collector_fault)
STORE = kinds.address(lambda _address: None)  # where it is in use, libraries.store_faults judges


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One process's settings: what each is called and has to be, what it is for, an example, and its default."""

    # fmt: off
    production: bool = env("ECOTRIPS_ENV", ENVIRONMENT,
        "Production refuses mocks, weak secrets and much more (docs/security.md).", "production")
    port: int = env("PORT", kinds.number(1, HIGHEST_PORT), "Where HTTP is served.", "8080", "8000")
    public_url: str = env("PUBLIC_URL", kinds.address(),
        "Our own address in links that are handed out.", "https://ops.ecotrips.africa", needed=True)
    data_dir: Path = env("DATA_DIR", kinds.FOLDER,
        "The embedded PostgreSQL, dev.env, this installation's switches and secret, and files without STORAGE_URL.",
        "/var/lib/ecotrips", ".data")
    storage_url: str = env("STORAGE_URL", kinds.STORAGE,
        "Where documents, archives and files are kept: one place for all hosts. Without it each host keeps its"
        " own below DATA_DIR, and others answer 404 for them; file:///… is for one host, or a folder that all share.",
        "s3://ecotrips-files", needed=True)
    business_timezone: str = env("BUSINESS_TIMEZONE", kinds.TIMEZONE,
        "Whose days invoices are numbered and dated by.", "Africa/Kigali", "Africa/Kigali")
    invoice_facturx: bool = env("INVOICE_FACTURX", ON_OR_OFF, "Attaches each document's data as Factur-X.", "1", "0")
    log_level: str = env("LOG_LEVEL", LEVEL, "The least that the service logs.", "WARNING", "INFO")
    jwt_secret: str = env("JWT_SECRET", kinds.secret(),
        "Signs keys and tokens (HS256); make run makes one of its own.", RANDOM, everywhere=True)
    jwt_previous_secrets: tuple[str, ...] = env("JWT_PREVIOUS_SECRETS", kinds.secrets(),
        "Secrets that tokens may still be signed with while JWT_SECRET changes.", RANDOM)
    jwt_jwks: str = env("JWT_JWKS", kinds.PUBLIC_KEYS,
        "Public keys of who else signs tokens (RS256, ES256, EdDSA).", "/etc/ecotrips/jwks.json")
    jwt_issuers: tuple[str, ...] = env("JWT_ISSUER", kinds.words(),
        "Whose tokens are taken, by iss; needed with JWT_JWKS.", "https://id.ecotrips.africa", needed_with="JWT_JWKS")
    jwt_audiences: tuple[str, ...] = env("JWT_AUDIENCE", kinds.words(),
        "For whom tokens have to be, by aud; needed with JWT_JWKS.", "ecotrips-ops", needed_with="JWT_JWKS")
    database_role_secret: str = env("DATABASE_ROLE_SECRET", kinds.secret(),
        "The logins' passwords are derived from it; without it JWT_SECRET is used instead of it for this one purpose.",
        RANDOM, needed=True)
    link_secrets: Mapping[str, str] = env("LINK_SECRETS", kinds.LINK_KEYS,
        "Sign links to files, the first one new links; without them one is derived from JWT_SECRET.",
        f"a:{RANDOM}", needed=True)
    privacy_hmac_secret: str = env("PRIVACY_HMAC_SECRET", kinds.secret(long_everywhere=True),
        "The key of the tokens that stay of erased people; without it one is derived from JWT_SECRET.",
        RANDOM, needed=True)
    metrics_token: str = env("METRICS_TOKEN", kinds.secret(),
        "The bearer that /metrics wants; without it everybody may read them.", RANDOM, needed=True)
    database_url: str = env("DATABASE_URL", kinds.DATABASE,
        "The database, with its administrator's login for `ecotrips db`; without it PostgreSQL runs in DATA_DIR.",
        "postgresql://admin:password@db.internal:5432/ecotrips", everywhere=True)
    database_replica_url: str = env("DATABASE_REPLICA_URL", kinds.DATABASE,
        "A hot standby that reads go to.", "postgresql://standby.internal:5432/ecotrips")
    database_direct_url: str = env("DATABASE_DIRECT_URL", kinds.DATABASE,
        "The server itself, where DATABASE_URL names a pooler.", "postgresql://db.internal:5432/ecotrips")
    database_pooler: str = env("DATABASE_POOLER", kinds.if_set("transaction"),
        "Set for a PgBouncer that does not prepare statements.", "transaction")
    pool_size: int = env("DATABASE_POOL_SIZE", kinds.number(1, MAX_CONNECTIONS),
        "Connections of each role and process; a quarter more is kept free.", "20", "12")
    schemas: tuple[str, ...] = env("DB_SCHEMAS", kinds.words(_schema_fault),
        "What /rest/v1 shows, the default schema first; never what is internal or PostgreSQL's own.",
        "public,core,booking", ", ".join(DEFAULT_SCHEMAS))
    rate_limits: bool = env("RATE_LIMITS", ON_OR_OFF, "Limits the calls of each caller.", "1", "0", production="1")
    trusted_proxies: Networks = env("TRUSTED_PROXIES", kinds.NETWORKS,
        "Whose X-Forwarded-For and Forwarded count.", "10.0.0.0/8,2001:db8::/32")
    cors_origins: tuple[str, ...] = env("CORS_ORIGINS", kinds.ORIGINS,
        "Whose pages may read our answers.", "https://ops.ecotrips.africa")
    stripe_secret_key: str = env("STRIPE_SECRET_KEY", kinds.secret(STRIPE_KEY),
        "The key that payments are made with.", "sk_live_…", needed=True)
    stripe_webhook_secrets: tuple[str, ...] = env("STRIPE_WEBHOOK_SECRET", kinds.secrets(STRIPE_SIGNING),
        "What webhooks are signed with; both while it changes.", "whsec_…", needed=True)
    stripe_payout_account: str = env("STRIPE_PAYOUT_ACCOUNT", ACCOUNT,
        "The connected account that payouts of groups go to.", "acct_1Nv0FGQ9RKHgCVdK", needed=True)
    stripe_api_base: str = env("STRIPE_API_BASE", kinds.address(),
        "Another address than Stripe's own.", "https://stripe.internal.example")
    hbx_api_key: str = env("HBX_API_KEY", kinds.secret(HBX_KEY),
        "The key that hotels are asked with.", "(from Hotelbeds)", needed=True)
    hbx_api_secret: str = env("HBX_API_SECRET", kinds.secret(HBX_SECRET),
        "Its secret.", "(from Hotelbeds)", needed=True)
    hbx_base_url: str = env("HBX_BASE_URL", kinds.address(hotelbeds_fault),
        "Hotelbeds' address; the default is its test host.",
        "https://api-mtls.hotelbeds.com", "https://api.test.hotelbeds.com", needed=True)
    hbx_client_cert: str = env("HBX_CLIENT_CERT", kinds.FILE,
        "The client certificate that Hotelbeds wants live (PEM).", "/etc/ecotrips/hbx.crt")
    hbx_client_key: str = env("HBX_CLIENT_KEY", kinds.FILE,
        "Its key (PEM); one file may hold both.", "/etc/ecotrips/hbx.key", needs="HBX_CLIENT_CERT")
    hbx_markup_percent: Decimal = env("HBX_MARKUP_PERCENT", kinds.decimal(0, 100),
        "Added to every net price.", "12.5", "0")
    wa_access_token: str = env("WA_ACCESS_TOKEN", kinds.secret(),
        "The token that messages are sent with.", "(from Meta)", needed=True)
    wa_phone_id: str = env("WA_PHONE_ID", kinds.text("digits", "[0-9]+"),
        "The id of the number that sends.", "106540352242922", needed=True)
    wa_app_secrets: tuple[str, ...] = env("WA_APP_SECRET", kinds.secrets(),
        "What webhooks are signed with; both, with a comma, while it changes.", "(from Meta)", needed=True)
    wa_verify_token: str = env("WA_VERIFY_TOKEN", kinds.secret(),
        "What Meta names when it looks at the webhook.", RANDOM, needed=True)
    wa_link_template: str = env("WA_LINK_TEMPLATE", TEMPLATE,
        "The approved template of links, when free text may not be sent.", "link_notice:en")
    wa_graph_base: str = env("WA_GRAPH_BASE", kinds.address(),
        "The address of Meta's Graph API.", "https://graph.facebook.com", "https://graph.facebook.com")
    wa_graph_version: str = env("WA_GRAPH_VERSION", kinds.text("a version such as v26.0", r"v[0-9]+\.[0-9]+"),
        "Its version.", "v26.0", "v26.0")
    # fmt: on
    embedded: bool = False
    traced: bool = False
    switches: Mapping[str, str] = field(default_factory=lambda: dict(LIVE_SWITCHES))

    def __post_init__(self) -> None:
        if not self.database_role_secret:
            object.__setattr__(self, "database_role_secret", self.jwt_secret)

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


def _derived_link_key(jwt_secret: str) -> tuple[str, str]:
    """A key's id and secret; the id tells the keys of rotated secrets apart and gives nothing of them away."""
    secret = derived(jwt_secret, LINKS)
    return f"jwt-{hashlib.sha256(secret.encode()).hexdigest()[:8]}", secret


# fmt: off
SWITCHED = (
    Setting("USE_FIXTURES", SWITCH,
        "Bookings and places come from fixtures/, exceptions also; 0: from the database, lists for ops only.",
        "0", "0", production="0"),
    Setting("INVENTORY_OFFLINE", SWITCH,
        "Hotels come from fixtures/; 0 needs HBX_API_KEY, HBX_API_SECRET and HBX_BASE_URL.", "0", "0", production="0"),
    Setting("WA_OFFLINE", SWITCH,
        "Messages are not sent; 0 needs WA_ACCESS_TOKEN, WA_PHONE_ID, WA_APP_SECRET and WA_VERIFY_TOKEN.",
        "0", "0", production="0"),
    Setting("STRIPE_MOCK_MODE", SWITCH,
        "Payments and payouts are mocked; 0 needs STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET.",
        "0", "0", production="0"),
    Setting("OPS_REFUND_MODE", kinds.one_of(str, "live", "mock"),
        "mock: ops-refund checks what ops ask for, and moves no money.", "live", "live", production="live"),
    Setting("PAYOUTS_PAUSED", SWITCH, "Holds new payouts back, but those that ops ask for.", "1", "0"),
    Setting("ESCROW_REFUNDS_PAUSED", SWITCH, "Holds new refunds of escrows back.", "1", "0"),
)
# What programs and libraries read from the environment by themselves, so that it is shown and looked at as all else.
BY_LIBRARIES = (
    Setting("POSTGRES_BIN", kinds.folder_with(),
        "PostgreSQL's programs for the embedded server, psql and dumps, in place of those that come along.",
        "/usr/lib/postgresql/18/bin"),
    Setting("POSTGRES_PORT", kinds.number(0, HIGHEST_PORT),
        "Where the embedded server listens beside its socket, on a machine without strangers; 0 is nowhere.",
        "5433", "0"),
    Setting("PGHOST", HOSTS, "The host, where DATABASE_URL names none.", "db.internal"),
    Setting("PGPORT", kinds.number(1, HIGHEST_PORT), "The port, where DATABASE_URL names none.", "5433", "5432"),
    Setting("PGUSER", kinds.TEXT, "The administrator's login, where DATABASE_URL names none.", "admin"),
    Setting("PGPASSWORD", kinds.DATABASE_PASSWORD, "Its password, likewise.", RANDOM),
    Setting("PGPASSFILE", kinds.PASSFILE, "A file with passwords, in place of ~/.pgpass.", "/etc/ecotrips/pgpass"),
    Setting("PGSSLMODE", kinds.if_set(*dsn.MODES), "sslmode, where DATABASE_URL does not say it.", "verify-full"),
    Setting("PGSSLROOTCERT", kinds.certificates(dsn.SYSTEM),
        "sslrootcert, where DATABASE_URL does not say it.", "/etc/ecotrips/database-ca.crt"),
    Setting("AWS_ACCESS_KEY_ID", kinds.text(public="(AKIA|ASIA)[A-Z0-9]{16}"),
        "Who keeps files in the bucket; without it the machine's own role.",
        "(from AWS)", needs="AWS_SECRET_ACCESS_KEY"),
    Setting("AWS_SECRET_ACCESS_KEY", kinds.secret(AWS_SECRET), "Its secret.", "(from AWS)", needs="AWS_ACCESS_KEY_ID"),
    Setting("AWS_SESSION_TOKEN", kinds.secret(AWS_SECRET), "Of keys that are for a time only.", "(from AWS)"),
    Setting("AWS_REGION", kinds.TEXT, "Where the bucket is.", "eu-west-1"),
    Setting("AWS_ENDPOINT_URL", STORE, "Another store than Amazon's that speaks S3.", "https://minio.internal"),
    Setting("AWS_ALLOW_HTTP", TRUE_OR_FALSE, "Lets that store be reached without TLS.", "true", "false"),
    Setting("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", TRUE_OR_FALSE,
        "The bucket is part of the host's name.", "true", "false"),
    Setting("OTEL_EXPORTER_OTLP_ENDPOINT", COLLECTOR,
        "The collector that metrics and traces are sent to.", "http://collector:4318"),
    Setting("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", COLLECTOR,
        "Where traces alone go.", "http://collector:4318/v1/traces"),
    Setting("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", COLLECTOR,
        "Where metrics alone go.", "http://collector:4318/v1/metrics"),
    Setting("OTEL_EXPORTER_OTLP_HEADERS", kinds.HEADERS,
        "Headers that the collector wants.", "authorization=Bearer%20…"),
    Setting("OTEL_EXPORTER_OTLP_TIMEOUT", kinds.decimal(0, 600), "Seconds to wait for the collector.", "5", "10"),
    Setting("OTEL_EXPORTER_OTLP_CERTIFICATE", kinds.certificates(),
        "Who vouches for the collector (PEM).", "/etc/ecotrips/otel-ca.crt"),
    Setting("OTEL_METRIC_EXPORT_INTERVAL", kinds.number(10, 86_400_000),
        "Milliseconds between two sendings of metrics.", "15000", "60000"),
    Setting("OTEL_TRACES_SAMPLER", kinds.if_set(*SAMPLERS),
        "Which requests are traced; without it the first hundred of a second.", "parentbased_traceidratio"),
    Setting("OTEL_TRACES_SAMPLER_ARG", kinds.decimal(0, 1),
        "The share of them, where the sampler has one.", "0.01", "1"),
    Setting("OTEL_RESOURCE_ATTRIBUTES", ATTRIBUTES,
        "What else each metric and trace says of this process.", "host.name=ops-1"),
    Setting("SSL_CERT_FILE", kinds.certificates(),
        "Other authorities than this machine's own vouch for providers (PEM).", "/etc/ssl/ca.pem"),
)
# fmt: on
SWITCHES = tuple(switch.name for switch in SWITCHED)
MOCKS = tuple(switch.name for switch in SWITCHED if switch.production == "0")
PAUSES = tuple(switch.name for switch in SWITCHED if not switch.production)
LIVE_SWITCHES: Mapping[str, str] = {switch.name: switch.default for switch in SWITCHED}
OFFLINE_SWITCHES: Mapping[str, str] = {**LIVE_SWITCHES, **dict.fromkeys(MOCKS, "1"), "OPS_REFUND_MODE": "mock"}

# The groups in which they are told, by the setting that each begins with.
GROUPS = {
    "ECOTRIPS_ENV": "This installation",
    "JWT_SECRET": "Secrets and keys",
    "DATABASE_URL": "Database",
    "RATE_LIMITS": "Callers",
    "STRIPE_SECRET_KEY": "Stripe",
    "HBX_API_KEY": "Hotelbeds",
    "WA_ACCESS_TOKEN": "WhatsApp",
    "USE_FIXTURES": "Switches",
    "POSTGRES_BIN": "PostgreSQL's own programs and libraries",
    "AWS_ACCESS_KEY_ID": "Files in S3",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "Metrics, traces and other libraries",
}
TABLE: dict[str, list[Setting[Any]]] = {}
for setting in (*(found.metadata["setting"] for found in fields(Settings) if found.metadata), *SWITCHED, *BY_LIBRARIES):
    TABLE.setdefault(GROUPS.get(setting.name) or next(reversed(TABLE)), []).append(setting)
