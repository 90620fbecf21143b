"""Logic trees: `and`, `or` and their negations over filters, nested to any depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from src.edge.limits import SERVICE
from src.rest.query.filters import (
    PLAIN_OPERATORS,
    Operation,
    closing,
    comma,
    list_element,
    list_element_quoted,
    negated,
    opening,
    operation,
    plain_operator,
)
from src.rest.query.grammar import NAME, parse_logic_path
from src.rest.query.parsing import (
    Parser,
    Result,
    Steps,
    attempt,
    counted,
    either,
    inside,
    label,
    matching,
    parse_cached,
    separated1,
    sequence,
    shortcut,
    string,
)
from src.rest.query.plan import Condition, Field, Filter, Logic, Path
from src.rest.query.tokens import delimiter, field


class RawFilter(NamedTuple):
    """A filter inside a logic tree, its values still in place."""

    field: Field
    operation: Operation


class RawLogic(NamedTuple):
    operator: str
    parts: tuple[RawFilter | RawLogic, ...]
    negated: bool


array_items = matching("[^{}]*")


@sequence
def array_in_braces() -> Steps[str]:
    yield string("{")
    items: str = yield array_items
    yield string("}")
    return f"{{{items}}}"


logic_value = either(attempt(list_element_quoted), attempt(array_in_braces), list_element)
logic_operation = operation(logic_value)


@sequence
def logic_filter() -> Steps[RawFilter]:
    column: Field = yield field
    yield delimiter
    parsed: Operation = yield logic_operation
    return RawFilter(column, parsed)


def logic_tree(text: str, at: int) -> Result[RawFilter | RawLogic]:
    """A filter or a nested expression. It is a function because the rule is recursive."""
    return _logic_tree(text, at)


negated_logic = label(negated, "negation operator (not)")
logic_operator = label(either(attempt(string("and")), string("or")), "logic operator (and, or)")
logic_parts = inside(separated1(logic_tree, comma))


@sequence
def logic_expression() -> Steps[RawLogic]:
    negates: bool = yield negated_logic
    operator: str = yield logic_operator
    yield opening
    parts: list[RawFilter | RawLogic] = yield logic_parts
    yield closing
    return RawLogic(operator, tuple(parts), negates)


_logic_tree: Parser[RawFilter | RawLogic] = counted(
    shortcut(
        rf"({NAME})\.((?:not\.)?(?:{'|'.join(PLAIN_OPERATORS)}))\.((?![\"{{])[^,)]++)(?=[,)])",
        lambda found: RawFilter(Field(found[1]), Operation(plain_operator(found[2]), found[3])),
        either(attempt(logic_filter), logic_expression),
    )
)


def parse_logic(key: str, text: str, max_terms: int = SERVICE.terms) -> tuple[Path, RawLogic]:
    """A logic tree and the embedded resource it applies to. Raises Syntax, TooMany, TooLong."""
    path, operator = parse_logic_path(key, max_terms)
    tree = parse_cached(_logic_tree, f"failed to parse logic tree ({text})", operator + text, max_terms)
    return path, tree if isinstance(tree, RawLogic) else RawLogic("and", (tree,), False)


def groups_in(node: RawFilter | RawLogic) -> int:
    """The number of nested expressions."""
    if isinstance(node, RawFilter):
        return 0
    return sum([isinstance(part, RawLogic) + groups_in(part) for part in node.parts])


def numbered_tree(node: RawFilter | RawLogic, number: Callable[[Field, Operation], Filter]) -> Condition:
    """The tree with its filters' values replaced by positions, as `number` makes them."""
    if isinstance(node, RawLogic):
        return Logic(node.operator, tuple(numbered_tree(part, number) for part in node.parts), node.negated)
    return number(node.field, node.operation)
