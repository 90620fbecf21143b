"""The grammar of `select`, `order`, `columns` and the paths of filters.

Rules and their names follow PostgREST's reference; the labels in messages are its own words, so they are not ours to
improve.
"""

from __future__ import annotations

import re

from src.edge.limits import MAX_NAME_LENGTH, SERVICE
from src.rest.query.parsing import (
    Parser,
    Steps,
    TooMany,
    attempt,
    char,
    counted,
    either,
    end,
    inside,
    look_ahead,
    mapped,
    maybe,
    not_followed_by,
    nothing,
    optional,
    parse_cached,
    separated,
    separated1,
    sequence,
    shortcut,
    string,
)
from src.rest.query.plan import Field, JsonStep, OrderTerm, Path, SelectEmbed, SelectField, SelectItem
from src.rest.query.tokens import delimiter, field, field_name, identifier, json_path, lexeme

# The usual form of names.
NAME = f"[A-Za-z_][A-Za-z0-9_]{{0,{MAX_NAME_LENGTH - 1}}}+"
JOINS = ("left", "inner")
AGGREGATES = ("sum", "avg", "count", "max", "min")


@sequence
def alias_separator() -> Steps[None]:
    yield char(":")
    yield not_followed_by(char(":"))


@sequence
def alias() -> Steps[str]:
    name: str = yield field_name
    yield alias_separator
    return name


@sequence
def cast() -> Steps[str]:
    yield string("::")
    name: str = yield identifier
    return name


@sequence
def aggregate_call() -> Steps[str]:
    yield char(".")
    name: str = yield either(*(attempt(string(name)) for name in AGGREGATES))
    yield string("()")
    return name


select_end = either(attempt(look_ahead(string(")"))), attempt(look_ahead(string(","))), attempt(end))


@sequence
def star() -> Steps[SelectField]:
    yield string("*")
    yield select_end
    return SelectField(Field("*"))


@sequence
def count_rows() -> Steps[SelectField]:
    name: str | None = yield maybe(attempt(alias))
    yield string("count()")
    aggregate_cast: str | None = yield maybe(cast)
    yield select_end
    return SelectField(Field("*"), name, None, "count", aggregate_cast)


@sequence
def select_column() -> Steps[SelectField]:
    name: str | None = yield maybe(attempt(alias))
    column: Field = yield field
    column_cast: str | None = yield maybe(cast)
    aggregate: str | None = yield maybe(attempt(aggregate_call))
    aggregate_cast: str | None = yield maybe(cast)
    yield select_end
    return SelectField(column, name, column_cast, aggregate, aggregate_cast)


select_field = lexeme(either(attempt(star), attempt(count_rows), select_column))


@sequence
def embed_parameter() -> Steps[tuple[str, str]]:
    yield char("!")
    parameter: tuple[str, str] = yield either(
        attempt(mapped(string("left"), lambda word: ("join", word))),
        attempt(mapped(string("inner"), lambda word: ("join", word))),
        attempt(mapped(field_name, lambda word: ("hint", word))),
    )
    return parameter


@sequence
def embed_target() -> Steps[SelectEmbed]:
    name: str = yield field_name
    first: tuple[str, str] | None = yield maybe(embed_parameter)
    second: tuple[str, str] | None = yield maybe(embed_parameter)
    yield attempt(look_ahead(string("(")))
    # Of two hints or joins the first counts.
    parameters = dict(filter(None, (second, first)))
    return SelectEmbed(name, hint=parameters.get("hint"), join=parameters.get("join"))


@sequence
def spread_head() -> Steps[SelectEmbed]:
    yield string("...")
    target: SelectEmbed = yield embed_target
    return SelectEmbed(target.name, hint=target.hint, join=target.join, spread=True)


@sequence
def embed_head() -> Steps[SelectEmbed]:
    name: str | None = yield maybe(attempt(alias))
    target: SelectEmbed = yield embed_target
    if target.name == "count":
        yield nothing
    return SelectEmbed(target.name, alias=name, hint=target.hint, join=target.join)


def _to_head(found: re.Match[str]) -> SelectEmbed:
    spread, name, target, word = found.groups()
    hint, join = (None, word) if word in JOINS else (word, None)
    return SelectEmbed(target, (), name, hint, join, spread is not None)


any_embed_head: Parser[SelectEmbed] = shortcut(
    rf"(?:(\.\.\.)|({NAME}):)?(?!count\()({NAME})(?:!({NAME}))?(?=\()",
    _to_head,
    either(attempt(lexeme(spread_head)), attempt(lexeme(embed_head))),
)


@sequence
def embed() -> Steps[SelectEmbed]:
    head: SelectEmbed = yield any_embed_head
    yield char("(")
    items: list[SelectItem] = yield embedded_items
    yield char(")")
    return SelectEmbed(head.name, tuple(items), head.alias, head.hint, head.join, head.spread)


@sequence
def select_items() -> Steps[list[SelectItem]]:
    items: list[SelectItem] = yield separated(select_item, lexeme(char(",")))
    return items


embedded_items = inside(select_items)
select_item: Parser[SelectItem] = counted(
    shortcut(
        rf"(?:(?:({NAME}):(?!:))?({NAME})(?:::({NAME}))?|\*)(?=[,)])",
        lambda found: SelectField(Field(found[2] or "*"), found[1], found[3]),
        either(embed, select_field),
    )
)


def _after_dot(word: str) -> Parser[str]:
    @sequence
    def parse() -> Steps[str]:
        yield delimiter
        yield string(word)
        return word

    return attempt(parse)


order_end = either(attempt(look_ahead(char(","))), attempt(end))


@sequence
def order_rest() -> Steps[tuple[str | None, str | None]]:
    towards: str | None = yield maybe(either(_after_dot("asc"), _after_dot("desc")))
    nulls: str | None = yield maybe(either(_after_dot("nullsfirst"), _after_dot("nullslast")))
    yield order_end
    return towards, nulls


@sequence
def order_by_field() -> Steps[OrderTerm]:
    column: Field = yield field
    towards, nulls = yield order_rest
    return OrderTerm(column, None, towards, nulls)


@sequence
def order_by_embed() -> Steps[OrderTerm]:
    relation: str = yield field_name
    yield char("(")
    column: Field = yield field
    yield char(")")
    towards, nulls = yield order_rest
    return OrderTerm(column, relation, towards, nulls)


order_term = counted(
    shortcut(
        rf"({NAME})(?:\.(asc|desc))?(?:\.(nullsfirst|nullslast))?(?=,)",
        lambda found: OrderTerm(Field(found[1]), None, found[2], found[3]),
        lexeme(either(attempt(order_by_embed), order_by_field)),
    )
)
order_terms = separated1(order_term, char(","))


dotted: Parser[tuple[str, ...]] = mapped(separated1(counted(field_name), delimiter), tuple)


@sequence
def other_tree_path() -> Steps[tuple[Path, Field]]:
    names: tuple[str, ...] = yield dotted
    path: list[JsonStep] = yield optional(json_path, [])
    return names[:-1], Field(names[-1], tuple(path))


def _to_field(path: re.Match[str]) -> tuple[Path, Field]:
    *names, last = path[0].split(".")
    return tuple(names), Field(last)


tree_path: Parser[tuple[Path, Field]] = shortcut(rf"{NAME}(?:\.{NAME})*+\Z", _to_field, other_tree_path)
listed: Parser[tuple[str, ...]] = shortcut(
    rf"{NAME}(?:,{NAME})*+\Z",
    lambda found: tuple(found[0].split(",")),
    mapped(separated1(counted(field_name), lexeme(char(","))), tuple),
)
selected: Parser[tuple[SelectItem, ...]] = mapped(select_items, tuple)
ordered: Parser[tuple[OrderTerm, ...]] = mapped(order_terms, tuple)


def _require_few(text: str, max_terms: int) -> None:
    """Raises TooMany early: each comma or arrow outside of quotes begins a term."""
    if '"' not in text and text.count(",") + text.count("->") >= max_terms:
        raise TooMany


def parse_select(text: str, max_terms: int = SERVICE.terms) -> tuple[SelectItem, ...]:
    """The items of `select`. Raises Syntax, TooMany and TooLong, as do the others."""
    _require_few(text, max_terms)
    return parse_cached(selected, f"failed to parse select parameter ({text})", text, max_terms)


def parse_order(text: str, max_terms: int = SERVICE.terms) -> tuple[OrderTerm, ...]:
    _require_few(text, max_terms)
    return parse_cached(ordered, f"failed to parse order ({text})", text, max_terms)


def parse_tree_path(text: str, max_terms: int = SERVICE.terms) -> tuple[Path, Field]:
    return parse_cached(tree_path, f"failed to parse tree path ({text})", text, max_terms)


def parse_logic_path(text: str, max_terms: int = SERVICE.terms) -> tuple[Path, str]:
    """The embedded resource a logic tree applies to, and `and`, `or` or their negations."""
    names = parse_cached(dotted, f"failed to parse logic path ({text})", text, max_terms)
    operator = f"not.{names[-1]}" if "not" in names else names[-1]
    return tuple(name for name in names[:-1] if name != "not"), operator


def parse_columns(parameter: str, text: str, max_terms: int = SERVICE.terms) -> tuple[str, ...]:
    _require_few(text, max_terms)
    return parse_cached(listed, f"failed to parse {parameter} parameter ({text})", text, max_terms)
