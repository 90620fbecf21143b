"""Verifies JWTs (RFC 7519) for both APIs, and caches what verified ones mean."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

import jwt
from jwt.utils import base64url_decode, base64url_encode

from src.edge.json_size import require_within_jwt
from src.edge.jwks import Key
from src.edge.limits import OF_BODIES

CACHE_BYTES = 16 * 1024 * 1024
# The overhead of an entry beside the token and its claims.
ENTRY_BYTES = 1_000
# RFC 7515: three parts in base64url without padding; the signature may be empty.
TOKEN = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.([A-Za-z0-9_-]*)")

Token = TypeVar("Token")
Meaning = TypeVar("Meaning")


class NotVerified(ValueError):
    """No key verifies the signature. `algorithm` is what the token's header names."""

    def __init__(self, algorithm: object) -> None:
        super().__init__()
        self.algorithm = algorithm


class ClaimsUnusable(ValueError):
    """The signature is valid, but the claims are no object that PostgreSQL's jsonb can store."""


def verified(token: bytes, keys: Sequence[Key]) -> tuple[Key, dict[str, object]]:
    """The key that a token is signed with, and its claims.

    Where the token names a key, only keys of that name are tried, or those without any name where none has it. Raises
    NotVerified, ClaimsUnusable, JsonTooLarge, or another ValueError for what is no token.
    """
    found = TOKEN.fullmatch(token)
    # base64 has several spellings of one signature; only the canonical one is accepted.
    if found is None or base64url_encode(base64url_decode(found[1])) != found[1]:
        raise ValueError
    require_within_jwt(token, OF_BODIES)
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise ValueError from None
    algorithm, kid = header.get("alg"), header.get("kid")
    named = [key for key in keys if kid is not None and key.kid == kid]
    for key in named or [key for key in keys if kid is None or key.kid is None]:
        if algorithm in key.algorithms:
            with suppress(jwt.PyJWTError, ValueError, TypeError):
                payload = jwt.api_jws.decode(token, key.material, algorithms=key.algorithms)
                break
    else:
        raise NotVerified(algorithm)
    return key, _claims(payload)


def _claims(payload: bytes) -> dict[str, object]:
    """Refuses what jsonb cannot store: NUL, lone surrogates, infinity and NaN."""
    try:
        claims = json.loads(payload)
        text = json.dumps(claims, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError:
        raise ClaimsUnusable from None
    if not isinstance(claims, dict) or "\\u0000" in text.replace("\\\\", ""):
        raise ClaimsUnusable
    return claims


class TokenCache(OrderedDict[Token, tuple[Meaning, int]]):
    """An LRU cache of what verified tokens mean, of at most `max_size` tokens and CACHE_BYTES."""

    def __init__(self, max_size: int) -> None:
        super().__init__()
        self.max_size = max_size
        self.bytes = 0
        self.evictions = 0

    def find(self, token: Token) -> Meaning | None:
        found = self.get(token)
        if found is None:
            return None
        self.move_to_end(token)
        return found[0]

    def store(self, token: Token, meaning: Meaning, texts: int) -> None:
        """`texts` are the bytes of the token and of what it means."""
        size = ENTRY_BYTES + texts
        self.bytes += size - self.pop(token, (meaning, 0))[1]
        self[token] = meaning, size
        while len(self) > self.max_size or self.bytes > CACHE_BYTES:
            self.bytes -= self.popitem(last=False)[1][1]
            self.evictions += 1
