"""Hostile requests as data: every place where a name, a list, a nesting, a number or a text can be long.

What the two documents describe (`/schema`, `/rest/v1/`) is met as well: every declared field of every function and
every argument of every procedure, those that are not yet written included.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from urllib.parse import quote, urlencode

MEBIBYTE = 1024 * 1024
# As long as a request line may be, and a little less than a whole header.
LINE = 60_000
MAX_BODY = 60 * MEBIBYTE
# Counts whose square is felt.
MANY = 100_000

ROWS = "/rest/v1/booking.itineraries"
# Everybody may read the one, and nobody else than its functions the other.
INDEX = "/rest/v1/catalog.search_index"
CATALOG = "/rest/v1/catalog.postings"
PROCEDURE = "/rest/v1/rpc/search_places"
FUNCTION = "/functions/v1/bff-checkout"
SEARCH = "/functions/v1/search-places"
OBJECT = "/storage/v1/object"
ITINERARY = "11111111-1111-4111-8111-111111111111"
CHECKOUT = {"itinerary_id": ITINERARY, "amount_cents": 25000, "currency": "USD"}
PERMIT = {"p_park": "Akagera", "p_visit_date": "infinity", "p_pax_count": 2147483647, "p_note": "x"}
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
NDJSON = {"accept": "application/x-ndjson"}
CSV = {"content-type": "text/csv"}
READ = {**JSON, "prefer": "read"}
# Letters whose case, width, composition or order is work for somebody who folds or sorts them.
SCRIPTS = {
    "Latin": "kigali ",
    "marks": "e\u0301\u0302\u0303\u0304",
    "Arabic": "\u0643\u064a\u063a\u0627\u0644\u064a ",
    "Chinese": "\u57fa\u52a0\u5229",
    "Hangul": "\ud0a4\uac08\ub9ac",
    "Devanagari": "\u0915\u093f\u0917\u093e\u0932\u0940 ",
    "ligatures": "\ufdfa\ufb03\u01c4",
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "direction": "\u202e\u2066a\u2069",
    "operators": "!&|<->:* ",
    "patterns": "%_\\",
    "one letter": "a",
}
# Of what a name may be made; each is read in another way.
PARTS = {
    "letters": "n",
    "foreign letters": "\u00e9",
    "dashes": "a-",
    "blanks and dashes": "a+-",
    "foreign letters and dashes": "\u00e9-",
    "all of them": "\u00e9+-",
}
NAMED = {
    "a field": "select={}",
    "an embed": "select={}!hint(id)",
    "a hint": "select=items!{}(id)",
    "an alias": "select={}:id",
    "a type": "select=id::{}",
    "an order": "order={}",
    "a condition": "{}=eq.1",
    "logic": "or=({}.eq.1)",
    "an embed's limit": "{}.limit=1",
    "columns": "columns={}",
}
# What stands for any JSON value: the kind of long that it is, and the value as JSON text.
VALUES: Mapping[str, str] = {
    "a long text": json.dumps("x" * MEBIBYTE)[: MEBIBYTE - 1000] + '"',
    "a text of escapes": '"' + "\\u0041" * (MEBIBYTE // 6 - 100) + '"',
    "a text of NUL": json.dumps("\0" * 1000),
    "a whole number of many digits": "9" * (MEBIBYTE // 2),
    "a fraction of many digits": "0." + "1" * (MEBIBYTE // 2),
    "a number beyond all": "1e400",
    "a long exponent": "1e" + "9" * 10_000,
    "a negative number beyond all": "-1e400",
    "a list of numbers": "[" + "1," * (MEBIBYTE // 2 - 1000) + "1]",
    "a list of empty lists": "[" + "[]," * (MEBIBYTE // 3 - 1000) + "[]]",
    "a list of empty objects": "[" + "{}," * (MEBIBYTE // 3 - 1000) + "{}]",
    "a list of texts": "[" + '"x",' * (MEBIBYTE // 4 - 1000) + '"x"]',
    "lists in lists, 400 deep": "[" * 400 + "]" * 400,
    "lists in lists, 900 deep": "[" * 900 + "]" * 900,
    "lists in lists, 5,000 deep": "[" * 5_000 + "]" * 5_000,
    "lists in lists, half a million deep": "[" * 500_000 + "]" * 500_000,
    "objects in objects, 900 deep": '{"a":' * 900 + "1" + "}" * 900,
    "objects in objects, 100,000 deep": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "an object of many keys": "{" + ",".join(f'"{number}":1' for number in range(90_000)) + "}",
    "an object with a key repeated": "{" + ",".join(f'"{number}":1' for number in range(90_000)) + ',"89999":1}',
    "an object with one key often": "{" + '"a":1,' * 150_000 + '"a":1}',
    "an object with a long key": json.dumps({"k" * (MEBIBYTE - 100): 1}),
}
# For every procedure and function: the kinds whose cost differs by who reads them.
KINDS = (
    "a long text",
    "a whole number of many digits",
    "a number beyond all",
    "a list of numbers",
    "a list of empty lists",
    "lists in lists, 900 deep",
    "lists in lists, 5,000 deep",
    "an object with a key repeated",
)


@dataclass(frozen=True, slots=True)
class Hostile:
    """One request. `hung_up` says that the connection may end without an answer: what came is no HTTP."""

    name: str
    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    repeated: tuple[tuple[str, str], ...] = ()
    hung_up: bool = False

    def sent(self, caller: Mapping[str, str]) -> bytes:
        """The bytes on the wire, `caller` being the headers of a key. An own header of that name wins."""
        given = {"host": "127.0.0.1", "connection": "close", **caller, **self.headers}
        if self.body or self.method in ("POST", "PUT", "PATCH", "QUERY"):
            given.setdefault("content-length", str(len(self.body)))
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in (*given.items(), *self.repeated) if value]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + self.body


def get(name: str, target: str, **headers: str) -> Hostile:
    return Hostile(name, "GET", target, {key.replace("_", "-"): value for key, value in headers.items()})


def post(name: str, target: str, body: str | bytes, headers: Mapping[str, str] = JSON, method: str = "POST") -> Hostile:
    return Hostile(name, method, target, headers, body.encode() if isinstance(body, str) else body)


def chunked(name: str, body: bytes, *, hung_up: bool = False) -> Hostile:
    headers = {**JSON, "transfer-encoding": "chunked", "content-length": ""}
    return Hostile(name, "POST", FUNCTION, headers, body, hung_up=hung_up)


def corpus(functions: Mapping[str, object], procedures: Mapping[str, object]) -> list[Hostile]:
    """All of them. `functions` is the document at /schema, `procedures` that at /rest/v1/ (OpenAPI 2.0)."""
    return [
        *paths(),
        *selects(),
        *embeds(),
        *casts(),
        *names(),
        *orders(),
        *filters(),
        *headers(),
        *rest_bodies(),
        *conditions(),
        *function_bodies(),
        *searches(),
        *events(),
        *storage(),
        *neighbours(),
        *declared_functions(functions),
        *declared_procedures(procedures),
    ]


def paths() -> Iterator[Hostile]:
    long = "n" * LINE
    for prefix in ("/rest/v1/", "/rest/v1/rpc/", "/functions/v1/", "/storage/v1/object/", "/", "/auth/v1/"):
        yield get(f"{prefix} and a long name", prefix + long)
        yield get(f"{prefix} and many parts", prefix + "a/" * (LINE // 2))
        yield get(f"{prefix} and encoded bytes", prefix + "%61" * (LINE // 3))
        yield get(f"{prefix} and bytes that are no text", prefix + "%ff" * (LINE // 3))
    yield get("a name nearly right", "/rest/v1/booking.itinerarie" + "s" * 13_500)
    yield get("a procedure nearly right", "/rest/v1/rpc/search_place" + "s" * 13_500)
    yield post("a procedure nearly right, posted", "/rest/v1/rpc/search_place" + "s" * 13_500, "{}")
    yield get("many dots in a name", "/rest/v1/" + "a." * (LINE // 2))
    yield get("a long parameter's name", f"{ROWS}?{'n' * LINE}=eq.1")
    yield get("many parameters", f"{ROWS}?" + "&".join(f"c{number}=eq.1" for number in range(5_000)))
    yield get("one parameter often", f"{ROWS}?" + "&".join(["id=not.is.null"] * 3_500))
    yield get("ampersands", f"{ROWS}?" + "&" * LINE)
    yield get("equals signs", f"{ROWS}?a" + "=" * LINE)
    yield get("arguments in the query", f"{PROCEDURE}?" + "&".join(f"a{number}=1" for number in range(5_000)))
    yield get("a long argument's name in the query", f"{PROCEDURE}?{'n' * LINE}=1")
    yield get("a long argument in the query", f"{PROCEDURE}?p_query={'a' * LINE}&p_limit=5")
    yield get("a request line beyond a header", f"{ROWS}?select=" + "i" * 90_000)


def there_and_back(pairs: int, aliases: int) -> str:
    """Each pair multiplies the rows by the number of aliases and of items."""
    if not pairs:
        return "id"
    return ",".join(f"i{number}:items(itineraries({there_and_back(pairs - 1, aliases)}))" for number in range(aliases))


def selects() -> Iterator[Hostile]:
    def select(name: str, value: str) -> Hostile:
        return get(f"select: {name}", f"{ROWS}?limit=1&select={quote(value, safe='(),:.!*')}")

    yield select("a long name", "n" * LINE)
    yield select("a name nearly right", "traveler" + "r" * 13_500)
    yield select("one column often", ",".join(["id"] * (LINE // 3)))
    yield select("many columns that are not there", ",".join(f"c{number}" for number in range(9_000)))
    yield select("many aliases", ",".join(f"a{number}:id" for number in range(6_000)))
    yield select("a long alias", "n" * (LINE - 10) + ":id")
    yield select("aliases as long as names may be", ",".join(f"{number:063}:notes" for number in range(390)))
    yield select("long aliases of embeds", ",".join(f"{'e' * 60}{number:03}:items(id)" for number in range(390)))
    yield select("a long alias of an embed", "n" * (LINE - 30) + ":items(id)")
    yield select("a long alias in quotes", '"' + "\\n" * (LINE // 4) + '":id')
    yield select("a long cast", "id::" + "n" * (LINE - 10))
    yield select("many casts", ",".join(["id::text"] * 6_000))
    yield select("casts of casts", "id" + "::text" * 9_000)
    yield select("a long JSON path", "notes" + "-%3Ea" * 1 + "->a" * 4_000)
    yield select("a JSON path of numbers", "notes" + "->1" * 4_000)
    yield select("a JSON path with a huge number", "notes->" + "9" * 20_000)
    yield select("a long JSON key", "notes->>" + "k" * 19_000)
    yield select("embeds in embeds", "items(itineraries(" * 1_500 + "id" + "))" * 1_500)
    for pairs in (2, 5, 9, 12, 15):
        yield select(f"embeds there and back, {pairs} times", "items(itineraries(" * pairs + "id" + "))" * pairs)
        yield select(f"whole rows there and back, {pairs} times", "*,items(itineraries(" * pairs + "*" + "))" * pairs)
        aliases = there_and_back(min(pairs, 5), aliases=3)
        yield select(f"aliases there and back, {min(pairs, 5)} times", aliases)
    lasts = {"nothing": "items!inner(id)", "empty lists": "items(id)", "no column": "items!inner()"}
    for pairs in (3, 5, 15):
        for name, last in lasts.items():
            chain = "items!inner(itineraries!inner(" * pairs + last + "))" * pairs
            path = ".".join(["items", "itineraries"] * pairs)
            none = f"&{path}.items.id=eq.{ITINERARY}"
            yield get(f"select: inner embeds of {name}, {pairs} times", f"{ROWS}?select={chain}{none}")
            yield get(f"select: inner embeds of {name}, {pairs} times, streamed", f"{ROWS}?select={chain}", **NDJSON)
    yield select("embeds that are not there, in each other", "a(" * 20_000 + "id" + ")" * 20_000)
    yield select("embeds side by side", ",".join(f"i{number}:items(id)" for number in range(3_000)))
    yield select("an embed often", ",".join(["items(id)"] * 5_000))
    yield select("a long embed", "n" * (LINE - 10) + "(id)")
    yield select("a long hint", "items!" + "n" * (LINE - 20) + "(id)")
    yield select("many hints", "items" + "!inner" * 9_000 + "(id)")
    yield select("spreads in spreads", "...items(...itineraries(" * 1_000 + "id" + "))" * 1_000)
    yield select("many aggregates", ",".join(["id.count()"] * 5_000))
    yield select("open parentheses", "(" * LINE)
    yield select("closed parentheses", ")" * LINE)
    yield select("commas", "," * LINE)
    yield select("colons", ":" * LINE)
    yield select("stars", ",".join(["*"] * (LINE // 2)))
    yield get("select: quotes", f"{ROWS}?select=" + '"' * LINE)
    yield get("select: a long quoted name", f'{ROWS}?select="' + "n" * (LINE - 10) + '"')
    yield get("select: backslashes in quotes", f'{ROWS}?select="' + "\\" * (LINE - 10) + '"')
    for name in ("columns", "on_conflict"):
        yield post(f"{name}: a long name", f"{ROWS}?{name}=" + "n" * LINE, "[{}]")
        yield post(f"{name}: a name nearly right", f"{ROWS}?{name}=traveler" + "r" * 13_500, "[{}]")
        yield post(f"{name}: many names", f"{ROWS}?{name}=" + ",".join(f"c{n}" for n in range(9_000)), "[{}]")
        yield post(f"{name}: one name often", f"{ROWS}?{name}=" + ",".join(["id"] * 19_000), "[{}]")


def embeds() -> Iterator[Hostile]:
    """Side by side: each is a join that PostgreSQL plans."""
    for name, joined in {
        "to many": "e{}:items()",
        "to many, inner": "e{}:items!inner()",
        "to many and back": "e{}:items(itineraries())",
    }.items():
        most = ",".join(map(joined.format, range(20 if "back" in name else 40)))
        for count in ("none", "exact"):
            preferred = {"prefer": f"count={count}"} if count != "none" else {}
            yield get(
                f"select: as many embeds as there may be, {name}, count {count}", f"{ROWS}?select={most}", **preferred
            )
        yield get(
            f"select: embeds without fields, {name}", f"{ROWS}?select=" + ",".join(map(joined.format, range(300)))
        )
    yield get(
        "select: empty embeds of one", f"{CATALOG}?select=" + ",".join(f"e{n}:search_index()" for n in range(390))
    )
    asked = "&".join(
        ["items=is.null"] * 19 + ["items.itineraries=is.null"] * 19 + ["items.itineraries.items=is.null"] * 19
    )
    yield get(
        "select: embeds that are asked for", f"{ROWS}?select=items(itineraries(items()))&{asked}", prefer="count=exact"
    )


def casts() -> Iterator[Hostile]:
    """A text is stored first, of a few characters for each number of a hundred thousand digits."""
    note = "[" + ",".join(["1e131071"] * 50) + "]"
    permit = {"park": "Nyungwe", "visit_date": "2032-01-01", "pax_count": 3, "note": note}
    yield post("a note of large numbers", "/functions/v1/permits-request", json.dumps(permit))
    for kind in ("jsonb", "numeric", "jsonpath", "numrange", "nummultirange"):
        fields = ",".join(f"{name}:note::{kind}" for name in "abcdefgh")
        for how, accept in (("", {}), (", streamed", NDJSON)):
            yield get(f"select: casts to {kind}{how}", f"/rest/v1/permits.requests?select={fields}", **accept)


def names() -> Iterator[Hostile]:
    """As long as a body, and as a line."""
    for (kind, part), (place, query) in product(PARTS.items(), NAMED.items()):
        # As it is: percent-encoded a body holds a third.
        whole = query.format(part * (MEBIBYTE // len(part.encode()) - 10))
        yield post(f"a name of {kind} in {place}", INDEX, whole, FORM, "QUERY")
        encoded = quote(part, safe="+")
        line = query.format(encoded * (LINE // len(encoded)))
        yield get(f"a name of {kind} in {place} of a procedure", f"{PROCEDURE}?p_query=a&{line}")
        if place == "columns":
            yield post(f"a name of {kind} in {place} of a write", f"{ROWS}?{line}", "[{}]")


def orders() -> Iterator[Hostile]:
    def order(name: str, value: str) -> Hostile:
        return get(f"order: {name}", f"{ROWS}?limit=1&order={quote(value, safe='(),:.!*')}")

    yield order("a long name", "n" * LINE)
    yield order("a name nearly right", "traveler" + "r" * 13_500)
    yield order("one term often", ",".join(["id"] * (LINE // 3)))
    yield order("many terms", ",".join(f"c{number}.desc.nullslast" for number in range(3_000)))
    yield order("modifiers", "id" + ".desc" * 10_000)
    yield order("a JSON path", "notes" + "->a" * 4_000)
    yield order("of an embed", "items(" * 5_000 + "id" + ")" * 5_000)
    yield order("commas", "," * LINE)
    yield get("distinct: many", f"{ROWS}?distinct=" + ",".join(["id"] * 19_000))
    for name in ("limit", "offset"):
        yield get(f"{name}: many digits", f"{ROWS}?{name}=" + "9" * LINE)
        yield get(f"{name}: beyond 64 bits", f"{ROWS}?{name}=9223372036854775808")
    yield get("limits of many embeds", f"{ROWS}?" + "&".join(f"e{number}.limit=1" for number in range(4_000)))
    yield get("a limit of a long embed", f"{ROWS}?" + "a." * (LINE // 2) + "limit=1")


def filters() -> Iterator[Hostile]:
    def where(name: str, text: str) -> Hostile:
        return get(f"filter: {name}", f"{ROWS}?select=id&{text}")

    yield where("a long value", "traveler=eq." + "v" * LINE)
    yield where("a long operator", "traveler=" + "o" * LINE)
    yield where("not of not", "traveler=" + "not." * (LINE // 4) + "eq.1")
    yield where("a list of ids", "id=in.(" + ",".join([ITINERARY] * 1_600) + ")")
    yield where("a list of numbers", "total_cents=in.(" + ",".join(["1"] * (LINE // 2)) + ")")
    yield where("a list of quoted texts", "traveler=in.(" + ",".join(["%22a%22"] * 7_000) + ")")
    yield where("a list left open", "traveler=in.(" + "a," * (LINE // 2))
    yield where("a list in lists", "traveler=in." + "(" * LINE)
    yield where("quotes left open", "traveler=in.(" + "%22" * (LINE // 3))
    yield where("any of many", "traveler=eq(any).{" + ",".join(["a"] * (LINE // 2 - 20)) + "}")
    yield where("like any of many", "traveler=like(any).{" + ",".join(["*a*"] * 14_000) + "}")
    yield where("a pattern of stars", "traveler=like." + "*a" * (LINE // 2))
    yield where("an ilike pattern", "traveler=ilike." + "*%25a_" * 9_000)
    yield where("a regular expression that goes back", "traveler=match.(a%2B)%2B$" + "a" * 1000)
    yield where("a regular expression of groups", "traveler=match." + "(" * 20_000 + "a" + ")" * 20_000)
    yield where("a regular expression of repeats", "traveler=match." + "(a{1,200}){1,200}")
    for name, pattern in {
        "thirty of thirty of thirty": "((a{1,30}){1,30}){1,30}",
        "as many states as there may be": "(" + "a" * 90 + "){1,30}",
        "repeats side by side": "a{255}" * 160,
        "repeats of choices": "(a|b|ab){1,250}" * 60,
        "repeats of sets": "[^\u0430-\u044f]{100}" * 60,
        "repeats with options": "(?x)(a{1, 30}){1, 30}",
        "counts in pieces": "(?x)[#](a{9#\n9}){9#\n9}",
        "brackets in comments": "x(?#[)(((a|b){0,100}){0,60})(?#])",
        "brackets of control characters": "\\c[)(((a|b){0,100}){0,60})\\c]",
        "a comment in front of references": "(.*)(.*)(.*)(.*)(?#[)\\4\\3\\2\\1(?#])zzz$",
        "what may be left out in a row": "(a*b*c*d*e*){250}",
        "choices of nothing": "((a?){0,50}){0,30}",
        "groups that are there again": "(" * 15 + "a*?b*" + ")+" * 15,
        "sets of many kinds": "".join(map(chr, range(0x4E00, 0x4F90))) + "([^x]{255}){8}",
        "conditions in what is repeated": "((?:\\y)*?){1,24}",
        "wide ranges": "[\u0001-\U0010ffff]" * 70,
        "references back": "(a*)" * 200 + "\\1" * 90,
        "a few references back": "^(.*)(.*)(.*)(.*)(.*)\\1\\2\\3\\4\\5x$",
    }.items():
        for operator in ("match", "imatch", "match(any)", "imatch(all)"):
            text = quote(_array(pattern) if "(" in operator else pattern)
            yield where(f"{operator} of {name}", f"traveler={operator}.{text}")
        yield where(
            f"match(any) of {name}, in a tree", f"or=(traveler.match(any).{quote(json.dumps(_array(pattern)))})"
        )
    yield where("many regular expressions", "&".join(["traveler=match.((a|b){0,10}){0,12}"] * 32))
    for operator in (
        "eq(any)",
        "like(any)",
        "gt(all)",
        "not.eq(all)",
        "cs",
        "cd",
        "ov",
        "eq",
        "neq",
        "isdistinct",
        "lte",
    ):
        yield where(f"a list of {operator}", f"traveler={operator}.{{{','.join(['a'] * 29_000)}}}")
        yield where(f"a list of ids of {operator}", f"id={operator}.{{{','.join([ITINERARY] * 1_600)}}}")
    yield where("lists in an array", "traveler=cs." + "{" * 9_000 + "a" + "}" * 9_000)
    yield where("or of lists of any", "or=(" + ",".join(["total_cents.eq(any).{1,2,3}"] * 2_000) + ")")
    yield where("a long regular expression", "traveler=match." + "a%7C" * 14_000)
    yield where("a text search of many words", "traveler=fts." + "a%26" * 14_000 + "a")
    yield where("a web search of many words", "traveler=wfts." + "a%20or%20" * 6_000 + "a")
    yield where("a long language", "traveler=fts(" + "l" * (LINE - 20) + ").a")
    yield where("an array of many", "traveler=cs.{" + ",".join(["a"] * (LINE // 2 - 20)) + "}")
    yield where("a JSON value", "notes=cs." + quote('{"a":' * 4_000 + "1" + "}" * 4_000))
    yield where("a number of many digits", "total_cents=eq." + "9" * LINE)
    yield where("a number beyond all", "total_cents=eq.1e400")
    yield where("a date of many digits", "start_date=eq." + "9" * LINE)
    yield where("an interval", "created_at=gt." + "1" * LINE)
    yield where("a JSON path", "notes" + "->a" * 14_000 + "=eq.1")
    yield where("of an embed in embeds", "a." * (LINE // 2 - 10) + "id=eq.1")
    yield where("of many embeds", "&".join(f"e{number}.id=eq.1" for number in range(4_000)))
    for operator in ("and", "or", "not.and"):
        deep = "(" + "".join(f"{operator}(" for _ in range(LINE // 8)) + "id.eq.1" + ")" * (LINE // 8) + ")"
        yield where(f"{operator} in {operator}", f"{operator}={deep[:LINE]}")
        yield where(f"{operator} of many", f"{operator}=(" + ",".join(["total_cents.gt.1"] * 3_400) + ")")
        yield where(f"{operator} of open ones", f"{operator}=" + "(and" * (LINE // 4))
    yield where("or of many lists", "or=(" + ",".join(["id.in.(1,2,3)"] * 4_000) + ")")
    for level in (5, 50, 500):
        tree = "or(id.not.is.null," * level + "id.not.is.null" + ")" * level
        yield where(f"a tree of {level}", f"and=({tree})")


def _array(pattern: str) -> str:
    """Of one element, as PostgreSQL writes it."""
    return "{" + json.dumps(pattern, ensure_ascii=False) + "}"


def headers() -> Iterator[Hostile]:
    long = "x" * LINE

    def header(name: str, **values: str) -> Hostile:
        return get(f"header: {name}", f"{ROWS}?limit=1", **values)

    yield header("a long Prefer", prefer=long)
    yield header("many preferences", prefer="a=b, " * 10_000)
    yield header("preferences that differ", prefer=", ".join(f"p{number}={number}" for number in range(5_000)))
    yield header("counts often", prefer="count=exact, " * 4_000)
    yield header("count=planned", prefer="count=planned")
    yield header("count=estimated", prefer="count=estimated")
    yield header("max-affected of many digits", prefer="handling=strict, max-affected=" + "9" * LINE)
    yield header("a long timezone", prefer="handling=strict, timezone=" + "T" * LINE)
    yield header("a long Accept", accept=long)
    yield header("many media types", accept="a/b;q=0.1, " * 5_000)
    yield header("many parameters of a media type", accept="application/json" + ";a=b" * 14_000)
    yield header("plan with many options", accept="application/vnd.pgrst.plan+json;options=" + "verbose|" * 7_000)
    yield header("qualities of many digits", accept="application/json;q=0." + "1" * LINE)
    yield header("a long Range", range=long, range_unit="items")
    yield header("a Range of many digits", range="0-" + "9" * LINE, range_unit="items")
    yield header("many ranges", range="items=" + "0-1," * 14_000)
    yield header("a long profile", accept_profile=long)
    yield header("a profile nearly right", accept_profile="booking" + "g" * 13_500)
    yield replace(post("header: a long profile of a body", ROWS, "{}"), headers={**JSON, "content-profile": long})
    yield header("a long tag", if_none_match=f'"{long}"')
    yield header("many tags", if_none_match='W/"a", ' * 8_000)
    yield header("a long apikey", apikey=long)
    yield header("a long bearer", authorization=f"Bearer {long}")
    yield header("a bearer of dots", authorization="Bearer " + "." * LINE)
    yield header("a bearer with long parts", authorization=f"Bearer {'e' * 20_000}.{'e' * 20_000}.{'e' * 19_000}")
    yield header("a token that is deep", authorization=f"Bearer {_token('[' * 20_000)}")
    yield header("a token with a huge number", authorization=f"Bearer {_token('9' * 20_000)}")
    yield header("a scheme of another kind", authorization="x" * 30_000 + " " + "y" * 20_000)
    yield header("blanks before the bearer", authorization="Bearer" + " " * LINE + "x")
    yield from _other_headers(header)


def _other_headers(header: Callable[..., Hostile]) -> Iterator[Hostile]:
    long = "x" * LINE
    yield header("a long request id", x_request_id=long)
    yield header("a long trace", traceparent=long, tracestate="a=b," * 5_000, baggage="a=b," * 5_000)
    yield header("a long cookie", cookie=long)
    yield header("many cookies", cookie="a=b; " * 12_000)
    yield header("a long address of the client", x_forwarded_for="127.0.0.1, " * 5_000)
    yield header("a long forwarded", forwarded="for=127.0.0.1;" * 4_000)
    yield header("a long origin", origin="http://" + "o" * LINE)
    yield header("a long user agent", user_agent=long)
    yield header("a long host", host="h" * LINE)
    yield header("a host of digits and colons", host="1:" * (LINE // 2))
    yield replace(header("99 headers"), repeated=tuple((f"x-{number}", "x" * 500) for number in range(90)))
    yield replace(header("900 headers"), repeated=tuple((f"x-{n}", "x") for n in range(900)), hung_up=True)
    yield replace(header("one header often"), repeated=tuple(("prefer", "count=exact") for _ in range(90)))
    yield replace(header("two lengths"), repeated=(("content-length", "1"), ("content-length", "2")), hung_up=True)
    yield replace(header("a header beyond all"), repeated=(("x-long", "x" * 600_000),), hung_up=True)
    preflight = {
        "origin": "http://example.org",
        "access-control-request-method": "GET",
        "access-control-request-headers": "a," * 25_000,
    }
    yield Hostile("header: a preflight of many headers", "OPTIONS", ROWS, preflight)
    yield replace(
        post("header: a length of many digits", FUNCTION, ""), headers={"content-length": "9" * 5_000}, hung_up=True
    )
    yield replace(
        post("header: a length beyond 64 bits", FUNCTION, ""), headers={"content-length": "9" * 25}, hung_up=True
    )
    yield replace(post("header: a length of blanks", FUNCTION, "{}"), headers={"content-length": " " * 100 + "2"})
    for name, kind in (("long", long), ("of parameters", "application/json" + ";charset=utf-8" * 4_000)):
        for target in (FUNCTION, ROWS, PROCEDURE):
            yield post(f"header: a media type {name} at {target}", target, "{}", {"content-type": kind})
    for name, key in (("long", "k" * 255), ("longer", "k" * LINE), ("of other letters", "\xe9" * 200)):
        yield post(
            f"header: an Idempotency-Key, {name}", FUNCTION, json.dumps(CHECKOUT), {**JSON, "idempotency-key": key}
        )
    yield Hostile("header: expects another thing", "POST", FUNCTION, {**JSON, "expect": long}, b"{}")


def _token(payload: str) -> str:
    def part(text: str) -> str:
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    return f"{part(json.dumps({'alg': 'HS256', 'typ': 'JWT'}))}.{part(payload)}.{part('x' * 32)}"


def rest_bodies() -> Iterator[Hostile]:
    places = {"rows": ROWS, "a procedure": PROCEDURE, "a procedure that is not there": "/rest/v1/rpc/nosuch"}
    for place, target in places.items():
        for name, value in VALUES.items():
            yield post(f"body for {place}: {name}", target, value)
            if not name.startswith("an object"):
                yield post(f"body for {place}: {name} in a field", target, f'{{"p_query":{value},"p_limit":5}}')
        yield post(f"body for {place}: 60 MB of empty lists", target, "[" + "[]," * (MAX_BODY // 3) + "[]]")
        yield post(f"body for {place}: 60 MB of text", target, '{"p_query":"' + "x" * MAX_BODY + '","p_limit":5}')
    yield post("body: 60 MB of empty objects", ROWS, "[" + "{}," * (MAX_BODY // 3) + "{}]")
    keys = ",".join("{" + f'"c{number}":1' + "}" for number in range(60_000))
    yield post("body: rows with other keys each", ROWS, f"[{keys}]")
    yield post("body: many rows", ROWS, "[" + ",".join(['{"traveler":"a"}'] * 50_000) + "]")
    yield post("body: many rows, one odd", ROWS, "[" + ",".join(['{"traveler":"a"}'] * 50_000) + ',{"status":"x"}]')
    yield post("body: a row of many columns", ROWS, _row(60_000))
    yield post("body: many rows of few columns", ROWS, "[" + ",".join([_row(40)] * 1_500) + "]")
    yield post("body: patch of many columns", f"{ROWS}?id=eq.{ITINERARY}", _row(60_000), method="PATCH")
    yield post("body: put of many columns", f"{ROWS}?id=eq.{ITINERARY}", _row(60_000), method="PUT")
    yield post("body: no text", ROWS, b"\xff" * MEBIBYTE)
    yield post("body: UTF-16", ROWS, ('{"traveler":"' + "a" * 400_000 + '"}').encode("utf-16"))
    yield post("body: blanks", ROWS, " " * MEBIBYTE)
    yield post("body: a text left open", ROWS, '{"traveler":"' + "a" * MEBIBYTE)
    yield post("body: lone surrogates", PROCEDURE, '{"p_query":"' + "\\ud800" * 150_000 + '","p_limit":5}')
    for target in (ROWS, PROCEDURE):
        for name, text in _tables():
            yield post(f"CSV at {target}: {name}", target, text, CSV)
        for name, pairs in _forms():
            yield post(f"form at {target}: {name}", target, pairs, FORM)
        for kind in ("application/octet-stream", "text/plain", "text/xml", "application/x-ndjson"):
            yield post(f"{kind} at {target}", target, b"<a>" * (MEBIBYTE // 3), {"content-type": kind})
        yield post(f"multipart at {target}", target, *_multipart())
    yield post("a procedure's many arguments", PROCEDURE, _row(60_000))
    yield post("a procedure's long argument name", PROCEDURE, json.dumps({"p" * (MEBIBYTE - 100): 1}))
    yield post("a procedure's argument nearly right", PROCEDURE, json.dumps({"p_quer" + "y" * MEBIBYTE: 1}))
    yield post("one argument as the whole body", PROCEDURE, "[1]", {**JSON, "prefer": "params=single-object"})
    yield post("many calls of a procedure", PROCEDURE, "[" + '{"p_query":"a"},' * 60_000 + "{}]")
    yield post("a null itinerary", "/rest/v1/rpc/start_checkout", json.dumps({
        "p_itinerary_id": None, "p_amount_cents": 1, "p_currency": "USD", "p_idempotency_key": "hostile"
    }))  # fmt: skip
    yield post("a permit for ever, for everybody", "/rest/v1/rpc/create_permit_request", json.dumps(PERMIT))
    yield post("an extension's function", "/rest/v1/rpc/catalog.show_trgm", json.dumps({"": "ab " * (MEBIBYTE // 3)}))


def _row(columns: int) -> str:
    return "{" + ",".join(f'"c{number}":1' for number in range(columns)) + "}"


def _tables() -> Iterator[tuple[str, str]]:
    yield "many columns", ",".join(f"c{number}" for number in range(60_000)) + "\n" + ",".join(["1"] * 60_000)
    yield "many rows", "traveler\n" + "a\n" * 400_000
    yield "a long column", "n" * MEBIBYTE + "\n1"
    yield "a long value", "traveler\n" + "v" * MEBIBYTE
    yield "quotes", "traveler\n" + '"' * MEBIBYTE
    yield "a quote left open", 'traveler\n"' + "a\n" * 400_000
    yield "one column often", ",".join(["id"] * 200_000) + "\n"
    yield "commas", "id\n" + "," * MEBIBYTE
    text = io.StringIO()
    csv.writer(text).writerows([["traveler"], *[[f'a"{number}'] for number in range(60_000)]])
    yield "quotes in every value", text.getvalue()


def _forms() -> Iterator[tuple[str, str]]:
    yield "many fields", urlencode({f"c{number}": 1 for number in range(70_000)})
    yield "one field often", "p_query=a&" * 100_000
    yield "a long name", "n" * MEBIBYTE + "=1"
    yield "a long value", "p_query=" + "v" * MEBIBYTE
    yield "encoded", "p_query=" + "%61" * (MEBIBYTE // 3)
    yield "ampersands", "&" * MEBIBYTE


def _multipart() -> tuple[bytes, dict[str, str]]:
    part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n'
    return part * 18_000 + b"--b--\r\n", {"content-type": "multipart/form-data; boundary=b"}


def conditions() -> Iterator[Hostile]:
    """Filters in a body."""
    trees: dict[str, dict[str, str | Sequence[str]]] = {
        "600 ids": {"id": "in.(" + ",".join([ITINERARY] * 600) + ")"},
        "25,000 ids": {"id": "in.(" + ",".join([ITINERARY] * 25_000) + ")"},
        "a long value": {"traveler": "eq." + "v" * MEBIBYTE},
        "a long name": {"n" * MEBIBYTE: "eq.1"},
        "many names": {f"c{number}": "eq.1" for number in range(60_000)},
        "a wide tree": {"or": "(" + ",".join(["total_cents.gt.1"] * 55_000) + ")"},
        "a tree of 2,500": {"or": "(" + ",".join(["total_cents.gt.1"] * 2_500) + ")"},
        "a deep tree": {"and": "(" + "or(id.is.null," * 50_000 + "id.is.null" + ")" * 50_000 + ")"},
        "a long select": {"select": ",".join(["id"] * 300_000)},
        "a long order": {"order": ",".join(["id"] * 300_000)},
        "embeds in embeds": {"select": "items(itineraries(" * 25_000 + "id" + "))" * 25_000},
        "many values of one name": {"id": ["not.is.null"] * 60_000},
        "a list of any": {"traveler": "eq(any).{" + ",".join(["a"] * 19_000) + "}"},
        "as many as any may have": {"traveler": "gt(any).{" + ",".join(["zz"] * 1_000) + "}"},
        "a longer list of any": {"traveler": "eq(any).{" + ",".join(["a"] * 400_000) + "}"},
        "an array": {"traveler": "ov.{" + ",".join(["a"] * 400_000) + "}"},
        "backslashes in quotes": {"or": '(traveler.eq."' + "\\\\" * 170_000 + '")'},
        "backslashes in a list": {"traveler": 'in.("' + "\\\\" * 170_000 + '",b)'},
        "backslashes in quotes left open": {"or": '(traveler.eq."' + "\\\\" * 170_000},
        "dashes in a JSON key": {"select": "notes->" + "a-" * 500_000 + "a"},
        "digits of a JSON index": {"select": "notes->" + "1" * 1_000_000},
        "dashes in a name": {"select": "a-" * 500_000},
    }
    for name, tree in trees.items():
        as_form = urlencode(tree, doseq=True)
        for how, headers_, method in (("Prefer: read", {"prefer": "read"}, "POST"), ("QUERY", {}, "QUERY")):
            yield post(f"conditions by {how}, form: {name}", ROWS, as_form, {**FORM, **headers_}, method)
            yield post(f"conditions by {how}, JSON: {name}", ROWS, json.dumps(tree), {**JSON, **headers_}, method)
    array = "keywords=eq.{" + "a," * (MEBIBYTE // 2 - 100) + "a}"
    yield post("conditions by QUERY: an array that is compared", INDEX, array, FORM, "QUERY")
    # Backslashes as they are: percent-encoded a body holds a third.
    raw = 'or=(traveler.eq."' + "\\" * (MEBIBYTE - 100) + '")'
    for kind in (FORM, {"content-type": "text/plain"}, {}):
        yield post(f"conditions by QUERY, {kind.get('content-type', 'no type')}: backslashes", ROWS, raw, kind, "QUERY")
    for name, value in VALUES.items():
        yield post(f"conditions: {name}", ROWS, value, READ)


def function_bodies() -> Iterator[Hostile]:
    for name, value in VALUES.items():
        yield post(f"checkout: {name}", FUNCTION, value)
        yield post(f"checkout: {name} in an unknown field", FUNCTION, json.dumps(CHECKOUT)[:-1] + f',"x":{value}}}')
        yield post(f"quote: {name}", "/functions/v1/bff-quote", f'{{"items":{value}}}')
    item = '{"supplier_hotel_id":"a","nights":1,"unit_cents":1,"qty":1}'
    yield post("quote: many items", "/functions/v1/bff-quote", '{"items":[' + ",".join([item] * 15_000) + "]}")
    yield post("checkout: a key of its own", FUNCTION, json.dumps({**CHECKOUT, "idempotency_key": "k" * MEBIBYTE}))
    yield post("checkout: spelled twice", FUNCTION, '{"amount_cents":1,' * 1 + '"amountCents":1,' * 60_000 + '"x":1}')
    yield post("checkout: 60 MB", FUNCTION, '{"x":"' + "x" * MAX_BODY + '"}')
    yield post("checkout: a form", FUNCTION, "a=b&" * 250_000, FORM)
    yield post("checkout: multipart", FUNCTION, *_multipart())
    yield post("checkout: blanks", FUNCTION, " " * MEBIBYTE)
    # Much for whom it is expanded.
    compressed = gzip.compress(b" " * 2**27)
    for target in (FUNCTION, SEARCH, ROWS, PROCEDURE, "/functions/v1/wa-webhook"):
        yield post(f"compressed at {target}", target, compressed, {**JSON, "content-encoding": "gzip"})
    for target in (FUNCTION, ROWS, PROCEDURE):
        second = post(
            f"compressed by the second header at {target}", target, compressed, {**JSON, "content-encoding": "identity"}
        )
        yield replace(second, repeated=(("content-encoding", "gzip"),))
    yield get("bookings: a long query", "/functions/v1/ops-bookings?supplier=" + "s" * LINE)
    yield get("bookings: many names", "/functions/v1/ops-bookings?" + "&".join(f"c{n}=1" for n in range(7_000)))
    yield get("bookings: a page of many digits", "/functions/v1/ops-bookings?page=" + "9" * LINE)
    yield get("bookings: a date of many digits", "/functions/v1/ops-bookings?from=" + "9" * LINE)
    yield get("exceptions: one name often", "/functions/v1/ops-exceptions?" + "status=open&" * 5_000)


def searches() -> Iterator[Hostile]:
    for script, piece in SCRIPTS.items():
        for length in (100, 200, 5_000, 300_000):
            text = (piece * length)[:length]
            body = json.dumps({"query": text, "limit": 50}, ensure_ascii=False)
            yield post(f"search: {length:,} letters, {script}", SEARCH, body)
            arguments = json.dumps({"p_query": text, "p_limit": 50}, ensure_ascii=False)
            yield post(f"search by procedure: {length:,} letters, {script}", PROCEDURE, arguments)
    words = " ".join(f"{random.Random(number).getrandbits(40):x}" for number in range(40))
    yield post("search: words that are not there", SEARCH, json.dumps({"query": words[:200]}))
    yield post("search: a place of many letters", "/rest/v1/rpc/locate_place", json.dumps({"p_name": "a b " * 50_000}))
    yield post(
        "hotels: a city of many letters",
        "/functions/v1/inventory-search",
        json.dumps({"check_in": "2031-01-01", "check_out": "2031-01-02", "pax": {"adults": 2}, "city": "a" * MEBIBYTE}),
    )


def events() -> Iterator[Hostile]:
    """What a provider's webhook may hold."""
    message = {"id": "wamid.x", "from": "250788000001", "timestamp": "1", "type": "text", "text": {"body": "x"}}

    def whatsapp(*messages: object) -> dict[str, object]:
        value = {"messaging_product": "whatsapp", "messages": list(messages)}
        return {"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages", "value": value}]}]}

    place = "/functions/v1/wa-webhook"
    yield post("WhatsApp: many messages", place, json.dumps(whatsapp(*[message] * 20_000)))
    yield post("WhatsApp: a long text", place, json.dumps(whatsapp({**message, "text": {"body": "x" * 2 * MEBIBYTE}})))
    yield post("WhatsApp: many entries", place, json.dumps({**whatsapp(), "entry": [{}] * 300_000}))
    yield post("WhatsApp: a long id", place, json.dumps(whatsapp({**message, "id": "x" * MEBIBYTE})))
    for name, value in VALUES.items():
        yield post(f"WhatsApp: {name}", place, f'{{"object":"whatsapp_business_account","entry":{value}}}')
        yield post(
            f"Stripe: {name}", "/functions/v1/stripe-webhook", f'{{"id":"e","type":"x","data":{{"object":{value}}}}}'
        )
    yield get("WhatsApp: a long challenge", f"{place}?hub.mode=subscribe&hub.challenge={'c' * LINE}")
    signature = {**JSON, "x-hub-signature-256": "sha256=" + "a" * LINE}
    yield post("WhatsApp: a long signature", place, "{}", signature)
    parts = {**JSON, "stripe-signature": "t=1," + "v1=aa," * 9_000}
    yield post("Stripe: many signatures", "/functions/v1/stripe-webhook", "{}", parts)
    yield post(
        "Stripe: a time of many digits", "/functions/v1/stripe-webhook", "{}", {"stripe-signature": "t=" + "9" * LINE}
    )


def storage() -> Iterator[Hostile]:
    for place in (f"{OBJECT}/invoices/", f"{OBJECT}/sign/invoices/", f"{OBJECT}/public/", f"{OBJECT}/list/"):
        yield get(f"{place} and a long path", place + "p" * LINE)
        yield get(f"{place} and many parts", place + "p/" * (LINE // 2))
        yield get(f"{place} and many dots", place + "../" * (LINE // 3))
        yield get(f"{place} and encoded slashes", place + "%2f" * (LINE // 3))
        yield post(f"{place} and a body", place + "a.pdf", b"x" * MEBIBYTE, {"content-type": "application/pdf"})
        yield post(f"{place} and deep JSON", place + "a.pdf", VALUES["lists in lists, 5,000 deep"])
        yield post(f"{place} and multipart", place + "a.pdf", *_multipart())
        yield post(f"{place} and a put", place + "a.pdf", b"x" * MEBIBYTE, {}, "PUT")
    yield get("a link with a long token", f"{OBJECT}/sign/invoices/a.pdf?token=" + "t" * LINE)
    yield get("a link with a token of dots", f"{OBJECT}/sign/invoices/a.pdf?token=" + "." * LINE)
    yield get("a link with a long file name", f"{OBJECT}/sign/invoices/a.pdf?token=a&download=" + "d" * LINE)
    yield get("a link with many parameters", f"{OBJECT}/sign/invoices/a.pdf?" + "token=a&" * 7_000)
    yield Hostile(
        "many paths to remove", "DELETE", f"{OBJECT}/invoices", JSON, json.dumps({"prefixes": ["a"] * MANY}).encode()
    )


def neighbours() -> Iterator[Hostile]:
    """What takes no body, with one; what takes no query, with one."""
    large = b"x" * MEBIBYTE
    for target in (
        "/healthz",
        "/readyz",
        "/metrics",
        "/schema",
        "/docs",
        "/auth/v1/user",
        "/rest/v1/",
        "/nothing",
        "/",
    ):
        yield Hostile(f"{target}, posted", "POST", target, JSON, large)
        yield Hostile(f"{target}, got with a body", "GET", target, JSON, large)
        yield get(f"{target}, a long query", f"{target}?" + "a=b&" * 14_000)
        yield get(f"{target}, a long token", target, authorization="Bearer " + "t" * LINE)
        yield Hostile(f"{target}, a long method", "M" * 1000, target)
    yield Hostile("rows, got with a body", "GET", ROWS, JSON, large)
    yield Hostile("rows, deleted with a body", "DELETE", f"{ROWS}?id=eq.{ITINERARY}", JSON, large)
    yield chunked("one byte a chunk", b"1\r\nx\r\n" * MANY + b"0\r\n\r\n")
    yield chunked(
        "chunks with long extensions", (b"1;" + b"e" * 1000 + b"\r\nx\r\n") * 900 + b"0\r\n\r\n", hung_up=True
    )
    yield chunked("a chunk of many digits", b"f" * 5_000, hung_up=True)
    yield chunked("many trailers", b"1\r\nx\r\n0\r\n" + b"a: b\r\n" * 10_000 + b"\r\n", hung_up=True)


def declared_functions(document: Mapping[str, object]) -> Iterator[Hostile]:
    """Each function's declared fields: all of them of one hostile kind, and each long alone among good ones."""
    for target, operation, method in _operations(document):
        if not target.startswith("/functions/v1/"):
            continue
        if method == "get":
            names = [str(_mapping(one).get("name")) for one in _list(operation.get("parameters"))]
            yield from (get(f"{target}: a long {name}", f"{target}?{name}=" + "9" * LINE) for name in names if name)
            continue
        content = _mapping(_mapping(_mapping(operation.get("requestBody")).get("content")).get("application/json"))
        names = list(_mapping(_resolved(document, _mapping(content.get("schema"))).get("properties")))
        good = _example(content)
        yield from _fields(target, names, good)


def declared_procedures(document: Mapping[str, object]) -> Iterator[Hostile]:
    """Each procedure's arguments, as an OpenAPI 2.0 document names them."""
    for path, operation, method in _operations(document):
        if method != "post" or not path.startswith("/rpc/"):
            continue
        for parameter in _list(operation.get("parameters")):
            schema = _mapping(_mapping(parameter).get("schema"))
            names = list(_mapping(_resolved(document, schema).get("properties")))
            if names:
                yield from _fields(f"/rest/v1{path}", names, {})


def _fields(target: str, names: Iterable[str], good: Mapping[str, object]) -> Iterator[Hostile]:
    names = list(names)
    for kind in KINDS if names else ():
        fields = ",".join(f"{json.dumps(name)}:{_shared(VALUES[kind], len(names))}" for name in names)
        yield post(f"{target}: {kind} in every field", target, f"{{{fields}}}")
    for name in names if good else ():
        yield post(f"{target}: a long {name}", target, json.dumps({**good, name: "x" * 5_000}))


def _shared(value: str, number: int) -> str:
    """The value, shorter when it is a long text that `number` fields share one body with."""
    return value if len(value) * number < 2 * MEBIBYTE or value[0] != '"' else value[: len(value) // number] + '"'


def _operations(document: Mapping[str, object]) -> Iterator[tuple[str, Mapping[str, object], str]]:
    for path, item in _mapping(document.get("paths")).items():
        for method, operation in _mapping(item).items():
            if method in ("get", "post"):
                yield path, _mapping(operation), method


def _resolved(document: Mapping[str, object], schema: Mapping[str, object]) -> Mapping[str, object]:
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    found: Mapping[str, object] = document
    for part in reference.removeprefix("#/").split("/"):
        found = _mapping(found.get(part))
    return found


def _example(content: Mapping[str, object]) -> Mapping[str, object]:
    examples = _mapping(content.get("examples"))
    first = _mapping(next(iter(examples.values()), {})).get("value") if examples else content.get("example")
    return _mapping(first)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
