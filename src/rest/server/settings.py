"""Settings of the standalone REST engine, by PostgREST's names.

Each field says the option it is read from (https://docs.postgrest.org/en/stable/references/configuration.html):
`db-max-rows` is PGRST_DB_MAX_ROWS in the environment, --db-max-rows on the command line, pgrst.db_max_rows in the
database.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

from src.database import dsn
from src.database.schemas import OF_THE_SYSTEM
from src.edge.errors import SettingsError
from src.rest.catalog.model import Name
from src.rest.protocol.request import Configuration
from src.rest.server.options import ALIASES, APP_SETTINGS, Options, database_name, of_environment, of_file

TRANSACTION_ENDS = {
    "commit": ("commit", False),
    "commit-allow-override": ("commit", True),
    "rollback": ("rollback", False),
    "rollback-allow-override": ("rollback", True),
}
OPENAPI_MODES = frozenset({"follow-privileges", "ignore-privileges", "disabled"})
LOG_LEVELS = frozenset({"crit", "error", "warn", "info", "debug"})
# Options that may be stored in the database, and so change while the server runs.
STORED = frozenset(
    {
        "client-error-verbosity",
        "db-aggregates-enabled",
        "db-anon-role",
        "db-extra-search-path",
        "db-hoisted-tx-settings",
        "db-max-rows",
        "db-plan-enabled",
        "db-pre-config",
        "db-pre-request",
        "db-root-spec",
        "db-schemas",
        "db-tx-end",
        "jwt-aud",
        "jwt-cache-max-entries",
        "jwt-role-claim-key",
        "jwt-secret",
        "jwt-secret-is-base64",
        "openapi-mode",
        "openapi-security-active",
        "openapi-server-proxy-uri",
        "server-cors-allowed-origins",
        "server-timing-enabled",
        "server-trace-header",
        "url-use-legacy-target-names",
    }
)
# Options that flags may set.
OPTIONS = frozenset(
    {
        *STORED,
        "admin-server-host",
        "admin-server-port",
        "db-channel",
        "db-channel-enabled",
        "db-config",
        "db-pool",
        "db-pool-acquisition-timeout",
        "db-pool-max-idletime",
        "db-pool-max-lifetime",
        "db-prepared-statements",
        "db-uri",
        "log-level",
        "log-query",
        "server-host",
        "server-port",
        "server-unix-socket",
        "server-unix-socket-mode",
        *ALIASES.values(),
    }
)
CONNECTION_WORD = re.compile(r"(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S+))")
HOISTED = "statement_timeout, plan_filter.statement_cost_limit, default_transaction_isolation"


@dataclass(frozen=True, slots=True)
class RestSettings:
    """The standalone server's settings. Times are in seconds."""

    configuration: Configuration
    db_uri: str = field(repr=False)
    db_pool: int = 10
    db_pool_acquisition_timeout: int = 10
    db_pool_max_idletime: int = 30
    db_pool_max_lifetime: int = 1800
    db_channel: str = "pgrst"
    db_channel_enabled: bool = True
    db_prepared_statements: bool = True
    db_config: bool = True
    db_pre_config: Name | None = None
    hoisted_settings: tuple[str, ...] = ()
    jwt_secret: str = field(default="", repr=False)
    jwt_secret_is_base64: bool = False
    jwt_audience: str | None = None
    jwt_role_claim_key: str = "$.role"
    jwt_cache_max_entries: int = 1000
    server_host: str = "0.0.0.0"  # noqa: S104 - PostgREST's default is every address
    server_port: int = 3000
    server_unix_socket: str = ""
    server_unix_socket_mode: int = 0o660
    server_trace_header: str = ""
    server_timing: bool = False
    cors_origins: tuple[str, ...] = ()
    admin_host: str = ""
    admin_port: int | None = None
    log_level: str = "error"
    log_query: bool = False


def command_line(arguments: Iterable[str]) -> tuple[dict[str, str], Path | None]:
    """`[FILE] [--option value | --option=value …]` as options and the file's path. Raises SettingsError."""
    flags: dict[str, str] = {}
    file = None
    given = iter(arguments)
    for argument in given:
        name, separator, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("-") and file is None:
            file = Path(argument)
        elif argument.startswith("--") and name in OPTIONS:
            flags[name] = value if separator else next(given, "")
        else:
            message = f"{argument} is not an option of rest"
            raise SettingsError(message)
    return flags, file


def rest_settings(
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, str] | None = None,
    file: Path | None = None,
    stored: Mapping[str, str] | None = None,
) -> RestSettings:
    """Read the settings: those stored in the database win over flags, environment and file, in this order.

    `flags` and `stored` are by option name. Raises SettingsError naming the option that is wrong.
    """
    options = Options(stored or {}, flags or {}, of_environment(environ), of_file(file, environ) if file else {})
    host, port = options.text("server-host", "!4"), options.number("server-port", 3000)
    admin_port = options.number("admin-server-port", 0) or None
    if admin_port == port:
        message = "admin-server-port cannot be the same as server-port"
        raise SettingsError(message)
    uri = _uri(options.file_or_text("db-uri") or "postgresql://")
    if fault := dsn.fault(uri, environ):
        message = f"db-uri: {fault}"
        raise SettingsError(message)
    return RestSettings(
        configuration=_configuration(options),
        db_uri=uri,
        db_pool=options.number("db-pool", 10),
        db_pool_acquisition_timeout=options.number("db-pool-acquisition-timeout", 10),
        db_pool_max_idletime=options.number("db-pool-max-idletime", 30),
        db_pool_max_lifetime=options.number("db-pool-max-lifetime", 1800),
        db_channel=database_name(options.text("db-channel", "pgrst")),
        db_channel_enabled=options.truth("db-channel-enabled", default=True),
        db_prepared_statements=options.truth("db-prepared-statements", default=True),
        db_config=options.truth("db-config", default=True),
        db_pre_config=options.function("db-pre-config"),
        hoisted_settings=options.words("db-hoisted-tx-settings", HOISTED),
        jwt_secret=options.file_or_text("jwt-secret"),
        jwt_secret_is_base64=options.truth("jwt-secret-is-base64", default=False),
        jwt_audience=options.text("jwt-aud", "") or None,
        jwt_role_claim_key=options.text("jwt-role-claim-key", "$.role"),
        jwt_cache_max_entries=options.number("jwt-cache-max-entries", 1000),
        server_host=_address(host),
        server_port=port,
        server_unix_socket=options.text("server-unix-socket", ""),
        server_unix_socket_mode=options.file_mode("server-unix-socket-mode", 0o660),
        server_trace_header=options.text("server-trace-header", "").lower(),
        server_timing=options.truth("server-timing-enabled", default=False),
        cors_origins=options.words("server-cors-allowed-origins", ""),
        admin_host=_address(options.text("admin-server-host", host)),
        admin_port=admin_port,
        log_level=options.one_of("log-level", "error", LOG_LEVELS),
        log_query=options.truth("log-query", default=False),
    )


def _configuration(options: Options) -> Configuration:
    schemas = options.names("db-schemas", "public")
    for schema in schemas:
        if OF_THE_SYSTEM.fullmatch(schema):
            message = f"db-schemas does not allow schema: '{schema}'"
            raise SettingsError(message)
    end, override = TRANSACTION_ENDS[options.one_of("db-tx-end", "commit", frozenset(TRANSACTION_ENDS))]
    max_rows = options.number("db-max-rows", -1)
    return Configuration(
        schemas=schemas,
        extra_search_path=options.names("db-extra-search-path", "public", empty=True),
        max_rows=max_rows if max_rows >= 0 else None,
        aggregates=options.truth("db-aggregates-enabled", default=False),
        plans=options.truth("db-plan-enabled", default=False),
        openapi=options.one_of("openapi-mode", "follow-privileges", OPENAPI_MODES),
        openapi_server_uri=options.text("openapi-server-proxy-uri", ""),
        openapi_security=options.truth("openapi-security-active", default=False),
        root_spec=options.function("db-root-spec"),
        pre_request=options.function("db-pre-request"),
        transaction_end=end,
        may_end_transaction=override,
        legacy_names=options.truth("url-use-legacy-target-names", default=True),
        minimal_errors=options.one_of("client-error-verbosity", "verbose", frozenset({"verbose", "minimal"}))
        == "minimal",
        app_settings=tuple(options.beginning(APP_SETTINGS)),
        anonymous_role=database_name(options.text("db-anon-role", "")) or None,
    )


def _uri(text: str) -> str:
    """Converts libpq's `host=… dbname=…` form to a URI."""
    if "://" in text:
        return text
    words = {name: re.sub(r"\\(.)", r"\1", quoted or bare) for name, quoted, bare in CONNECTION_WORD.findall(text)}
    return f"postgresql://?{urlencode(words, quote_via=quote)}"


def _address(host: str) -> str:
    """PostgREST's words for every address: `*`, `*4`, `!4`, `*6`, `!6`."""
    return {"*": "::", "*6": "::", "!6": "::", "*4": "0.0.0.0", "!4": "0.0.0.0"}.get(host, host)  # noqa: S104 - what they mean
