"""What the database offers, as read from its catalogs: relations, keys, functions, types, media handlers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class Name(NamedTuple):
    """A schema-qualified name."""

    schema: str
    name: str


class TypeName(NamedTuple):
    """A type under its catalog name (`pg_catalog.int4`), so that no parameter of it can cut a value."""

    schema: str
    name: str

    @property
    def array(self) -> TypeName:
        return TypeName(self.schema, f"_{self.name}")


TEXT = TypeName("pg_catalog", "text")
JSON = TypeName("pg_catalog", "json")
JSONB = TypeName("pg_catalog", "jsonb")


@dataclass(frozen=True, slots=True)
class Column:
    """`base` is the type under all domains, `type` the declared one; `shown_type` is how SQL writes it.

    `function` is what computes a field that no table has.
    """

    name: str
    type: TypeName
    base: TypeName
    array: TypeName | None
    shown_type: str
    nullable: bool = True
    default: str | None = None
    description: str | None = None
    max_length: int | None = None
    enum: tuple[str, ...] = ()
    function: Name | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table, view, materialized view, foreign or partitioned table.

    `seers` are the roles that are sure to see all of its rows, None where everybody who may read it does. Before a
    `guarded` one is read the caller has to pass Configuration.guard.
    """

    name: Name
    columns: Mapping[str, Column]
    primary_key: tuple[str, ...] = ()
    is_view: bool = False
    insertable: bool = True
    updatable: bool = True
    deletable: bool = True
    description: str | None = None
    seers: frozenset[str] | None = None
    guarded: bool = False


class Cardinality(Enum):
    """How rows of a table relate to rows of the foreign table."""

    MANY_TO_ONE = "many-to-one"
    ONE_TO_MANY = "one-to-many"
    ONE_TO_ONE = "one-to-one"
    MANY_TO_MANY = "many-to-many"
    COMPUTED_ONE = "computed-to-one"
    COMPUTED_MANY = "computed-to-many"


@dataclass(frozen=True, slots=True)
class Junction:
    """The table between a many-to-many pair; column pairs are (end's column, junction's column)."""

    table: Name
    constraint: str
    far_constraint: str
    near: tuple[tuple[str, str], ...]
    far: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Relationship:
    """From `table` to `foreign`; `columns` are pairs (own column, foreign column)."""

    table: Name
    foreign: Name
    cardinality: Cardinality
    constraint: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    junction: Junction | None = None
    function: Name | None = None
    table_is_view: bool = False
    foreign_is_view: bool = False
    is_parent: bool = False

    @property
    def is_self(self) -> bool:
        return self.table == self.foreign

    @property
    def to_one(self) -> bool:
        return self.cardinality in (Cardinality.MANY_TO_ONE, Cardinality.ONE_TO_ONE, Cardinality.COMPUTED_ONE)


@dataclass(frozen=True, slots=True)
class Parameter:
    """An input parameter of a function."""

    name: str
    type: TypeName
    shown_type: str
    required: bool = True
    variadic: bool = False


class Returns(Enum):
    """The shape of a function's result."""

    VOID = "void"
    SCALAR = "scalar"
    COMPOSITE = "composite"
    SET_OF_SCALAR = "set of scalar"
    SET_OF_COMPOSITE = "set of composite"

    @property
    def single(self) -> bool:
        return self in (Returns.VOID, Returns.SCALAR, Returns.COMPOSITE)

    @property
    def scalar(self) -> bool:
        return self in (Returns.VOID, Returns.SCALAR, Returns.SET_OF_SCALAR)


@dataclass(frozen=True, slots=True)
class Routine:
    """A function. `table` is the composite type it returns, `columns` that type's or the OUT parameters' columns.

    `columns` is None for what is known only when it runs (record without OUT parameters).
    """

    name: Name
    parameters: tuple[Parameter, ...]
    returns: Returns
    table: Name
    columns: Mapping[str, Column] | None
    volatility: str = "v"
    description: str | None = None
    isolation: str | None = None
    settings: tuple[tuple[str, str], ...] = ()
    oid: int = 0


@dataclass(frozen=True, slots=True)
class MediaHandler:
    """What makes a media type: the aggregate `function`, or the type a function's own result already has."""

    function: Name
    media: str
    by_type: bool = False


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that planning needs. `computed` are fields by table, `casts` types by the name a client may write.

    `representations` are the functions that turn (source type, target type); `handlers` are keyed by target relation
    (None for any) and media type.
    """

    tables: Mapping[Name, Table] = field(default_factory=dict)
    relationships: Mapping[tuple[Name, str], tuple[Relationship, ...]] = field(default_factory=dict)
    routines: Mapping[Name, tuple[Routine, ...]] = field(default_factory=dict)
    computed: Mapping[Name, Mapping[str, Column]] = field(default_factory=dict)
    representations: Mapping[tuple[TypeName, TypeName], Name] = field(default_factory=dict)
    handlers: Mapping[tuple[Name | None, str], MediaHandler] = field(default_factory=dict)
    casts: Mapping[str, TypeName] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    role_settings: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
