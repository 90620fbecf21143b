"""An HTTP request, and the action that it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from src.edge.body import first_of_each
from src.edge.limits import too_long
from src.rest.catalog.model import Name
from src.rest.errors import RestError, bad_path, no_root, too_long_name
from src.rest.protocol.media import MediaType
from src.rest.protocol.payload import Payload
from src.rest.protocol.preferences import Preferences
from src.rest.query.query_string import Query

WRITES = frozenset({"POST", "PATCH", "PUT", "DELETE"})


class ActionKind(Enum):
    """The kind of an action."""

    READ = "read"
    CREATE = "create"
    UPDATE = "update"
    UPSERT = "upsert"
    DELETE = "delete"
    CALL = "call"
    ROOT = "root"
    RELATION_INFO = "relation info"
    ROUTINE_INFO = "routine info"
    ROOT_INFO = "root info"


RELATION_KINDS = {
    "GET": ActionKind.READ,
    "HEAD": ActionKind.READ,
    "POST": ActionKind.CREATE,
    "PATCH": ActionKind.UPDATE,
    "PUT": ActionKind.UPSERT,
    "DELETE": ActionKind.DELETE,
    "OPTIONS": ActionKind.RELATION_INFO,
    "QUERY": ActionKind.READ,
}
ROUTINE_KINDS = {
    "GET": ActionKind.CALL,
    "HEAD": ActionKind.CALL,
    "POST": ActionKind.CALL,
    "OPTIONS": ActionKind.ROUTINE_INFO,
    "QUERY": ActionKind.CALL,
}
ROOT_KINDS = {"GET": ActionKind.ROOT, "HEAD": ActionKind.ROOT, "OPTIONS": ActionKind.ROOT_INFO}


@dataclass(frozen=True, slots=True)
class Configuration:
    """How the engine serves a database.

    `dotted_names` lets `schema.relation` in the path name an exposed schema. `max_rows` caps pages of reads and calls.
    `transaction_end` is commit or rollback, `may_end_transaction` lets `Prefer: tx=` choose. `openapi` is
    follow-privileges, ignore-privileges or disabled. `bound` is the function that every list of embedded rows passes
    through whose rows may stand in an answer more than once: from jsonb to the same jsonb, or it raises. `cast_bound`
    does the same for fields before a cast that may make them longer. `guard` is a function that raises for who may not
    read a table with a policy of its name.
    """

    schemas: tuple[str, ...] = ("public",)
    extra_search_path: tuple[str, ...] = ("public",)
    dotted_names: bool = False
    max_rows: int | None = None
    aggregates: bool = False
    plans: bool = False
    openapi: str = "follow-privileges"
    openapi_server_uri: str = ""
    openapi_security: bool = False
    root_spec: Name | None = None
    pre_request: Name | None = None
    transaction_end: str = "commit"
    may_end_transaction: bool = False
    legacy_names: bool = True
    minimal_errors: bool = False
    app_settings: tuple[tuple[str, str], ...] = ()
    anonymous_role: str | None = None
    bound: Name | None = None
    cast_bound: Name | None = None
    guard: Name | None = None


class Request:
    """`path` is decoded and below the mount; names of `headers` are in lower case; `first` is `first_of_each`."""

    __slots__ = ("body", "first", "headers", "method", "path", "raw_query")

    def __init__(
        self,
        method: str,
        path: str,
        raw_query: bytes = b"",
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
    ) -> None:
        self.method = method
        self.path = path
        self.raw_query = raw_query
        self.headers = headers
        self.body = body
        self.first = first_of_each(headers)

    def header(self, name: bytes) -> str | None:
        """The first of this name."""
        value = self.first.get(name)
        return None if value is None else text_of(value)

    def all(self, name: bytes) -> list[str]:
        return [text_of(value) for key, value in self.headers if key == name] if name in self.first else []


def text_of(raw: bytes) -> str:
    """A header's value; bytes that are no UTF-8 are taken as Latin-1."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


class Action(NamedTuple):
    """`name` is the relation or function; `negotiated` when the schema was chosen among several."""

    kind: ActionKind
    name: Name
    head: bool = False
    by_get: bool = False
    negotiated: bool = False


class Job(NamedTuple):
    """A request read in full: everything but what the database knows."""

    request: Request
    action: Action
    query: Query
    preferences: Preferences
    accept: tuple[MediaType, ...]
    content: MediaType
    payload: Payload | None = None


def route(configuration: Configuration, request: Request) -> Action:
    """The action a request asks for. Raises RestError for a path, method or schema that is not served.

    Names longer than any of Postgres's are refused first: nothing is searched for them.
    """
    # A final slash begins an empty part, which is no relation's name.
    path = request.path.removeprefix("/")
    parts = path.split("/") if path else []
    method = request.method
    head, by_get = method == "HEAD", method in ("GET", "HEAD", "QUERY")
    if parts and parts[0] == "rpc" and len(parts) == 2:  # noqa: PLR2004 - rpc/name
        schema, name, negotiated = _schema(configuration, request, parts[1])
        if method not in ROUTINE_KINDS:
            raise RestError(405, "PGRST101", f"Cannot use the {method} method on RPC")
        return Action(ROUTINE_KINDS[method], Name(schema, name), head, by_get, negotiated)
    if len(parts) > 1:
        raise bad_path()
    if not parts and configuration.openapi == "disabled":
        raise no_root()
    schema, name, negotiated = _schema(configuration, request, parts[0] if parts else "")
    if not parts and configuration.root_spec is not None and method in ROUTINE_KINDS:
        return Action(ROUTINE_KINDS[method], Name(schema, configuration.root_spec.name), head, by_get, negotiated)
    kind = (RELATION_KINDS if parts else ROOT_KINDS).get(method)
    if kind is None:
        raise RestError(405, "PGRST117", f"Unsupported HTTP method: {method}")
    return Action(kind, Name(schema, name), head, by_get, negotiated)


def _schema(configuration: Configuration, request: Request, name: str) -> tuple[str, str, bool]:
    """The schema, the name in it, and whether a schema was negotiated. Raises RestError PGRST106."""
    schemas = configuration.schemas
    if configuration.dotted_names:
        schema, dot, rest = name.partition(".")
        if dot and schema in schemas:
            return schema, _name(rest), True
    profile = request.header(b"content-profile" if request.method in WRITES else b"accept-profile")
    if profile is None:
        return schemas[0], _name(name), len(schemas) > 1
    if _name(profile) not in schemas:
        raise RestError(
            406,
            "PGRST106",
            f"Invalid schema: {profile}",
            hint=f"Only the following schemas are exposed: {', '.join(schemas)}",
        )
    return profile, _name(name), True


def _name(text: str) -> str:
    if too_long(text):
        raise too_long_name()
    return text
