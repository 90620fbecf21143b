"""The REST engine: PostgREST's interface over any PostgreSQL. This is its public module."""

from src.rest.asgi.application import Admit, RestApplication
from src.rest.asgi.information import Information
from src.rest.catalog.model import Name
from src.rest.errors import RestError
from src.rest.ports import Identity, RestEngine
from src.rest.protocol.request import ActionKind, Configuration, Request, route
from src.rest.run.service import service_engine

__all__ = [
    "ActionKind",
    "Admit",
    "Configuration",
    "Identity",
    "Information",
    "Name",
    "Request",
    "RestApplication",
    "RestEngine",
    "RestError",
    "route",
    "service_engine",
]
