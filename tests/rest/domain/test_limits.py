"""What one request may ask of /rest/v1: each limit is met exactly, and nothing costs more than its length."""

from __future__ import annotations

import json
import random
import re
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import pytest

from src.edge.limits import MEBIBYTE, SERVICE, USER, Limits
from src.rest.errors import RestError
from src.rest.protocol.reading import read
from src.rest.protocol.request import Configuration, Request
from src.rest.query.patterns import states, states_of_array
from src.rest.query.query_string import decoded, parse_query

MANY_TERMS = "There may be at most 400 selected fields, embedded resources, conditions and order terms"
MANY_PARAMETERS = "There may be at most 400 parameters"
MANY_ELEMENTS = "Lists may have at most 20,000 elements"
LONG_NAME = "A name may have at most 63 bytes"
LONG_PATTERN = "A pattern or a text to search for may have at most 1,000 characters"
UNLIMITED = replace(USER, header=10**9, parameters=10**9, terms=10**9, embeds=10**9, elements=10**9, repeats=10**9)
GUIDE = Path(__file__).parents[3] / "src" / "rest" / "README.md"
FORM, CSV = b"application/x-www-form-urlencoded", b"text/csv"


def refusal(of: Callable[[], object], code: str = "PGRST100") -> str:
    """Why something is refused; nothing when it is not."""
    try:
        of()
    except RestError as refused:
        if (refused.status, refused.code) != (400, code):
            raise
        return str(refused.details or refused.message)
    return ""


def query(text: str, limits: Limits = USER) -> str:
    return refusal(lambda: parse_query(text.encode(), limits=limits))


def body(content: bytes, kind: bytes = b"application/json", path: str = "/a", columns: bytes = b"") -> str:
    request = Request("POST", path, columns, [(b"content-type", kind)], content)
    return refusal(lambda: read(Configuration(), request, USER), "PGRST100" if kind == FORM else "PGRST102")


def listed(*items: str, number: int) -> str:
    return ",".join((items * number)[:number])


def all_together(number: int) -> str:
    a_hundred = listed("a", number=100)
    logic = listed("a.eq.1", number=number - 300)
    return f"select={a_hundred}&order={a_hundred}&columns={a_hundred}&or=({logic})"


TERMS: dict[str, Callable[[int], str]] = {
    "plain fields": lambda number: f"select={listed('a', number=number)}",
    "other fields": lambda number: f"select={listed('a-b', 'x:é::text', 'a.sum()', number=number)}",
    "fields of an embed": lambda number: f"select=b({listed('a', number=number - 1)})",
    "embeds": lambda number: f"select={listed('a()', 'x:b!c!inner()', number=number)}",
    "steps into JSON": lambda number: f"select=a{'->b' * (number - 1)}",
    "other steps into JSON": lambda number: f"select=a{'->é b' * (number - 1)}",
    "order": lambda number: f"order={listed('a', 'b.desc.nullslast', number=number)}",
    "other order": lambda number: f"order={listed('é.asc', 'b(c)', number=number)}",
    "conditions": lambda number: f"{'a=eq.1&' * (number - 200)}or=({listed('a.eq.1', number=200)})",
    "other logic": lambda number: f"or=({listed('a-b.not.is.null', number=number)})",
    "nested logic": lambda number: f"or=({'and(a.eq.1),' * 100}{listed('a.eq.1', number=number - 200)})",
    "columns": lambda number: f"columns={listed('a', number=number)}",
    "other columns": lambda number: f"on_conflict={listed('a-b', number=number)}",
    "all together": all_together,
}


@pytest.mark.parametrize("kind", TERMS)
def test_terms_are_counted_together(kind: str) -> None:
    made = TERMS[kind]
    often, of_service = (replace(limits, repeats=10**9, embeds=10**9) for limits in (USER, SERVICE))
    assert query(made(USER.terms), often) == ""
    assert query(made(USER.terms + 1), often) == MANY_TERMS
    assert query(made(USER.terms + 1), of_service) == ""
    assert query(made(SERVICE.terms + 1), of_service) != ""


# A type and a text search configuration are written without quotes and dashes.
PLAIN_NAMES = ("select=a::{}", "or=(a.fts({}).b)", "a=fts({}).b")
NAMES = (
    "select={}",
    "select=x:{}",
    "select={}:x",
    "select={}()",
    "select=a!{}()",
    "select=a,{},b",
    "order={}",
    "order={}(a)",
    "order=a,{}.desc",
    "columns={}",
    "columns=a,{},b",
    "on_conflict={}",
    "{}=eq.1",
    "a.{}=eq.1",
    "{}.limit=1",
    "{}.order=a",
    "{}.or=(a.eq.1)",
    "or=({}.eq.1)",
)
NAME, ACCENTS = "n" * 63, "é" * 31 + "n"
LONGER = (NAME + "n", ACCENTS + "n", "é" * 100_000, "n" * 1_000_000)


@pytest.mark.parametrize("place", [*NAMES, *(place.replace("{}", '"{}"') for place in NAMES), *PLAIN_NAMES])
def test_a_name_has_as_many_bytes_as_postgres_keeps(place: str) -> None:
    for name in (NAME, ACCENTS):
        assert query(place.format(name)) != LONG_NAME
    for name in LONGER if place in PLAIN_NAMES else (*LONGER, "n-" * 32, "n-" * 100_000):
        assert query(place.format(name + "n")) == LONG_NAME


PIECES = ("é-", "a -", "é -", "é ", " é-", "a-é", "$-é", "ab-c d-")


@pytest.mark.parametrize("place", NAMES)
def test_no_more_is_read_of_a_name_than_one_can_have(place: str) -> None:
    """Letters and parts of a name are read one by one: a mebibyte of them would keep everybody waiting for seconds."""
    for piece in PIECES:
        text = place.format(piece * (MEBIBYTE // len(piece.encode())))
        began = time.process_time()
        assert query(text) == LONG_NAME
        assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("made", "most", "why"),
    [
        (lambda number: "&".join(["limit=1"] * number), USER.parameters, MANY_PARAMETERS),
        (lambda number: ";".join(["limit=1"] * number), USER.parameters, MANY_PARAMETERS),
        (lambda number: f"a=in.({listed('1', number=number)})", USER.elements, MANY_ELEMENTS),
        (lambda number: f"or=(a.in.({listed('x', number=number)}))", USER.elements, MANY_ELEMENTS),
        (lambda number: f"b=in.(1)&a=not.in.({listed('x', number=number - 1)})", USER.elements, MANY_ELEMENTS),
        (lambda number: f"or=(a.match.{'x' * number})", USER.pattern, LONG_PATTERN),
        (lambda number: f"or={'(and' * number}(a.eq.1){')' * number}", USER.nesting - 1, "nested too deeply"),
        (lambda number: f"select={'a(' * number}{')' * number}", USER.nesting, "nested too deeply"),
    ],
)
def test_each_other_limit_is_met_exactly(made: Callable[[int], str], most: int, why: str) -> None:
    assert query(made(most)) == ""
    assert query(made(most + 1)) == why


@pytest.mark.parametrize(
    "operator", ["like", "ilike", "match", "imatch", "not.like(any)", "fts", "plfts(a)", "phfts", "wfts"]
)
def test_patterns_and_texts_to_search_for_are_short(operator: str) -> None:
    assert query(f"a={operator}.{'x' * USER.pattern}") == ""
    assert query(f"a={operator}.{'x' * (USER.pattern + 1)}") == LONG_PATTERN


def test_values_of_comparisons_are_as_long_as_their_request() -> None:
    assert query(f"a=eq.{',' * 500_000}&b=neq.{'x,' * 200_000}") == ""


@pytest.mark.parametrize("header", ["accept", "prefer", "range", "content-type", "if-none-match", "accept-profile"])
def test_headers_that_are_read_are_short(header: str) -> None:
    def read_with(size: int) -> None:
        # Two of a name count together.
        headers = [(header.encode(), b"," * 96), (header.encode(), b"," * (size - 96))]
        read(Configuration(), Request("GET", "/a", b"", headers), USER)

    why = f"The header {header} may have at most 4,096 bytes"
    assert refusal(lambda: read_with(4097)) == why
    if header != "accept-profile":
        assert refusal(lambda: read_with(4096)) == ""


@pytest.mark.parametrize("path", ["/{}", "/rpc/{}", "/zoo.{}"])
def test_the_path_names_what_may_exist(path: str) -> None:
    configuration = Configuration(schemas=("zoo",), dotted_names=True)
    read(configuration, Request("GET", path.format(NAME)))
    assert refusal(lambda: read(configuration, Request("GET", path.format(NAME + "n")))) == LONG_NAME


@pytest.mark.parametrize("columns", [b"", b"columns=a"])
@pytest.mark.parametrize("path", ["/a", "/rpc/a"])
def test_a_body_of_json_has_an_end(path: str, columns: bytes) -> None:
    deep, many = "JSON may be nested at most 64 deep", "JSON may hold at most 100,000 values"
    assert body(b"[" * 65 + b"]" * 65, path=path, columns=columns) == deep
    assert body(b"[" * 64 + b"]" * 64, path=path, columns=columns) in ("", "All object keys must match")
    assert body(json.dumps({"a": [0] * 100_000}).encode(), path=path, columns=columns) == many
    assert body(json.dumps({"a": [0] * 99_999}).encode(), path=path, columns=columns) == ""
    for keys, why in ((10_000, ""), (10_001, "A JSON object may have at most 10,000 keys")):
        content = json.dumps({"a": 1, "b": [dict.fromkeys(map(str, range(keys)), 0)]}).encode()
        # With `columns` Postgres alone reads it.
        assert body(content, path=path, columns=columns) == ("" if columns else why)


def test_a_body_of_a_form_or_csv_has_an_end() -> None:
    assert body(b"&".join([b"a=1"] * 400), FORM) == ""
    assert body(b"&".join([b"a=1"] * 401), FORM, "/rpc/a") == MANY_PARAMETERS
    assert body(b"a,b\n" + b"1,2\n" * 25_000, CSV) == ""
    assert body(b"a,b\n" + b"1,2\n" * 25_001, CSV) == "CSV may hold at most 50,000 fields"


def test_percent_encoding_is_what_the_library_makes_of_it() -> None:
    letters = random.Random(7)
    for _ in range(20_000):
        text = "".join(letters.choices("%%%%0aA1zé=_\r\n \x0c4", k=letters.randint(1, 9)))
        try:
            expected = unquote_to_bytes(text).decode()
        except UnicodeDecodeError:
            with pytest.raises(UnicodeDecodeError):
                decoded(text)
        else:
            assert decoded(text) == expected


@pytest.mark.parametrize("text", ["%41", "%", "%4", "%5C%5C", "a%C3%A9"])
def test_what_is_percent_encoded_takes_no_more_memory_than_it_has_bytes(text: str) -> None:
    body = "a=eq." + text * (1_000_000 // len(text))
    tracemalloc.start()
    parse_query(body.encode())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * len(body)


def with_accept(size: int) -> None:
    read(Configuration(), Request("GET", "/a", b"", [(b"accept", b'a/b;q="1",' * size)]), UNLIMITED)


# What is read of so many pieces; without their limits, which hide what a piece costs.
LONG: dict[str, Callable[[int], object]] = {
    "values": lambda size: query("a=eq." + "%41" * size),
    "elements": lambda size: query(f"a=in.({listed('b', number=size)})", UNLIMITED),
    "quoted elements": lambda size: query("a=in.(" + '"b\\"c,",' * size + ")", UNLIMITED),
    "quotes that never end": lambda size: query("a=in.(" + '"b,' * size + ")", UNLIMITED),
    "broken elements": lambda size: query("a=in.(" + '"b"c,' * size, UNLIMITED),
    "conditions": lambda size: query(f"or=({listed('a.eq.1', number=size // 8)})", UNLIMITED),
    "slow conditions": lambda size: query(f"or=({listed('é.like(any).1', number=size // 64)})", UNLIMITED),
    "fields": lambda size: query(f"select={listed('a', number=size // 8)}", UNLIMITED),
    "slow fields": lambda size: query(f"select={listed('x:a-b::int', number=size // 64)}", UNLIMITED),
    "order": lambda size: query(f"order={listed('a-b.desc', number=size // 64)}", UNLIMITED),
    "blanks": lambda size: query("select=" + " \t" * size + "a"),
    "a quoted name": lambda size: query('select="' + "\\a" * size + '"'),
    "a JSON key": lambda size: query("select=a->" + "b c" * size),
    "dashes of a JSON key": lambda size: query("select=a->" + "b -" * size + "c"),
    "digits of a JSON index": lambda size: query("select=a->" + "1" * size),
    "lines of a broken text": lambda size: query("select=" + "%0a%09" * size + "!"),
    "parameters": lambda size: query("&".join([f"p{number}=eq.1" for number in range(size // 16)]), UNLIMITED),
    "opening brackets": lambda size: query("or=" + "(and" * size),
    "a CSV body": lambda size: body(b"a,b\n" + b"1,2\n" * size, CSV),
    "JSON": lambda size: body(json.dumps([{"a": 1, "b": "x"}] * size).encode()),
    "JSON with a repeated key": lambda size: body(b"[" + b'{"a":1,"a":2},' * size + b"0]"),
    "a regular expression of brackets left open": lambda size: states("[[:" * size),
    "a regular expression of brackets": lambda size: states("[" * size),
    "a regular expression of groups": lambda size: states("(?:" * size),
    "a regular expression of braces": lambda size: states("{" * size + "0" * size),
    "an Accept header": lambda size: with_accept(size // 64),
}


@pytest.mark.parametrize("kind", LONG)
def test_eight_times_as_much_takes_eight_times_as_long(kind: str) -> None:
    def seconds(size: int) -> float:
        began = time.process_time()
        LONG[kind](size)
        return time.process_time() - began

    seconds(100)
    few = min(seconds(2_000) for _ in range(3))
    many = min(seconds(16_000) for _ in range(3))
    # The square would take 64 times as long.
    assert many < 24 * max(few, 0.0005)


def test_the_guide_says_what_the_limits_are() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([\d,]+) \| ([\d,]+) \|$", GUIDE.read_text(), flags=re.MULTILINE)
    said = {name: (int(user.replace(",", "")), int(service.replace(",", ""))) for name, user, service in rows}
    assert said == {f.name: (getattr(USER, f.name), getattr(SERVICE, f.name)) for f in fields(Limits)}


@pytest.mark.parametrize(
    ("pattern", "size"),
    [
        ("abc", 3),
        ("a{3}b", 4),
        ("a{2,30}", 30),
        ("a{7,}", 7),
        ("[0-9a-f]{8}-[0-9a-f]{4}", 13),
        ("(ab){10}", 20),
        ("((a{1,30}){1,30}){1,30}", 27_000),
        ("(a{30}b|){2,0000030}", 960),
        (r"\{30\}[]{9}]{2}\d{3}", 9),
        ("a{30})b(", 32),
        ("*{5}" * 2, 30),
        (r"(ab)\1", 3_000),
        (r"\\1", 2),
        (r"[\1]\0", 2),
        ("(?i)#a{20}", 23),
        ("(?:ab){3}(?<!a)", 7),
        (r"\c[(a{30}){30}]", 902),
        (r"[\]](a{30}){30}]", 902),
        ("[^]](a{30}){30}[]]", 902),
        ("[[:alpha:]](a{30}){30}]", 902),
        ("[[.].]](a{30}){30}]", 902),
        ("[[](a{30}){30}]", 902),
        (r"[\c]](a{30}){30}", 901),
        ("[[:x(a{30}){30}", 1),
        (r"\(?#a{30}", 33),
        ("[(?#]", 1),
        ("(a*b*c*d*e*){250}", 390_937),
        ("((a?){0,50}){0,30}", 562_125),
        ("(((a{0,10}){0,10}){0,10}){0,3}", 124_012),
        ("(a|){250}b", 7_843),
        (r"\ya|(?=b)", 60),
        (r"\ya|(?=b)" + "a" * 64, 540),
        ("^" + "a" * 998 + "$", 1_000),
        (r"(\ya){2}", 29_970_000),
        ("(" * 15 + "a" + ")+" * 15, 3 * 2**15 - 2),
        ("(" * 15 + "a" + "){1,}" * 15, 2**15),
        ("".join(map(chr, range(0x4E00, 0x4E90))) + "([^x]{10}){8}", 544),
        ("\u0430" * 144 + r"(\w{10}){8}", 544),
        ("(?n)" + "\u0430" * 144 + ".{80}", 546),
    ],
)
def test_a_regular_expressions_repetitions_are_written_out(pattern: str, size: int) -> None:
    assert states(pattern) == size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("[\u0001-\U0010ffff]", 1_088),
        (r"[\u0001-\U0010ffff]", 1_088),
        (r"[\u0001-\xffffffffffff]", 1_088),
        ("[\u0430-\u044f\u0401]{20}", 21),
        ("[a-z]{20}", 20),
        (r"\u0430-", 6),
    ],
)
def test_a_range_is_as_wide_as_it_is_where_case_is_nothing(text: str, size: int) -> None:
    assert states(text, folded=True) == size
    assert states_of_array("{b," + json.dumps(text, ensure_ascii=False) + "}", folded=True) == size + 1
    assert states(f"(?i){text}") == size + 2
    for operator, said in (("match", ""), ("imatch", SAID_OF_STATES)):
        many = quote("[\u0001-\U0010ffff]" * 3)
        assert query(f"a={operator}.{many}") == query(f"a={operator}(any).{{{many}}}") == said


@pytest.mark.parametrize(
    ("literal", "size"),
    [
        ("{abc,d}", 4),
        ('{"a{3}",b}', 4),
        (r'{ "(?i)(a{200}){50}" , "\\(a" }', 10_004),
        ('{" {200}",  a }', 201),
        ("{\u00a0\\{200\\}}", 200),
        (r"{(a)\\1}", 2_000),
        (r'{"a{9\9}"}', 99),
        ("{{a,b},{c,d}}", 4),
        ('[2:3]={"a{30}","b{30}"}', 62),
        ('{"a{30}', 3),
    ],
)
def test_each_element_of_an_array_is_an_expression(literal: str, size: int) -> None:
    assert states_of_array(literal) == size


SAID_OF_STATES = (
    f"Regular expressions may have at most {USER.states:,} characters and repetitions of them, "
    "a thousandth with references back"
)


def test_a_regular_expression_has_a_bound_that_its_repetitions_count_for() -> None:
    assert query(r'or=(b.eq.1,and(a.match(any).{"(a*)(a*)\\1"}))') == SAID_OF_STATES
    assert query(r'or=(a.match(all)."{\"(a{200}){50}\"}")') == SAID_OF_STATES
    for parameter in ("a=match(any).{}", "a=not.imatch(all).{}"):
        assert query(parameter.format('{"a{1,30}",b}')) == ""
        for literal in ('{"((a{1,30}){1,30}){1,30}"}', r'{"(a*)(a*)\\1"}', "{" + '"(ab){250}",' * 10 + "}"):
            assert query(parameter.format(literal)) == SAID_OF_STATES
    for parameter in ("a=match.{}", "a=not.imatch.{}", 'or=(a.match."{}")'):
        assert query(parameter.format("((a{1,30}){1,10}){1,10}")) == ""
        for pattern in ("((a{1,30}){1,30}){1,30}", r"(a*)(a*)\\1"):
            made = parameter.format(pattern if '"' in parameter else pattern.replace(r"\\", "\\"))
            assert query(made) == SAID_OF_STATES


def test_the_bound_is_of_all_regular_expressions_of_a_request() -> None:
    for condition in (
        "a=match.a{{{}}}",
        "b.a=not.imatch.a{{{}}}",
        "or=(a.match.a{{{}}})",
        'a=match(any).{{"a{{{}}}"}}',
    ):
        full = "&".join([condition.format(250)] * 11)
        assert query(f"{full}&{condition.format(250)}") == ""
        assert query(f"{full}&{condition.format(251)}") == SAID_OF_STATES


@pytest.mark.parametrize(
    "pattern",
    [
        "x(?#[)(((a|b){0,100}){0,60})(?#])",
        r"(.*)(.*)(.*)(.*)(?#[)\4\3\2\1(?#])zzz$",
        r"[a\]b](?#c)",
        "(?#",
        "(?x)a{1, 30}",
        "(?ix)[#](a{2#\n0}){2#\n0}",
        r"(?b)a\{1,30\}",
        r"(?e)[\](a{30}){30}\]",
        "(?q)a",
        "***:(?x)a{2(?#b)0}",
        "***=a",
    ],
)
@pytest.mark.parametrize("place", ["a=match.{}", "a=imatch.{}", "or=(b.eq.1,a.match.{})", "a=match(all).{{b,{}}}"])
@pytest.mark.parametrize("limits", [USER, SERVICE])
def test_a_regular_expression_is_read_in_one_way(place: str, pattern: str, limits: Limits) -> None:
    written = json.dumps(pattern) if place.startswith("or") or "{b" in place else pattern
    assert query(quote(place.format(written), safe="=&"), limits) == (
        "A regular expression may have no comments, no *** in front and no options but c, i, m, n, p, s, t, w"
    )


EMBEDS: dict[str, Callable[[int], str]] = {
    "empty": lambda number: f"select={','.join(f'x{n}:b()' for n in range(number))}",
    "inner": lambda number: f"select=a,{','.join(f'x{n}:b!inner(c)' for n in range(number))}",
    "spread": lambda number: f"select=a,{','.join(['...b(c)'] * number)}",
    "in each other": lambda number: f"select={'b(' * 8}{','.join(['b()'] * (number - 8))}{')' * 8}",
    "asked for": lambda number: "select=b()&" + "b=is.null&" * (number - 1),
    "asked for in logic": lambda number: (
        f"select=b()&or=({listed('b.not.is.null', 'b.is.not_null', number=number - 1)})"
    ),
    "asked for with what is inside": lambda number: (
        f"select=x:b({','.join(['c()'] * (number // 4 - 1))})" + "&x=is.null" * 3
    ),
    "asked for inside of what is asked for": lambda number: (
        "select=b(x:c())" + "&b=is.null" * (number // 20 - 1) + "&b.x=not.is.null" * 18 + "&c=is.null" * 99
    ),
}


@pytest.mark.parametrize("limits", [USER, SERVICE])
@pytest.mark.parametrize("kind", EMBEDS)
def test_as_many_embeds_are_joined(kind: str, limits: Limits) -> None:
    made, often = EMBEDS[kind], replace(limits, repeats=10**9)
    said = f"There may be at most {limits.embeds} embedded resources, those in a filter for null counted again"
    assert query(made(limits.embeds), often) == ""
    assert query(made(limits.embeds + 20), often) == said
    if "what" not in kind:
        assert query(made(limits.embeds + 1), often) == said


@pytest.mark.parametrize("selected", ["x{}:a", "x{}:a::text", "x{}:b(*)", "x{}:b!inner(c(d))", "...b(x{}:a)"])
def test_a_field_may_be_selected_so_often_under_whatever_name(selected: str) -> None:
    said = f"A field of a resource may be selected at most {USER.repeats} times"
    for limits, refused in ((USER, said), (SERVICE, "")):
        assert query(f"select={','.join(selected.format(n) for n in range(USER.repeats))}", limits) == ""
        assert query(f"select={','.join(selected.format(n) for n in range(USER.repeats + 1))}", limits) == refused


@pytest.mark.parametrize(
    "operator",
    [
        "in.({})",
        *(
            f"{name}.{{{{{{}}}}}}"
            for name in ("cs", "cd", "ov", "eq", "not.neq", "gt", "lte", "isdistinct", "not.isdistinct")
        ),
        "eq. {{{}}}",
        "eq.[1:9]={{{}}}",
        "eq(any).{{{}}}",
    ],
)
def test_every_list_counts(operator: str) -> None:
    many = ",".join("a" * (USER.elements + 1))
    of_all = replace(USER, choices=10**9)
    assert query(f"a={operator.format(many)}", of_all) == f"Lists may have at most {USER.elements:,} elements"
    assert query(f"a={operator.format(many[2:])}", of_all) == ""


@pytest.mark.parametrize("operator", ["eq(any)", "not.gt(all)", "lte(any)"])
def test_what_each_row_is_compared_with_counts(operator: str) -> None:
    many = ",".join("a" * (USER.choices + 1))
    said = f"Lists of any and all may have at most {USER.choices:,} elements"
    assert query(f"a={operator}.{{{many}}}") == query(f"or=(b.eq.1,a.{operator}.{{{many}}})") == said
    assert query(f"a={operator}.{{{many[2:]}}}") == ""
    assert query(f"a={operator}.{{{many[2:]}}}&b=eq(any).{{1}}") == said
