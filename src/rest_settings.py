"""Settings of the REST engine on its own: PostgREST's names, from the environment or as flags.

Each field says the option it is read from (https://docs.postgrest.org/en/stable/references/configuration.html):
`db-max-rows` is PGRST_DB_MAX_ROWS in the environment and --db-max-rows on the command line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from src.domain.rest.catalog import Name
from src.domain.rest.request import Configuration
from src.settings import SettingsError

PREFIX = "PGRST_"
APP_SETTINGS = "PGRST_APP_SETTINGS_"
ALIASES = {
    "db-schemas": "db-schema",
    "db-max-rows": "max-rows",
    "db-pre-request": "pre-request",
    "db-root-spec": "root-spec",
    "db-pool-max-idletime": "db-pool-timeout",
    "jwt-role-claim-key": "role-claim-key",
    "jwt-secret-is-base64": "secret-is-base64",
}
TRANSACTION_ENDS = {
    "commit": ("commit", False),
    "commit-allow-override": ("commit", True),
    "rollback": ("rollback", False),
    "rollback-allow-override": ("rollback", True),
}
OPENAPI_MODES = frozenset({"follow-privileges", "ignore-privileges", "disabled"})
LOG_LEVELS = frozenset({"crit", "error", "warn", "info", "debug"})
CLOSED_SCHEMAS = frozenset({"pg_catalog", "information_schema"})
# Every option that flags, and settings kept in the database, may name.
OPTIONS = frozenset(
    {
        "admin-server-host",
        "admin-server-port",
        "client-error-verbosity",
        "db-aggregates-enabled",
        "db-anon-role",
        "db-channel",
        "db-channel-enabled",
        "db-config",
        "db-extra-search-path",
        "db-hoisted-tx-settings",
        "db-max-rows",
        "db-plan-enabled",
        "db-pool",
        "db-pool-acquisition-timeout",
        "db-pre-config",
        "db-pre-request",
        "db-prepared-statements",
        "db-root-spec",
        "db-schemas",
        "db-tx-end",
        "db-uri",
        "jwt-aud",
        "jwt-cache-max-entries",
        "jwt-role-claim-key",
        "jwt-secret",
        "jwt-secret-is-base64",
        "log-level",
        "openapi-mode",
        "openapi-security-active",
        "openapi-server-proxy-uri",
        "server-cors-allowed-origins",
        "server-host",
        "server-port",
        "server-timing-enabled",
        "server-trace-header",
        "server-unix-socket",
        "url-use-legacy-target-names",
        *ALIASES.values(),
    }
)
HOISTED = "statement_timeout, plan_filter.statement_cost_limit, default_transaction_isolation"


@dataclass(frozen=True, slots=True)
class RestSettings:
    """Everything the standalone server is told. Times are in seconds."""

    configuration: Configuration
    db_uri: str = field(repr=False)
    db_pool: int = 10
    db_pool_acquisition_timeout: int = 10
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
    server_trace_header: str = ""
    server_timing: bool = False
    cors_origins: tuple[str, ...] = ()
    admin_host: str = ""
    admin_port: int | None = None
    log_level: str = "error"


def rest_settings(environ: Mapping[str, str] = os.environ, flags: Mapping[str, str] | None = None) -> RestSettings:
    """Read the settings; flags (option name to value) win. Raises SettingsError naming the option that is wrong."""
    options = _Options(environ, flags or {})
    host = options.text("server-host", "!4")
    return RestSettings(
        configuration=_configuration(options, environ),
        db_uri=options.file_or_text("db-uri") or "postgresql://",
        db_pool=options.number("db-pool", 10),
        db_pool_acquisition_timeout=options.number("db-pool-acquisition-timeout", 10),
        db_channel=options.text("db-channel", "pgrst"),
        db_channel_enabled=options.truth("db-channel-enabled", default=True),
        db_prepared_statements=options.truth("db-prepared-statements", default=True),
        db_config=options.truth("db-config", default=True),
        db_pre_config=_name(options.text("db-pre-config", "")),
        hoisted_settings=options.words("db-hoisted-tx-settings", HOISTED),
        jwt_secret=options.file_or_text("jwt-secret"),
        jwt_secret_is_base64=options.truth("jwt-secret-is-base64", default=False),
        jwt_audience=options.text("jwt-aud", "") or None,
        jwt_role_claim_key=options.text("jwt-role-claim-key", "$.role"),
        jwt_cache_max_entries=options.number("jwt-cache-max-entries", 1000),
        server_host=_address(host),
        server_port=options.number("server-port", 3000),
        server_unix_socket=options.text("server-unix-socket", ""),
        server_trace_header=options.text("server-trace-header", "").lower(),
        server_timing=options.truth("server-timing-enabled", default=False),
        cors_origins=options.words("server-cors-allowed-origins", ""),
        admin_host=_address(options.text("admin-server-host", host)),
        admin_port=options.number("admin-server-port", 0) or None,
        log_level=options.one_of("log-level", "error", LOG_LEVELS),
    )


def _configuration(options: _Options, environ: Mapping[str, str]) -> Configuration:
    schemas = options.words("db-schemas", "public")
    for schema in schemas:
        if schema in CLOSED_SCHEMAS:
            message = f"db-schemas does not allow schema: '{schema}'"
            raise SettingsError(message)
    end, override = TRANSACTION_ENDS[options.one_of("db-tx-end", "commit", frozenset(TRANSACTION_ENDS))]
    largest = options.number("db-max-rows", -1)
    return Configuration(
        schemas=schemas,
        extra_search_path=options.words("db-extra-search-path", "public", empty=True),
        max_rows=largest if largest >= 0 else None,
        aggregates=options.truth("db-aggregates-enabled", default=False),
        plans=options.truth("db-plan-enabled", default=False),
        openapi=options.one_of("openapi-mode", "follow-privileges", OPENAPI_MODES),
        openapi_server_uri=options.text("openapi-server-proxy-uri", ""),
        openapi_security=options.truth("openapi-security-active", default=False),
        root_spec=_name(options.text("db-root-spec", "")),
        pre_request=_name(options.text("db-pre-request", "")),
        transaction_end=end,
        may_end_transaction=override,
        legacy_names=options.truth("url-use-legacy-target-names", default=True),
        minimal_errors=options.one_of("client-error-verbosity", "verbose", frozenset({"verbose", "minimal"}))
        == "minimal",
        app_settings=tuple(
            (f"app.settings.{name.removeprefix(APP_SETTINGS)}", value)
            for name, value in environ.items()
            if name.startswith(APP_SETTINGS)
        ),
        anonymous_role=options.text("db-anon-role", "") or None,
    )


class _Options:
    def __init__(self, environ: Mapping[str, str], flags: Mapping[str, str]) -> None:
        self._environ = environ
        self._flags = flags

    def _given(self, name: str) -> str | None:
        for known in (name, ALIASES.get(name, name)):
            variable = PREFIX + known.upper().replace("-", "_")
            found = self._flags.get(known, self._environ.get(variable))
            if found is not None:
                return found
        return None

    def text(self, name: str, default: str) -> str:
        return self._given(name) or default

    def file_or_text(self, name: str) -> str:
        """The value, or the content of the file that `@path` names."""
        value = self.text(name, "")
        if not value.startswith("@"):
            return value
        try:
            return Path(value[1:]).read_text().rstrip("\n")
        except OSError as error:
            message = f"{name}: {error}"
            raise SettingsError(message) from None

    def words(self, name: str, default: str, *, empty: bool = False) -> tuple[str, ...]:
        given = self._given(name)
        value = default if given is None or (not given and not empty) else given
        return tuple(filter(None, (word.strip() for word in value.split(","))))

    def number(self, name: str, default: int) -> int:
        return self._read(name, default, int, "a whole number")

    def truth(self, name: str, *, default: bool) -> bool:
        words = {"true": 1, "false": 0, "1": 1, "0": 0}
        return bool(self._read(name, int(default), lambda value: words[value.strip().lower()], "true or false"))

    def one_of(self, name: str, default: str, allowed: frozenset[str]) -> str:
        value = self.text(name, default)
        if value not in allowed:
            message = f"{name} must be one of {', '.join(sorted(allowed))}, not {value!r}"
            raise SettingsError(message)
        return value

    def _read(self, name: str, default: int, read: Callable[[str], int], meaning: str) -> int:
        value = self._given(name)
        if not value:
            return default
        try:
            return read(value)
        except (ValueError, KeyError):
            message = f"{name} must be {meaning}, not {value!r}"
            raise SettingsError(message) from None


def _name(text: str) -> Name | None:
    """`schema.function` or a bare `function` that the search path finds."""
    if not text:
        return None
    schema, dot, name = text.partition(".")
    return Name(schema, name) if dot else Name("", text)


def _address(host: str) -> str:
    """PostgREST's words for "every address": `*`, `*4`, `!4`, `*6`, `!6`."""
    return {"*": "::", "*6": "::", "!6": "::", "*4": "0.0.0.0", "!4": "0.0.0.0"}.get(host, host)  # noqa: S104 - what they mean
