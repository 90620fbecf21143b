"""Depth, keys and values of a JSON text are told without making anything of it."""

from __future__ import annotations

import base64
import json
import tracemalloc
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.edge.json_size import JsonTooLarge, require_within, require_within_jwt
from src.edge.limits import MEBIBYTE, OF_BODIES, JsonLimits

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='[]{},:"\\a é', max_size=6),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(alphabet='[{,"\\a', max_size=4), inner),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def values_of(value: object) -> int:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return len(inner) + sum(map(values_of, inner))


def fits(text: bytes, **limits: int) -> bool:
    try:
        require_within(text, JsonLimits(**limits))
    except JsonTooLarge:
        return False
    return True


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_is_counted_is_what_is_there(value: object, ascii_only: bool, indent: int | None) -> None:  # noqa: FBT001 - made up
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    depth, values = depth_of(value), values_of(value)
    assert fits(text, depth=depth, values=values)
    if depth:
        assert not fits(text, depth=depth - 1, values=values)
    if values:
        assert not fits(text, depth=depth, values=values - 1)


def nested(levels: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * levels + closing * levels).encode()


@pytest.mark.parametrize(
    ("at", "beyond"),
    [
        (nested(64), nested(65)),
        (nested(32, '{"a":[', "]}"), nested(33, '{"a":[', "]}")),
        (json.dumps([0] * 100_000).encode(), json.dumps([0] * 100_001).encode()),
        (json.dumps([[]] * 100_000).encode(), json.dumps([[]] * 100_001).encode()),
        (json.dumps([{"a": "["}] * 50_000).encode(), json.dumps([{"a": "["}] * 50_000 + [0]).encode()),
    ],
)
def test_each_limit_is_met_exactly(at: bytes, beyond: bytes) -> None:
    require_within(at, OF_BODIES)
    with pytest.raises(JsonTooLarge):
        require_within(beyond, OF_BODIES)


HOSTILE = [
    piece * (MEBIBYTE // len(piece))
    for piece in (
        b"[",
        b"{",
        b'"',
        b"\\",
        b'\\"',
        b"[],",
        b'"",',
        b'{"":',
        b"]",
        b"[" * 64 + b"]" * 64 + b",",
        b"a",
        b",",
    )
]


@pytest.mark.parametrize("text", [b"[" + text for text in HOSTILE] + [b'{"a":"' + text for text in HOSTILE])
def test_little_memory_is_taken_for_any_text(text: bytes) -> None:
    tracemalloc.start()
    fits(text)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 32 * MEBIBYTE


def test_a_tokens_header_and_claims_are_looked_at() -> None:
    shallow, deep = (base64.urlsafe_b64encode(nested(levels)).rstrip(b"=") for levels in (64, 65))
    require_within_jwt(b".".join([shallow, shallow, deep]), OF_BODIES)
    for parts in product([shallow, deep], repeat=2):
        if deep in parts:
            with pytest.raises(JsonTooLarge):
                require_within_jwt(b".".join([*parts, b""]), OF_BODIES)
