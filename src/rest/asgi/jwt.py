"""Tokens as PostgREST checks them: one secret, a JWK or a JWKS; claims become the caller's role and settings."""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

import jwt

from src.edge.json_size import JsonTooLarge, require_modest, require_modest_token
from src.edge.jwks import checked, symmetric_fault
from src.edge.limits import OF_BODIES, OF_PROVIDERS
from src.edge.tokens import require_storable
from src.rest.asgi.claims import ClaimPath
from src.rest.errors import RestError
from src.rest.ports import Identity

LEEWAY_SECONDS = 30
MIN_SECRET_LENGTH = 32
PARTS = 3
FAMILIES = {
    "oct": ("HS256", "HS384", "HS512"),
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
OF_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
NO_KEY = "None of the keys was able to decode the JWT"


class BadSecretError(ValueError):
    """The configured secret cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Key:
    """Key material for one family of algorithms; `material` gives what PyJWT needs for one of them."""

    algorithms: tuple[str, ...]
    material: Callable[[str], jwt.PyJWK | bytes]
    kid: str | None = None


def keys_of(secret: str, *, is_base64: bool = False) -> list[Key]:
    """The keys in a secret: its own bytes, base64 of them, a JWK or a JWKS. Raises BadSecretError."""
    if secret.lstrip().startswith("{") and not is_base64:
        return _json_keys(secret)
    try:
        material = _decoded(secret) if is_base64 else secret.encode()
    except (ValueError, binascii.Error):
        message = "jwt-secret is not valid base64"
        raise BadSecretError(message) from None
    if len(material) < MIN_SECRET_LENGTH:
        message = "The JWT secret must be at least 32 characters long."
        raise BadSecretError(message)
    return [Key(_long_enough(material, FAMILIES["oct"]), lambda _algorithm: material)]


def _long_enough(material: bytes, algorithms: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in algorithms if symmetric_fault(material, name) is None)


def _decoded(text: str) -> bytes:
    plain = text.strip().replace("-", "+").replace("_", "/").replace(".", "=").rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _json_keys(text: str) -> list[Key]:
    try:
        require_modest(text.encode(), OF_PROVIDERS)
        content = json.loads(text)
        items = content.get("keys", [content])
        return [_json_key(number, item) for number, item in enumerate(items, 1)]
    except BadSecretError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError):
        message = "jwt-secret is no usable JWK or JWKS"
        raise BadSecretError(message) from None


def _json_key(number: int, item: Mapping[str, str]) -> Key:
    family = FAMILIES[item["kty"]]
    algorithms = tuple(name for name in family if item.get("alg") in (None, name))
    content = dict(item)
    try:
        # A key of a curve is for the one algorithm of that curve, all others are judged alike by the first.
        key = checked(content, OF_CURVES.get(item.get("crv", ""), algorithms[0])) if algorithms else None
    except ValueError as error:
        message = f"jwt-secret holds a key that proves nothing, its {number}. one: {error}"
        raise BadSecretError(message) from None
    if key is not None and isinstance(key.key, bytes):
        algorithms = _long_enough(key.key, algorithms)

    def material(algorithm: str) -> jwt.PyJWK:
        return jwt.PyJWK(content, algorithm=algorithm)

    return Key(algorithms, material, item.get("kid"))


@dataclass(slots=True)
class JwtIdentities:
    """Finds callers. `anonymous_role` is that of requests without a token, None when those are refused.

    Tokens whose signature holds are remembered, at most `remembered` of them; their times are checked at every use.
    """

    keys: list[Key] | None
    anonymous_role: str | None
    path: ClaimPath
    audience: str | None = None
    remembered: int = 1000
    known: OrderedDict[bytes, dict[str, object]] = field(default_factory=OrderedDict)
    lookups: int = 0
    hits: int = 0
    evictions: int = 0

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
        claims = self.known.get(token)
        if claims is not None:
            self.hits += 1
            self.known.move_to_end(token)
            return claims
        claims = self._verified(token, self.keys)
        if self.remembered:
            self.known[token] = claims
            if len(self.known) > self.remembered:
                self.known.popitem(last=False)
                self.evictions += 1
        return claims

    def _verified(self, token: bytes, keys: list[Key]) -> dict[str, object]:
        if not token:
            _refuse_token("Empty JWT is sent in Authorization header")
        parts = token.count(b".") + 1
        if parts != PARTS:
            _refuse_token(f"Expected 3 parts in JWT; got {parts}")
        try:
            require_modest_token(token, OF_BODIES)
            header = jwt.get_unverified_header(token)
        except JsonTooLarge:
            _refuse_claims("Parsing claims failed")
        except (jwt.PyJWTError, ValueError):
            _refuse_token("JWT cryptographic operation failed")
        algorithm, kid = str(header.get("alg")), header.get("kid")
        if algorithm == "none":
            message = "Wrong or unsupported encoding algorithm"
            _refuse_token(message, "JWT is unsecured but expected 'alg' was not 'none'")
        named = [key for key in keys if kid is not None and key.kid == kid]
        for key in named or keys:
            if algorithm in key.algorithms:
                with suppress(jwt.PyJWTError, ValueError, TypeError):
                    payload = jwt.api_jws.decode(token, key.material(algorithm), algorithms=[algorithm])
                    break
        else:
            _refuse_token("No suitable key or wrong key type", NO_KEY)
        return _object(payload)

    def _check_times(self, claims: dict[str, object]) -> None:
        now = int(time.time())
        for name in ("exp", "nbf", "iat"):
            moment = claims.get(name)
            if moment is None:
                continue
            if isinstance(moment, bool) or not isinstance(moment, int | float):
                _refuse_claims(f"The JWT '{name}' claim must be a number")
            if name == "exp" and moment < now - LEEWAY_SECONDS:
                _refuse_claims("JWT expired", f"Invalid by {int(now - moment)} seconds")
            if name != "exp" and moment > now + LEEWAY_SECONDS:
                early = "JWT not yet valid" if name == "nbf" else "JWT issued at future"
                _refuse_claims(early, f"Invalid by {int(moment - now)} seconds")

    def _check_audience(self, claims: dict[str, object]) -> None:
        given = claims.get("aud")
        names = [given] if isinstance(given, str) else given
        if names is None:
            return
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            _refuse_claims("The JWT 'aud' claim must be a string or an array of strings")
        if self.audience is not None and names and self.audience not in names:
            _refuse_claims("JWT not in audience")


def _object(payload: bytes) -> dict[str, object]:
    try:
        claims = json.loads(payload)
        require_storable(claims)
    except ValueError:
        claims = None
    if not isinstance(claims, dict):
        _refuse_claims("Parsing claims failed")
    return claims


def _refuse_token(message: str, details: str | None = None) -> NoReturn:
    raise RestError(401, "PGRST301", message, details, headers=[_challenge(message)])


def _refuse_claims(message: str, details: str | None = None) -> NoReturn:
    raise RestError(401, "PGRST303", message, details, headers=[_challenge(message)])


def _challenge(message: str) -> tuple[str, str]:
    return "WWW-Authenticate", f'Bearer error="invalid_token", error_description={json.dumps(message)}'
