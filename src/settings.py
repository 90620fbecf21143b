"""All settings, read once from the environment. Switches that change at run time are overridden in ops.flags."""

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from src import production
from src.production import SHORTEST_SECRET

# What /rest/v1 shows, the default first; grants and policies decide who sees what of it.
DEFAULT_SCHEMAS = (
    *("public", "core", "booking", "payment", "fin", "group", "permits", "privacy", "audit", "catalog", "inventory"),
    *("wa", "ops"),
)
MOCKS = ("USE_FIXTURES", "INVENTORY_OFFLINE", "WA_OFFLINE", "STRIPE_MOCK_MODE")
PAUSES = ("PAYOUTS_PAUSED", "ESCROW_REFUNDS_PAUSED")
SWITCHES = (*MOCKS, "OPS_REFUND_MODE", *PAUSES)
LIVE_SWITCHES: Mapping[str, str] = {**dict.fromkeys(SWITCHES, "0"), "OPS_REFUND_MODE": "live"}
OFFLINE_SWITCHES: Mapping[str, str] = {**LIVE_SWITCHES, **dict.fromkeys(MOCKS, "1"), "OPS_REFUND_MODE": "mock"}


class SettingsError(Exception):
    """A setting is missing or makes no sense; the message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One process's settings. `environ` names are the upper-case field names unless from_environment says otherwise."""

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
        derived = hmac.new(self.jwt_secret.encode(), b"privacy", hashlib.sha256).hexdigest()
        return self.privacy_hmac_secret or derived

    @property
    def address_key(self) -> bytes:
        """The key of the digests that stand for callers' addresses."""
        return hmac.digest(self.jwt_secret.encode(), b"client addresses", "sha256")

    @property
    def switches_json(self) -> str:
        """The environment's switches as SQL functions read them (request.switches)."""
        return json.dumps(self.switches)


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises SettingsError naming the first variable that is missing or wrong.

    With ECOTRIPS_ENV=production everything that must not be there is named (src/production.py).
    """
    if environ.get("ECOTRIPS_ENV") == "production" and (found := list(production.faults(environ, LIVE_SWITCHES))):
        raise SettingsError("not fit for production:\n  " + "\n  ".join(found))
    jwt_secret = _required(environ, "JWT_SECRET")
    return Settings(
        jwt_secret=jwt_secret,
        database_url=_required(environ, "DATABASE_URL"),
        database_role_secret=environ.get("DATABASE_ROLE_SECRET") or jwt_secret,
        database_pooler=_one_of(environ, "DATABASE_POOLER", "", "transaction"),
        database_replica_url=environ.get("DATABASE_REPLICA_URL", ""),
        database_direct_url=environ.get("DATABASE_DIRECT_URL", ""),
        jwt_previous_secrets=_listed(environ, "JWT_PREVIOUS_SECRETS"),
        data_dir=Path(environ.get("DATA_DIR") or ".data"),
        port=_whole_number(environ, "PORT", 8000),
        public_url=environ.get("PUBLIC_URL", ""),
        business_timezone=_timezone(environ, "BUSINESS_TIMEZONE", "Africa/Kigali"),
        invoice_facturx=environ.get("INVOICE_FACTURX") == "1",
        storage_url=environ.get("STORAGE_URL", ""),
        link_secrets=_keys(environ, "LINK_SECRETS"),
        wa_access_token=environ.get("WA_ACCESS_TOKEN", ""),
        wa_phone_id=environ.get("WA_PHONE_ID", ""),
        wa_graph_base=environ.get("WA_GRAPH_BASE") or "https://graph.facebook.com",
        wa_graph_version=environ.get("WA_GRAPH_VERSION") or "v26.0",
        wa_app_secrets=_listed(environ, "WA_APP_SECRET"),  # two while one is being rotated
        wa_verify_token=environ.get("WA_VERIFY_TOKEN", ""),
        wa_link_template=environ.get("WA_LINK_TEMPLATE", ""),
        jwt_jwks=environ.get("JWT_JWKS", ""),
        stripe_secret_key=environ.get("STRIPE_SECRET_KEY", ""),
        stripe_webhook_secrets=_listed(environ, "STRIPE_WEBHOOK_SECRET"),  # likewise
        stripe_payout_account=environ.get("STRIPE_PAYOUT_ACCOUNT", ""),
        stripe_api_base=environ.get("STRIPE_API_BASE", ""),
        privacy_hmac_secret=_secret(environ, "PRIVACY_HMAC_SECRET"),
        schemas=_listed(environ, "DB_SCHEMAS") or DEFAULT_SCHEMAS,
        hbx_api_key=environ.get("HBX_API_KEY", ""),
        hbx_api_secret=environ.get("HBX_API_SECRET", ""),
        hbx_base_url=environ.get("HBX_BASE_URL") or "https://api.test.hotelbeds.com",
        hbx_client_cert=environ.get("HBX_CLIENT_CERT", ""),
        hbx_client_key=environ.get("HBX_CLIENT_KEY", ""),
        hbx_markup_percent=_percent(environ, "HBX_MARKUP_PERCENT"),
        rate_limits=environ.get("RATE_LIMITS") == "1",
        trusted_proxies=_networks(environ, "TRUSTED_PROXIES"),
        cors_origins=_listed(environ, "CORS_ORIGINS"),
        pool_size=_whole_number(environ, "DATABASE_POOL_SIZE", 12),
        production=environ.get("ECOTRIPS_ENV") == "production",
        log_level=environ.get("LOG_LEVEL", "INFO"),
        traced=bool(environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")),
        metrics_token=environ.get("METRICS_TOKEN", ""),
        switches={name: environ.get(name, default) for name, default in LIVE_SWITCHES.items()},
    )


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        message = f"{name} is not set"
        raise SettingsError(message)
    return value


def _listed(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(filter(None, environ.get(name, "").replace(" ", "").split(",")))


def _networks(environ: Mapping[str, str], name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(network) for network in _listed(environ, name))
    except ValueError as error:
        message = f"{name} must be IP networks such as 10.0.0.0/8,2001:db8::/32: {error}"
        raise SettingsError(message) from None


def _one_of(environ: Mapping[str, str], name: str, *values: str) -> str:
    value = environ.get(name, "")
    if value not in values:
        message = f"{name} must be {' or '.join(filter(None, values))}, or not set; not {value!r}"
        raise SettingsError(message)
    return value


def _secret(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if value and len(value) < SHORTEST_SECRET:
        message = f"{name} must have {SHORTEST_SECRET} characters or more"
        raise SettingsError(message)
    return value


def _derived_link_key(jwt_secret: str) -> tuple[str, str]:
    """A key's id and secret; the id tells the keys of rotated secrets apart and gives nothing of them away."""
    secret = hmac.new(jwt_secret.encode(), b"storage links", hashlib.sha256).hexdigest()
    return f"jwt-{hashlib.sha256(secret.encode()).hexdigest()[:8]}", secret


def _keys(environ: Mapping[str, str], name: str) -> Mapping[str, str]:
    """`id:secret,id:secret`, the first one first. A secret has 32 characters or more."""
    keys: dict[str, str] = {}
    for entry in _listed(environ, name):
        key_id, _, secret = entry.partition(":")
        if not key_id or key_id in keys or len(secret) < SHORTEST_SECRET:
            message = f"{name} must be id:secret,id:secret with different ids and {SHORTEST_SECRET} characters or more"
            raise SettingsError(message)
        keys[key_id] = secret
    return keys


def _timezone(environ: Mapping[str, str], name: str, default: str) -> str:
    value = environ.get(name) or default
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = f"{name} must be a time zone such as {default}, not {value!r}"
        raise SettingsError(message) from None
    return value


def _percent(environ: Mapping[str, str], name: str) -> Decimal:
    value = environ.get(name) or "0"
    try:
        percent = Decimal(value)
    except InvalidOperation:
        percent = Decimal("NaN")
    if percent.is_nan() or not 0 <= percent <= 100:  # noqa: PLR2004 - a percentage
        message = f"{name} must be a number from 0 to 100, not {value!r}"
        raise SettingsError(message)
    return percent


def _whole_number(environ: Mapping[str, str], name: str, default: int) -> int:
    value = environ.get(name, str(default))
    if not value.isdigit():
        message = f"{name} must be a whole number, not {value!r}"
        raise SettingsError(message)
    return int(value)
