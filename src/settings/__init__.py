"""Settings: what each is, said once (table.py), and how they are read (environment.py)."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from src.database.roles import LOGINS
from src.settings.environment import Environment
from src.settings.kinds import T, folder_with
from src.settings.setting import Setting
from src.settings.table import (
    ADDRESSES,
    DEFAULT_SCHEMAS,
    INTERNAL_SCHEMAS,
    LINKS,
    LIVE_SWITCHES,
    OFFLINE_SWITCHES,
    PAUSES,
    PRIVACY,
    SWITCHES,
    TABLE,
    Settings,
    derived,
)

__all__ = ["DEFAULT_SCHEMAS", "INTERNAL_SCHEMAS", "LIVE_SWITCHES", "OFFLINE_SWITCHES", "PAUSES", "SWITCHES"]
__all__ += ["Settings", "derived"]

BY_NAME = {setting.name: setting for group in TABLE.values() for setting in group}


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises SettingsError naming every variable that is missing or wrong.

    With ECOTRIPS_ENV=production that is also whatever is not fit for production (docs/security.md).
    """
    given = Environment(environ, production=is_production(environ))
    settings = _read(given)
    given.require_sound()
    return settings


def declared(environ: Mapping[str, str], *, production: bool) -> Environment:
    """Every setting that is read, with what is given and its faults: nothing is raised."""
    given = Environment(environ, production=production)
    _read(given)
    return given


def faults_in_production(environ: Mapping[str, str]) -> list[str]:
    """What from_environment would refuse if this were production."""
    return declared(environ, production=True).all_faults()


def is_production(environ: Mapping[str, str]) -> bool:
    """What ECOTRIPS_ENV says. Raises SettingsError for a word that it does not know."""
    return bool(_alone(environ, BY_NAME["ECOTRIPS_ENV"]))


def port(environ: Mapping[str, str]) -> int:
    """Where to listen, before anything else is read. Raises SettingsError."""
    return int(_alone(environ, BY_NAME["PORT"]))


def programs(environ: Mapping[str, str], wanted: str = "") -> Path | None:
    """POSTGRES_BIN, which has to hold the `wanted` program; None when it is not set. Raises SettingsError."""
    folder: Path | None = _alone(environ, replace(BY_NAME["POSTGRES_BIN"], kind=folder_with(wanted)))
    return folder


def embedded_place(environ: Mapping[str, str]) -> tuple[Path, int | None]:
    """The embedded PostgreSQL's folder, and the port that it listens on beside its socket. Raises SettingsError."""
    return _alone(environ, BY_NAME["DATA_DIR"]), _alone(environ, BY_NAME["POSTGRES_PORT"]) or None


def _alone(environ: Mapping[str, str], setting: Setting[T]) -> T:
    given = Environment(environ, production=False)
    found = given.read(setting)
    given.require_sound()
    return found


def _read(given: Environment) -> Settings:
    values: dict[str, Any] = {name: given.read(setting) for name, setting in BY_NAME.items()}
    settings = Settings(
        **{found.name: values[found.metadata["setting"].name] for found in fields(Settings) if found.metadata},
        traced=any(values[f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT"] for kind in ("", "TRACES_")),
        switches={name: values[name] for name in SWITCHES},
    )
    if not given.production:
        return settings
    with suppress(OSError):
        given.foreign("the secret of the demo (jwt_secret in DATA_DIR)", (settings.data_dir / "jwt_secret").read_text())
    for secret in filter(None, settings.jwt_secrets):
        for purpose in (PRIVACY, LINKS, ADDRESSES):
            given.foreign("a value derived from JWT_SECRET", derived(secret, purpose))
    for login in LOGINS:
        given.foreign("a password derived from DATABASE_ROLE_SECRET", derived(settings.database_role_secret, login))
    return settings
