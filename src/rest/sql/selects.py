"""Trees of queries and their sources, made of the expressions of `nodes`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlglot import exp

from src.rest.catalog.model import Name, TypeName
from src.rest.sql.nodes import Node, Query, bare, data_type, equal, identifier

Join = exp.Join


def table(name: Name | str, as_name: str | None = None) -> Node:
    """A relation, or a common table expression by its bare name."""
    db = None if isinstance(name, str) else identifier(name.schema)
    bare_name = name if isinstance(name, str) else name.name
    return exp.Table(this=identifier(bare_name), db=db, alias=_table_alias(as_name))


def function_table(function: Node, as_name: str) -> Node:
    return exp.Table(this=function, alias=_table_alias(as_name))


def record_table(function: Node, as_name: str, columns: Iterable[tuple[str, TypeName]]) -> Node:
    """`function AS as_name(column type, …)`."""
    definitions = [exp.ColumnDef(this=identifier(name), kind=data_type(type_name)) for name, type_name in columns]
    return exp.Table(this=function, alias=exp.TableAlias(this=identifier(as_name), columns=definitions))


def subquery(query: Node, as_name: str) -> Node:
    return exp.Subquery(this=query, alias=_table_alias(as_name))


def lateral(query: Node, as_name: str) -> Node:
    return exp.Lateral(this=exp.Subquery(this=query), alias=_table_alias(as_name))


def lateral_table(function: Node, as_name: str) -> Node:
    return exp.Lateral(this=function, alias=_table_alias(as_name))


def _table_alias(name: str | None) -> exp.TableAlias | None:
    return None if name is None else exp.TableAlias(this=identifier(name))


def join(source: Node, kind: str, on: Node | None = None) -> Join:
    """`kind` is left, inner or cross."""
    if kind == "cross":
        return exp.Join(this=source, kind="CROSS")
    return exp.Join(
        this=source, side="LEFT" if kind == "left" else None, kind=None if kind == "left" else "INNER", on=on
    )


def select(
    fields: Sequence[Node],
    source: Node | None = None,
    *,
    joins: Sequence[Join] = (),
    where: Sequence[Node] = (),
    group: Sequence[Node] = (),
    order: Sequence[Node] = (),
    limit: Node | None = None,
    offset: Node | None = None,
    distinct: bool = False,
) -> Query:
    """A whole SELECT from its parts."""
    query = exp.Select(expressions=list(fields))
    if source is not None:
        query.set("from_", exp.From(this=source))
    query.set("joins", list(joins))
    if where:
        query.set("where", exp.Where(this=_all(where)))
    if group:
        query.set("group", exp.Group(expressions=list(group)))
    if order:
        query.set("order", exp.Order(expressions=list(order)))
    if limit is not None:
        query.set("limit", exp.Limit(expression=limit))
    if offset is not None:
        query.set("offset", exp.Offset(expression=offset))
    if distinct:
        query.set("distinct", exp.Distinct())
    return query


def _all(conditions: Sequence[Node]) -> Node:
    result = conditions[0]
    for condition in conditions[1:]:
        result = exp.And(this=result, expression=condition)
    return result


def with_tables(query: Query, tables: Sequence[tuple[str, Node]], *, materialized: bool = False) -> Query:
    """Put common table expressions before a query."""
    expressions = [
        exp.CTE(this=node, alias=exp.TableAlias(this=identifier(name)), materialized=materialized or None)
        for name, node in tables
    ]
    query.set("with_", exp.With(expressions=expressions))
    return query


def insert(
    target: Name,
    columns: Sequence[str],
    source: Node,
    returning: Sequence[Node],
    conflict: exp.OnConflict | None = None,
) -> Node:
    relation = table(target)
    into = exp.Schema(this=relation, expressions=[identifier(name) for name in columns]) if columns else relation
    return exp.Insert(
        this=into, expression=source, conflict=conflict, returning=exp.Returning(expressions=list(returning))
    )


def on_conflict(keys: Sequence[str], updated: Sequence[str], where: Node | None) -> exp.OnConflict:
    """DO UPDATE of `updated` columns to the new values, DO NOTHING when there are none."""
    conflict_keys = [identifier(name) for name in keys]
    if not updated:
        return exp.OnConflict(action=exp.var("DO NOTHING"), conflict_keys=conflict_keys)
    assignments = [
        equal(bare(name), exp.Column(this=identifier(name), table=identifier("excluded"))) for name in updated
    ]
    condition = None if where is None else exp.Where(this=where)
    return exp.OnConflict(
        action=exp.var("DO UPDATE"), conflict_keys=conflict_keys, expressions=assignments, where=condition
    )


def update(
    target: Name,
    assignments: Sequence[tuple[str, Node]],
    source: Node,
    where: Sequence[Node],
    returning: Sequence[Node],
) -> Node:
    return exp.Update(
        this=table(target),
        expressions=[equal(bare(name), value) for name, value in assignments],
        from_=exp.From(this=source),
        where=exp.Where(this=_all(where)) if where else None,
        returning=exp.Returning(expressions=list(returning)),
    )


def delete(target: Name, where: Sequence[Node], returning: Sequence[Node]) -> Node:
    return exp.Delete(
        this=table(target),
        where=exp.Where(this=_all(where)) if where else None,
        returning=exp.Returning(expressions=list(returning)),
    )


def limit(node: Node) -> exp.Limit:
    return exp.Limit(expression=node)


def add_condition(query: Query, condition: Node) -> None:
    """Add a condition to a query."""
    where = query.args.get("where")
    query.set("where", exp.Where(this=_all([where.this, condition]) if where else condition))
