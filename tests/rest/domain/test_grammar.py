"""The query language: what parses to what, and how a failure reads."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.rest.catalog.fuzzy import nearest
from src.rest.errors import RestError
from src.rest.protocol.media import Media, parse_accept, parse_media_type
from src.rest.protocol.preferences import applied, parse_preferences
from src.rest.query.filters import Operation, array_literal, operation_in, parse_operation
from src.rest.query.grammar import parse_order, parse_select
from src.rest.query.logic import parse_logic
from src.rest.query.parsing import TooLong
from src.rest.query.plan import Field, JsonStep, Operator, OrderTerm, SelectEmbed, SelectField
from src.rest.query.query_string import parse_query
from src.rest.query.ranges import RowRange, content_range, status_of, top_level
from src.rest.query.syntax import Syntax


def column(name: str, **more: str) -> SelectField:
    return SelectField(Field(name), **more)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("", ()),
        ("*", (column("*"),)),
        ("id, name ", (column("id"), column("name"))),
        ("identifier with spaces,with-dash", (column("identifier with spaces"), column("with-dash"))),
        ('a:b::text,"q.x"', (column("b", alias="a", cast="text"), column("q.x"))),
        (
            "count(),n:count()::int",
            (column("*", aggregate="count"), SelectField(Field("*"), "n", None, "count", "int")),
        ),
        ("x.sum()::int", (SelectField(Field("x"), None, None, "sum", "int"),)),
        (
            "j->a->>0::int",
            (SelectField(Field("j", (JsonStep("a"), JsonStep(0, as_text=True))), cast="int"),),
        ),
        ("j->-1", (SelectField(Field("j", (JsonStep(-1),))),)),
        ("r(*)", (SelectEmbed("r", (column("*"),)),)),
        ("a:r!h!inner(x),...s()", (SelectEmbed("r", (column("x"),), "a", "h", "inner"), SelectEmbed("s", spread=True))),
        ("r!left!h(x,y(z))", (SelectEmbed("r", (column("x"), SelectEmbed("y", (column("z"),))), None, "h", "left"),)),
    ],
)
def test_select_parses(text: str, items: tuple[object, ...]) -> None:
    assert parse_select(text) == items


def test_order_parses() -> None:
    assert parse_order("a.desc.nullslast, j->>k.asc,e(x).nullsfirst,b") == (
        OrderTerm(Field("a"), None, "desc", "nullslast"),
        OrderTerm(Field("j", (JsonStep("k", as_text=True),)), None, "asc"),
        OrderTerm(Field("x"), "e", None, "nullsfirst"),
        OrderTerm(Field("b")),
    )


@pytest.mark.parametrize(
    ("text", "operator", "value"),
    [
        ("eq.1", Operator("eq"), "1"),
        ("not.eq.a.b", Operator("eq", negated=True), "a.b"),
        ("like.*x*", Operator("like"), "%x%"),
        ("in.(1,2)", Operator("in"), '{"1","2"}'),
        ('in.("a,b",c"d,"e\\"f")', Operator("in"), '{"a,b","c\\"d","e\\"f"}'),
        ("in.()", Operator("in"), "{}"),
        ("is.NULL", Operator("is", constant="null"), None),
        ("not.is.true", Operator("is", negated=True, constant="true"), None),
        ("isdistinct.", Operator("isdistinct"), ""),
        ("eq(any).{1,2}", Operator("eq", quantifier="any"), "{1,2}"),
        ("fts(english).x", Operator("fts", has_language=True), "x"),
        ("adj.[1,2)", Operator("adj"), "[1,2)"),
    ],
)
def test_operations_parse(text: str, operator: Operator, value: str | None) -> None:
    parsed = parse_operation(text)
    assert (parsed.operator, parsed.value) == (operator, value)


def test_logic_trees_nest_and_keep_quoted_values_whole() -> None:
    path, tree = parse_logic("a.not.or", '(x.eq."1,2",not.and(y.in.(1,2),z.cs.{3,4}),w->v.like.*q)')
    assert path == ("a",)
    assert (tree.operator, tree.negated, len(tree.parts)) == ("or", True, 3)


@pytest.mark.parametrize(
    ("parse", "text", "where", "what"),
    [
        (
            parse_select,
            "name!hint",
            "column 5",
            'unexpected \'!\' expecting letter, digit, "-", "->>", "->", "::", ".", ")", "," or end of input',
        ),
        (parse_select, "name::", "column 7", "unexpected end of input expecting letter or digit"),
        (
            parse_select,
            "data->>-78xy",
            "column 11",
            'unexpected \'x\' expecting digit, "->", "::", ".", "," or end of input',
        ),
        (
            parse_select,
            "data->(x",
            "column 7",
            'unexpected "(" expecting "-", digit or any non reserved character different from: .,>()',
        ),
        (parse_select, "data->>--34", "column 9", 'unexpected "-" expecting digit'),
        (parse_order, "id.descc", "column 8", "unexpected 'c' expecting delimiter (.), \",\" or end of input"),
        (parse_order, "id.nullslasttt", "column 13", "unexpected 't' expecting \",\" or end of input"),
        (parse_operation, "eq().value", "column 4", 'unexpected ")" expecting operator (eq, gt, ...)'),
        (parse_operation, "in.1", "column 4", 'unexpected "1" expecting "("'),
    ],
)
def test_failures_read_as_postgrests(parse: object, text: str, where: str, what: str) -> None:
    with pytest.raises(Syntax) as failure:
        parse(text)  # type: ignore[operator]  # each takes one text
    assert failure.value.where.endswith(f"(line 1, {where})")
    assert failure.value.what == what


def test_nesting_has_an_end() -> None:
    with pytest.raises(Syntax):
        parse_select("a(" * 3000 + ")" * 3000)
    with pytest.raises(RestError):
        parse_query(b"or=" + b"(and" * 3000)


@given(st.text())
def test_any_text_parses_or_is_refused(text: str) -> None:
    for parse in (parse_select, parse_order):
        with suppress(Syntax, TooLong):
            parse(text)


@given(st.lists(st.sampled_from(["not.", "eq", "in", "is", "fts", "(any)", "(x)", ".", "null", "(", "1,2)", "é"])))
def test_an_argument_is_whatever_is_no_operation(words: list[str]) -> None:
    text = "".join(words)
    try:
        operation: Operation | None = parse_operation(text)
    except Syntax:
        operation = None
    assert operation_in(text) == operation


@given(st.binary())
def test_any_bytes_are_a_query_or_a_refusal(raw: bytes) -> None:
    for call in (False, True):
        with suppress(RestError):
            assert (parse_query(raw, call=call).location or "").isascii()


@given(st.lists(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]))))
def test_lists_become_array_literals_that_hold_every_item(items: list[str]) -> None:
    literal = array_literal(items)
    assert (literal[0], literal[-1]) == ("{", "}")
    # Both languages quote and escape an item alike.
    assert json.loads(f"[{literal[1:-1]}]", strict=False) == items


def test_values_are_kept_apart_from_the_plan() -> None:
    first = parse_query(b"id=eq.1&or=(a.eq.2,b.in.(3,4))&limit=5000&x.offset=6")
    second = parse_query(b"id=eq.9&or=(a.eq.8,b.in.(7))&limit=6000&x.offset=5")
    assert first.plan == second.plan
    assert first.values == ("1", "2", '{"3","4"}', 5000, 6)


def test_arguments_are_what_has_no_operator() -> None:
    query = parse_query(b"a=1&b=eq.2&c=x.y&d=eq", call=True)
    assert query.arguments == (("a", "1"), ("c", "x.y"), ("d", "eq"))
    assert query.filter_names == {"b"}


@pytest.mark.parametrize(
    ("limit", "offset", "header", "expected"),
    [
        (None, None, None, RowRange()),
        ("5", "2", None, RowRange(2, 5)),
        ("0", "3", None, RowRange(3, 0)),
        (None, "-1", None, RowRange()),
        ("abc", "x", None, RowRange()),
        ("3", None, "0-1", RowRange(0, 2)),
        (None, None, "2-", RowRange(2)),
        (None, None, "items=0-1", RowRange()),
        ("99999999999999999999999", None, None, RowRange(0, 2**63 - 1)),
    ],
)
def test_windows(limit: str | None, offset: str | None, header: str | None, expected: RowRange) -> None:
    assert top_level(limit, offset, header) == expected


@pytest.mark.parametrize(("limit", "header"), [("-1", None), (None, "3-1"), ("2", "5-9")])
def test_windows_that_hold_nothing_are_refused(limit: str | None, header: str | None) -> None:
    with pytest.raises(RestError) as refused:
        top_level(limit, None, header)
    assert refused.value.status == 416


def test_content_ranges() -> None:
    assert content_range(0, 4, None) == "0-4/*"
    assert content_range(0, -1, None) == "*/*"
    assert content_range(0, -1, 0) == "*/0"
    assert [status_of(0, 4, total) for total in (None, 5, 9)] == [200, 200, 206]
    assert status_of(9, 8, 5) == 416


def test_preferences_take_the_first_of_each() -> None:
    preferences = parse_preferences(
        ["count=exact, return=minimal", "count=planned,tx=rollback, max-affected=5,foo"], may_end_transaction=False
    )
    assert (preferences.count, preferences.transaction, preferences.max_affected) == ("exact", None, 5)
    assert preferences.unknown == ("foo",)
    assert applied(preferences, "return", "count", "max-affected") == "return=minimal, count=exact"


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("application/json;charset=utf-8", Media.JSON, "application/json"),
        ("ApplicatIon/vnd.PgRsT.object+json", Media.SINGULAR, "application/vnd.pgrst.object+json"),
        ("application/vnd.pgrst.array+json", Media.JSON, "application/json"),
        (
            "application/vnd.pgrst.array;nulls=stripped",
            Media.ARRAY_STRIPPED,
            "application/vnd.pgrst.array+json;nulls=stripped",
        ),
        ("application/vnd.pgrst.plan;", Media.PLAN, 'application/vnd.pgrst.plan+text; for="application/json"'),
        ("application/vnd.twkb", Media.OTHER, "application/vnd.twkb"),
    ],
)
def test_media_types(text: str, kind: Media, name: str) -> None:
    assert (parse_media_type(text).kind, parse_media_type(text).name) == (kind, name)


def test_accept_is_ordered_by_weight() -> None:
    header = "text/html,application/xml;q=0.9,image/png,*/*;q=0.8"
    assert [media.name for media in parse_accept(header)] == ["text/html", "image/png", "application/xml", "*/*"]
    assert [media.kind for media in parse_accept(None)] == [Media.ANY]


def test_the_nearest_name_is_near() -> None:
    assert nearest("testt", ["test", "another"], 0.75) == "test"
    assert nearest("noclosealternative", ["test", "another"]) is None
    assert nearest("(id)", ["(name, param, val)", "(attr, id)"]) == "(attr, id)"
