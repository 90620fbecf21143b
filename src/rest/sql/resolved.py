"""The resolved plan: names and relationships from the catalog, ready to be written as SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from src.rest.catalog.model import Column, Name, Relationship, TypeName
from src.rest.query.plan import JsonStep, Operator, Window


@dataclass(slots=True)
class Reference:
    """A field of a level. `column` is None where its type is known only at run time.

    `function` computes the field from the row; `whole_row` stands for the row itself.
    """

    name: str
    column: Column | None = None
    path: tuple[JsonStep, ...] = ()
    function: Name | None = None
    whole_row: bool = False


@dataclass(slots=True)
class Output:
    """One selected field. `label` is its key in the result, None for `*`.

    `formatter` makes its JSON; `bound` is the function that it passes through before its cast.
    """

    reference: Reference
    label: str | None
    cast: TypeName | None = None
    aggregate: str | None = None
    aggregate_cast: TypeName | None = None
    formatter: Name | None = None
    bound: Name | None = None


@dataclass(slots=True)
class Test:
    """One filter. `parser` turns the client's text into the column's domain."""

    reference: Reference
    operator: Operator
    value: int
    language: int
    parser: Name | None = None


@dataclass(slots=True)
class EmbedIsNull:
    """Whether the embedded resource is missing; negated, whether it exists."""

    embed: Embed
    negated: bool


@dataclass(slots=True)
class Tree:
    """and / or over tests."""

    operator: str
    parts: list[Condition]
    negated: bool


Condition = Test | EmbedIsNull | Tree


@dataclass(slots=True)
class Order:
    """`qualifier` is that of an embedded resource, None for the level itself."""

    reference: Reference
    direction: str | None
    nulls: str | None
    qualifier: str | None = None


@dataclass(slots=True)
class SpreadField:
    """A field lifted from a spread embed into its parent; `bound` as that of an embed."""

    name: str
    label: str | None = None
    aggregate: str | None = None
    aggregate_cast: TypeName | None = None
    bound: Name | None = None


@dataclass(slots=True)
class Level:
    """One SELECT: the root or an embedded resource.

    `qualifier` qualifies its columns. `source` names a common table expression instead of `relation`. `repeats` means
    that a row may be shown more than once.
    """

    relation: Name
    qualifier: str
    columns: Mapping[str, Column] | None
    source: str | None = None
    outputs: list[Output] = field(default_factory=list)
    embeds: list[Embed] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    window: Window | None = None
    distinct: bool = False
    depth: int = 0
    repeats: bool = False


@dataclass(slots=True)
class Embed:
    """An embedded resource and its place in the parent.

    `alias` names its joined rows, `parent` is the parent's qualifier, `parent_relation` the parent's relation. `bound`
    is the function that bounds the list of its rows (Configuration), `counted` the same where each row counts.
    """

    level: Level
    relationship: Relationship
    name: str
    label: str
    alias: str
    parent: str
    parent_relation: Name
    inner: bool = False
    spread: bool = False
    bound: Name | None = None
    counted: Name | None = None
    fields: list[SpreadField] = field(default_factory=list)
    array_order: list[Order] = field(default_factory=list)
    hidden: list[tuple[Order, str]] = field(default_factory=list)

    @property
    def spreads_many(self) -> bool:
        return self.spread and not self.relationship.to_one

    @property
    def empty(self) -> bool:
        """Whether nothing of it is shown, because it is joined for filters only."""
        return not self.level.outputs and all(embed.empty for embed in self.level.embeds)
