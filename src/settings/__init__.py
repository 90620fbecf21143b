"""Settings: what each is, said once (table.py), what production refuses, and how the environment is read."""

from src.settings.environment import (
    declared,
    embedded_place,
    faults_in_production,
    from_environment,
    is_production,
    port,
    programs,
)
from src.settings.table import (
    DEFAULT_SCHEMAS,
    INTERNAL_SCHEMAS,
    LIVE_SWITCHES,
    OFFLINE_SWITCHES,
    PAUSES,
    SWITCHES,
    Settings,
    derived,
)

__all__ = [
    "DEFAULT_SCHEMAS",
    "INTERNAL_SCHEMAS",
    "LIVE_SWITCHES",
    "OFFLINE_SWITCHES",
    "PAUSES",
    "SWITCHES",
    "Settings",
    "declared",
    "derived",
    "embedded_place",
    "faults_in_production",
    "from_environment",
    "is_production",
    "port",
    "programs",
]
