"""Verifies tokens like PostgREST: a secret, a JWK or a JWKS; claims become the caller's role and settings."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from src.edge import jwks
from src.edge.json_size import JsonTooLarge
from src.edge.jwks import Key
from src.edge.tokens import ClaimsUnusable, NotVerified, TokenCache, verified
from src.rest.asgi.claims import ClaimPath
from src.rest.errors import RestError
from src.rest.ports import Identity

LEEWAY_SECONDS = 30
PARTS = 3
NO_KEY = "None of the keys was able to decode the JWT"
# How many times their size in the token parsed claims may take in memory.
SPACE = 16


class BadSecretError(ValueError):
    """The configured secret is invalid; the message says why."""


def keys_of(secret: str, *, is_base64: bool = False) -> list[Key]:
    """The keys in a secret: its own bytes, base64 of them, a JWK or a JWKS. Raises BadSecretError."""
    try:
        if secret.lstrip().startswith("{") and not is_base64:
            return jwks.keys_of(secret)
        material = _decoded(secret) if is_base64 else secret.encode()
    except ValueError as error:
        message = "jwt-secret is not valid base64" if is_base64 else f"jwt-secret {error}"
        raise BadSecretError(message) from None
    try:
        return [jwks.secret(material)]
    except ValueError:
        message = "The JWT secret must be at least 32 characters long."
        raise BadSecretError(message) from None


def _decoded(text: str) -> bytes:
    plain = text.strip().replace("-", "+").replace("_", "/").replace(".", "=").rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


@dataclass(slots=True)
class JwtIdentities:
    """Finds callers. `anonymous_role` is the role without a token; None refuses such requests.

    Verified tokens are cached, at most `cache_size` of them; their times are checked at every use.
    """

    keys: list[Key] | None
    anonymous_role: str | None
    path: ClaimPath
    audience: str | None = None
    cache_size: int = 1000
    cache: TokenCache[bytes, dict[str, object]] = field(init=False)
    lookups: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        self.cache = TokenCache(self.cache_size)

    def __call__(self, headers: Mapping[bytes, bytes]) -> Identity:
        """The caller. Raises RestError PGRST300 to 303."""
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return self._identity({})
        claims = self._claims(token.strip())
        self._check_times(claims)
        self._check_audience(claims)
        return self._identity(claims)

    def _identity(self, claims: dict[str, object]) -> Identity:
        role = self.path.role(claims) or self.anonymous_role
        if role is None:
            raise RestError(401, "PGRST302", "Anonymous access is disabled", headers=[("WWW-Authenticate", "Bearer")])
        return Identity(role, json.dumps({**claims, "role": role}, ensure_ascii=False))

    def _claims(self, token: bytes) -> dict[str, object]:
        if self.keys is None:
            raise RestError(500, "PGRST300", "Server lacks JWT secret")
        self.lookups += 1
        claims = self.cache.find(token)
        if claims is not None:
            self.hits += 1
            return claims
        claims = _verified(token, self.keys)
        if self.cache_size:
            self.cache.store(token, claims, SPACE * len(token))
        return claims

    def _check_times(self, claims: dict[str, object]) -> None:
        now = int(time.time())
        for name in ("exp", "nbf", "iat"):
            timestamp = claims.get(name)
            if timestamp is None:
                continue
            if isinstance(timestamp, bool) or not isinstance(timestamp, int | float):
                _refuse_claims(f"The JWT '{name}' claim must be a number")
            if name == "exp" and timestamp < now - LEEWAY_SECONDS:
                _refuse_claims("JWT expired", f"Invalid by {int(now - timestamp)} seconds")
            if name != "exp" and timestamp > now + LEEWAY_SECONDS:
                early = "JWT not yet valid" if name == "nbf" else "JWT issued at future"
                _refuse_claims(early, f"Invalid by {int(timestamp - now)} seconds")

    def _check_audience(self, claims: dict[str, object]) -> None:
        given = claims.get("aud")
        names = [given] if isinstance(given, str) else given
        if names is None:
            return
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            _refuse_claims("The JWT 'aud' claim must be a string or an array of strings")
        if self.audience is not None and names and self.audience not in names:
            _refuse_claims("JWT not in audience")


def _verified(token: bytes, keys: list[Key]) -> dict[str, object]:
    if not token:
        _refuse_token("Empty JWT is sent in Authorization header")
    parts = token.count(b".") + 1
    if parts != PARTS:
        _refuse_token(f"Expected 3 parts in JWT; got {parts}")
    try:
        return verified(token, keys)[1]
    except (JsonTooLarge, ClaimsUnusable):
        _refuse_claims("Parsing claims failed")
    except NotVerified as refused:
        if refused.algorithm == "none":
            message = "Wrong or unsupported encoding algorithm"
            _refuse_token(message, "JWT is unsecured but expected 'alg' was not 'none'")
        _refuse_token("No suitable key or wrong key type", NO_KEY)
    except ValueError:
        _refuse_token("JWT cryptographic operation failed")


def _refuse_token(message: str, details: str | None = None) -> NoReturn:
    raise RestError(401, "PGRST301", message, details, headers=[_challenge(message)])


def _refuse_claims(message: str, details: str | None = None) -> NoReturn:
    raise RestError(401, "PGRST303", message, details, headers=[_challenge(message)])


def _challenge(message: str) -> tuple[str, str]:
    return "WWW-Authenticate", f'Bearer error="invalid_token", error_description={json.dumps(message)}'
