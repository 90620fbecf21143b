"""A read that is recalled is the read that it would be if it were read."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from src.rest.errors import RestError
from src.rest.protocol.reading import read
from src.rest.protocol.request import Configuration, Request
from src.rest.protocol.shapes import outline, shape_of

CONFIGURATION = Configuration()
PARAMETERS = [
    b"id=eq.%s",
    b"id=not.gte.%s",
    b"name=neq.%s",
    b"cages.size=lt.%s",
    b"name=like.%s",
    b"id=in.(1,%s)",
    b"or=(id.eq.%s,name.is.null)",
    b"select=eq.%s",
    b"columns=eq.%s",
    b"on_conflict=gt.%s",
    b"order=lte.%s",
    b"cages.order=eq.%s",
    b"limit=eq.%s",
    b"offset=%s",
    b"and=eq.%s",
    b"distinct=eq.%s",
    b"%%6eame=eq.%s",
    b"eq=eq.%s",
    b"x=%s",
    b"select=id,name",
    b"limit=20",
    b"",
]
VALUES = st.one_of(
    st.integers(-9, 99).map(lambda number: str(number).encode()),
    st.sampled_from(
        [b"", b"a%20b", b"a+b", b"%00", b"%ff", b"\xff", b";id=eq.1", b"%26", b"%", b"\xee\x80\x80", b"(x"]
    ),
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Two query strings of the same parameters with values of their own."""
    parameters = draw(st.lists(st.sampled_from(PARAMETERS), max_size=5))
    count = b"&".join(parameters).count(b"%s")
    values = st.lists(VALUES, min_size=count, max_size=count)
    template = b"&".join(parameters)
    return template % tuple(draw(values)), template % tuple(draw(values))


@given(asked=pairs())
@example(asked=(b"name=like.5&columns=eq.5", b"name=like.5&columns=eq.6"))
@example(asked=(b"b=eq.1&a=eq.2&b=gt.3&%61=eq.4", b"b=eq.5&a=eq.6&b=gt.7&%61=eq.4"))
def test_recalling_gives_what_reading_gives(asked: tuple[bytes, bytes]) -> None:
    first, second = (Request("GET", "/animals", raw) for raw in asked)
    found, other = outline(first), outline(second)
    shape = found and shape_of(CONFIGURATION, first, found)
    if found is None or other is None or shape is None or found.key != other.key:
        return
    assert shape.job(second, other.texts) == read(CONFIGURATION, second)


@given(st.binary())
def test_whatever_is_no_text_is_left_to_the_reader(raw: bytes) -> None:
    request = Request("GET", "/animals", raw)
    found = outline(request)
    with suppress(RestError):
        read(CONFIGURATION, request)
        return
    shape = found and shape_of(CONFIGURATION, request, found)
    assert shape is None


def test_comparisons_share_an_outline_and_what_decides_the_answer_does_not() -> None:
    def key(raw: bytes, *headers: tuple[bytes, bytes]) -> object:
        found = outline(Request("GET", "/animals", raw, headers))
        assert found is not None
        return found.key

    assert key(b"id=eq.1&select=id") == key(b"id=eq.2&select=id")
    assert key(b"id=eq.1") != key(b"id=gt.1")
    assert key(b"id=eq.1&select=id") != key(b"id=eq.1&select=name")
    assert key(b"id=eq.1") != key(b"id=eq.1", (b"accept", b"text/csv"))
    assert key(b"id=eq.1") != key(b"id=eq.1", (b"prefer", b"count=exact"))
    assert key(b"id=eq.1") != key(b"id=eq.1", (b"range", b"0-1"))
