"""Checks how deep and how large a JSON text is before it is parsed, in linear time and little memory."""

from __future__ import annotations

import base64
from itertools import accumulate
from typing import NoReturn

from src.edge.limits import JsonLimits

# Opening brackets count 1 and closing ones -1, as signed bytes.
STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
BLANKS = b" \t\r\n"
MARKS = b"[]{},"
# All other bytes are parts of values.
TOKENS = bytes(code if code in MARKS else ord("0") for code in range(256))


class JsonTooLarge(ValueError):
    """The text is too deep or holds too much; the message names the limit."""


def require_within(text: bytes, limits: JsonLimits) -> None:
    """Raises JsonTooLarge for UTF-8 JSON beyond `limits`; the parser finds texts that are no JSON.

    The keys of one object cannot be counted here, as the ends of objects are not known: `require_few` does it later.
    """
    opened = text.count(b"[") + text.count(b"{")
    if opened <= limits.depth and (
        # A list has at least two bytes for each element.
        len(text) <= 2 * limits.values or opened + text.count(b",") <= limits.values
    ):
        return
    marks = _without_texts(text, limits).translate(TOKENS, BLANKS)
    opened = marks.count(b"[") + marks.count(b"{")
    empty = marks.count(b"[]") + marks.count(b"{}")
    # Every nested list and object is itself a value.
    if marks.count(b",") + opened - empty > limits.values or opened > limits.values + 1:
        raise JsonTooLarge(_too_many(limits))
    steps = memoryview(marks.translate(STEPS, b",0")).cast("b")
    if max(accumulate(steps), default=0) > limits.depth:
        message = f"JSON may be nested at most {limits.depth} deep"
        raise JsonTooLarge(message)


def require_within_jwt(token: bytes, limits: JsonLimits) -> None:
    """The same for a JWT's header and claims, before a library parses them. Raises ValueError for invalid base64."""
    for part in token.split(b".", 2)[:2]:
        require_within(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)), limits)


def require_few(keys: int, limits: JsonLimits) -> None:
    """Raises JsonTooLarge for an object with too many keys."""
    if keys > limits.keys:
        message = f"A JSON object may have at most {limits.keys:,} keys"
        raise JsonTooLarge(message)


def refuse_constant(name: str) -> NoReturn:
    """What Python's parser takes for numbers and RFC 8259 does not: a decoder's `parse_constant`."""
    message = f"{name} is not JSON"
    raise ValueError(message)


def _without_texts(text: bytes, limits: JsonLimits) -> bytes:
    """The text with 0 in place of each string."""
    plain = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # A value comes after at most one string, its key, and is itself at most one.
    if plain.count(b'"') > 4 * limits.values + 2:
        raise JsonTooLarge(_too_many(limits))
    return b"0".join(plain.split(b'"')[::2])


def _too_many(limits: JsonLimits) -> str:
    return f"JSON may hold at most {limits.values:,} values"
