"""Trees of SQL expressions. Only this module and selects know sqlglot, so that its traps are met in one place.

Every identifier is quoted, every type is a catalog name, every function name comes from the catalog or from here, and
every value is a numbered parameter bound as text and cast by the server: `CAST(CAST($1 AS text) AS type)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from sqlglot import exp

from src.rest.catalog.model import TEXT, Name, TypeName
from src.rest.query.plan import JsonStep

Node = exp.Expr
Query = exp.Select

MAX_NAME_LENGTH, KEPT_OF_LONG = 63, 47
OPERATORS: dict[str, type[exp.Binary]] = {
    "eq": exp.EQ,
    "neq": exp.NEQ,
    "gt": exp.GT,
    "gte": exp.GTE,
    "lt": exp.LT,
    "lte": exp.LTE,
    "like": exp.Like,
    "ilike": exp.ILike,
    "match": exp.RegexpLike,
    "imatch": exp.RegexpILike,
    "cs": exp.ArrayContainsAll,
    "cd": exp.ArrayContainedBy,
    "ov": exp.ArrayOverlaps,
    "sl": exp.BitwiseLeftShift,
    "sr": exp.BitwiseRightShift,
    "nxr": exp.ExtendsLeft,
    "nxl": exp.ExtendsRight,
    "adj": exp.Adjacent,
    "isdistinct": exp.NullSafeNEQ,
}
CONSTANTS: dict[str, Node] = {
    "null": exp.Null(),
    "not_null": exp.Not(this=exp.Null()),
    "true": exp.Boolean(this=True),
    "false": exp.Boolean(this=False),
    "unknown": exp.Var(this="UNKNOWN"),
}


class Slot(NamedTuple):
    """Where a parameter's value comes from when the statement runs: a kind, and a position among its values."""

    kind: str
    position: int = 0


class Parameters:
    """Numbers the parameters of a statement; equal slots get the same number."""

    def __init__(self) -> None:
        self._numbers: dict[Slot, int] = {}

    @property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(self._numbers)

    def raw(self, slot: Slot) -> Node:
        """The bare parameter, for places with a fixed type such as LIMIT."""
        return exp.Parameter(this=exp.Literal.number(self._number(slot)))

    def text(self, slot: Slot) -> Node:
        return self.typed(slot, TEXT)

    def typed(self, slot: Slot, type_name: TypeName | None) -> Node:
        """The client's text cast to `type_name` by the server; None keeps the text."""
        # A raw text, as a tree for each of hundreds of parameters would be slow.
        text = f"CAST(${self._number(slot)} AS {_written(TEXT)})"
        if type_name is not None and type_name != TEXT:
            text = f"CAST({text} AS {_written(type_name)})"
        return exp.Var(this=text)

    def _number(self, slot: Slot) -> int:
        return self._numbers.setdefault(slot, len(self._numbers) + 1)


@lru_cache(1024)
def _written(name: TypeName) -> str:
    return text_of(data_type(name))


def text_of(node: Node) -> str:
    return node.sql(dialect="postgres", normalize_functions=False)


def identifier(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)


def column(qualifier: str, name: str) -> Node:
    """`qualifier.name`; the name `*` is every column."""
    if name == "*":
        return exp.Column(this=exp.Star(), table=identifier(qualifier))
    return exp.Column(this=identifier(name), table=identifier(qualifier))


def bare(name: str) -> Node:
    return exp.Column(this=identifier(name))


def row(qualifier: str) -> Node:
    """A whole row, as an argument: `qualifier` alone would be a column of that name where there is one."""
    return column(qualifier, "*")


def made_name(*parts: str | int) -> str:
    """A generated name, shortened to 63 bytes without becoming ambiguous."""
    name = "_".join(map(str, parts)).encode()
    if len(name) > MAX_NAME_LENGTH:
        name = name[:KEPT_OF_LONG] + sha256(name).hexdigest()[: MAX_NAME_LENGTH - KEPT_OF_LONG].encode()
    return name.decode(errors="ignore")


def star() -> Node:
    return exp.Star()


def literal(text: str) -> Node:
    """A constant of ours or of the catalog."""
    return exp.Literal.string(text)


def number(value: int) -> Node:
    return exp.Literal.number(value)


def null() -> Node:
    return exp.Null()


def true() -> Node:
    return exp.Boolean(this=True)


def false() -> Node:
    return exp.Boolean(this=False)


def data_type(name: TypeName) -> exp.DataType:
    kind = exp.Dot(this=identifier(name.schema), expression=identifier(name.name))
    return exp.DataType(this=exp.DataType.Type.USERDEFINED, kind=kind)


def cast(node: Node, to: TypeName) -> Node:
    return exp.Cast(this=node, to=data_type(to))


def cast_to_row(node: Node, table: Name) -> Node:
    return cast(node, TypeName(table.schema, table.name))


def call(name: str | Name, *arguments: Node) -> Node:
    """A function of pg_catalog by its bare name, any other by its qualified one."""
    if isinstance(name, str):
        return exp.Anonymous(this=name, expressions=list(arguments))
    function = exp.Anonymous(this=identifier(name.name), expressions=list(arguments))
    return exp.Dot(this=identifier(name.schema), expression=function)


def named_argument(name: str, value: Node, *, variadic: bool = False) -> Node:
    argument = exp.Kwarg(this=identifier(name), expression=value)
    return exp.Variadic(this=argument) if variadic else argument


def aggregate(name: str, argument: Node, order: Sequence[Node] = ()) -> Node:
    if order:
        argument = exp.Order(this=argument, expressions=list(order))
    return exp.Anonymous(this=name, expressions=[argument])


def coalesce(*nodes: Node) -> Node:
    return exp.Anonymous(this="coalesce", expressions=list(nodes))


def concatenated(*nodes: Node) -> Node:
    result = nodes[0]
    for node in nodes[1:]:
        result = exp.DPipe(this=result, expression=node)
    return result


def json_path(node: Node, path: Iterable[JsonStep]) -> Node:
    for step in path:
        arrow = exp.JSONExtractScalar if step.as_text else exp.JSONExtract
        key = exp.Literal.string(step.key) if isinstance(step.key, str) else _integer(step.key)
        node = arrow(this=node, expression=key, only_json_types=True)
    return node


def _integer(value: int) -> Node:
    literal_value = exp.Literal.number(abs(value))
    return exp.Neg(this=literal_value) if value < 0 else literal_value


def compare(operator: str, left: Node, right: Node, quantifier: str | None = None) -> Node:
    """`left operator right`, or `left operator ANY/ALL (right)`."""
    if quantifier is not None:
        right = (exp.Any if quantifier == "any" else exp.All)(this=exp.Paren(this=right))
    left = left if isinstance(left, exp.Column) else exp.Paren(this=left)
    return OPERATORS[operator](this=left, expression=right)


def matches_query(left: Node, query: Node) -> Node:
    return exp.Operator(this=left, operator="@@", expression=query)


def is_constant(node: Node, constant: str) -> Node:
    return exp.Is(this=exp.Paren(this=node), expression=CONSTANTS[constant].copy())


def is_null(node: Node, *, negated: bool = False) -> Node:
    return exp.Is(this=node, expression=CONSTANTS["not_null" if negated else "null"].copy())


def distinct_from_null(node: Node, *, negated: bool) -> Node:
    """`IS NOT DISTINCT FROM NULL` or its opposite: true for a whole row only when there is none."""
    return (exp.NullSafeEQ if negated else exp.NullSafeNEQ)(this=node, expression=exp.Null())


def equal(left: Node, right: Node) -> Node:
    return exp.EQ(this=left, expression=right)


def negate(node: Node) -> Node:
    return exp.Not(this=exp.Paren(this=node))


def joined(operator: str, nodes: Sequence[Node]) -> Node:
    """All nodes connected by `and` or `or`, in parentheses."""
    connector = exp.And if operator == "and" else exp.Or
    result = nodes[0]
    for node in nodes[1:]:
        result = connector(this=result, expression=node)
    return exp.Paren(this=result)


def exists(query: Query) -> Node:
    return exp.Exists(this=query)


def any_of_query(left: Node, query: Query) -> Node:
    return exp.EQ(this=left, expression=exp.Any(this=exp.Subquery(this=query)))


def ordered(node: Node, direction: str | None, nulls: str | None) -> Node:
    descending = direction == "desc"
    # Without nulls_first the generator writes the opposite of Postgres' default.
    nulls_first = descending if nulls is None else nulls == "nullsfirst"
    return exp.Ordered(this=node, desc=descending or (False if direction else None), nulls_first=nulls_first)


def alias(node: Node, name: str) -> Node:
    return exp.Alias(this=node, alias=identifier(name))


def case(condition: Node, then: Node, otherwise: Node) -> Node:
    return exp.Case(ifs=[exp.If(this=condition, true=then)], default=otherwise)


def scalar(query: Query) -> Node:
    """A query used as a value."""
    return exp.Subquery(this=query)


def as_text(node: Node) -> Node:
    return cast(node, TEXT)


def add(node: Node, amount: int) -> Node:
    return (exp.Add if amount >= 0 else exp.Sub)(this=node, expression=exp.Literal.number(abs(amount)))


def once(node: Node, to: TypeName) -> Node:
    """A value of type `to` that is computed once for a statement, not for each row.

    Array input depends on settings, so PostgreSQL does not treat the parameter as a constant. The cast keeps ANY from
    reading the query as one of elements.
    """
    return cast(scalar(exp.Select(expressions=[node])), to)


def catalog_expression(text: str) -> Node:
    """A column's default as Postgres wrote it, the only text that is used as it is."""
    return exp.Paren(this=exp.Var(this=text))
