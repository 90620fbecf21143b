"""The service's endpoints as they are declared, for tests that walk all of them."""

from __future__ import annotations

from src.app import endpoints_of
from src.composition import compose
from src.http.endpoint import Endpoint
from tests import postgres


def declared() -> list[Endpoint]:
    """They are the same whatever the database holds, and nothing asks one."""
    return endpoints_of(compose(postgres.settings("postgresql://nobody@127.0.0.1:9/none")))
