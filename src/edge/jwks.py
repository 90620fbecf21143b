"""Verification keys (RFC 7517), and which of them are insecure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from src.edge.json_size import require_within
from src.edge.limits import OF_PROVIDERS

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
    from jwt.algorithms import AllowedPublicKeys

# The algorithms that the service accepts for tokens of others.
ALGORITHMS = ("RS256", "ES256", "EdDSA")
RSA_BITS = range(2048, 16384 + 1)
RSA_EXPONENTS = range(3, 1 << 64, 2)
# The hash's bytes, the minimum length of an HMAC key (RFC 7518, 3.2).
HASHES = {"HS256": 32, "HS384": 48, "HS512": 64}
# Algorithms by key type or curve, where the key names none.
USUAL: Mapping[str, tuple[str, ...]] = {
    "oct": tuple(HASHES),
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "OKP": ("EdDSA",),
}


class Edwards(NamedTuple):
    """The curve a·x² + y² = 1 + d·x²·y² modulo `prime`, and the y of its points of small order (RFC 8032)."""

    prime: int
    a: int
    d: int
    of_small_order: frozenset[int]

    def fault(self, encoded: bytes) -> str | None:
        """Why a public key is insecure: its discrete logarithm is public."""
        y = int.from_bytes(encoded, "little") & ((1 << (len(encoded) * 8 - 1)) - 1)
        if y in (*self.of_small_order, *(self.prime + small for small in self.of_small_order)):
            return "it is a point of small order, for which anybody can sign"
        square = (1 - y * y) * pow(self.a - self.d * y * y, -1, self.prime) % self.prime
        if y >= self.prime or pow(square, (self.prime - 1) // 2, self.prime) != 1:
            return "it is no point of its curve"
        return None


_P25519, _P448 = 2**255 - 19, 2**448 - 2**224 - 1
_Y_OF_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
EDWARDS = {
    "Ed25519": Edwards(
        _P25519,
        -1,
        -121665 * pow(121666, -1, _P25519),
        frozenset({0, 1, _P25519 - 1, _Y_OF_ORDER_8, _P25519 - _Y_OF_ORDER_8}),
    ),
    "Ed448": Edwards(_P448, 1, -39081, frozenset({0, 1, _P448 - 1})),
}


@dataclass(frozen=True, slots=True)
class Key:
    """A secret or a public key, and the algorithms that it verifies by."""

    algorithms: tuple[str, ...]
    material: AllowedPublicKeys | bytes
    kid: str | None = None


def public_keys(given: str) -> list[Key]:
    """The verification keys of a JWKS, given as text or as a path.

    Raises ValueError as keys_of does, and for secrets, which must not be public.
    """
    items = _items(given, "is no JWKS, nor a file with one")
    if any(item["kty"] == "oct" for item in items):
        message = "holds a secret (a key of kty oct), where everybody may read: it must hold public keys"
        raise ValueError(message)
    if any("d" in item for item in items):
        message = "holds a private key, where everybody may read: it must hold public keys"
        raise ValueError(message)
    return _keys(items, ALGORITHMS)


def keys_of(text: str) -> list[Key]:
    """The keys of a JWK or a JWKS, secret or public.

    Skips keys for other algorithms or for encryption. Raises ValueError, whose words follow "it", also when a single
    key is insecure.
    """
    return _keys(_items(text, "is no usable JWK or JWKS"), [name for names in USUAL.values() for name in names])


def _items(given: str, otherwise: str) -> list[dict[str, str]]:
    try:
        text = given if given.lstrip().startswith("{") else Path(given).read_text()
        require_within(text.encode(), OF_PROVIDERS)
        content = json.loads(text)
        items: list[dict[str, str]] = content.get("keys", [content])
        if not all(isinstance(item["kty"], str) for item in items):
            raise TypeError  # noqa: TRY301 - one message for all that is wrong with it
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(otherwise) from None
    return items


def _keys(items: Sequence[Mapping[str, str]], algorithms: Sequence[str]) -> list[Key]:
    keys = []
    for number, item in enumerate(items, 1):
        kind = item["kty"] if item["kty"] != "EC" else str(item.get("crv"))
        said = (item["alg"],) if item.get("alg") else USUAL.get(kind, ())
        wanted = tuple(name for name in said if name in algorithms)
        if wanted and item.get("use", "sig") == "sig":
            try:
                keys.append(_key(item, wanted))
            except ValueError as error:
                message = f"holds a key that proves nothing, its {number}. one: {error}"
                raise ValueError(message) from None
    if not keys:
        message = f"holds no key for {', '.join(algorithms)}"
        raise ValueError(message)
    return keys


def _key(item: Mapping[str, str], algorithms: tuple[str, ...]) -> Key:
    """Raises ValueError for invalid and insecure keys, without quoting them."""
    import jwt  # noqa: PLC0415 - a quarter of the start of commands that verify nothing

    try:
        key = jwt.PyJWK(dict(item), algorithms[0]).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        message = f"it is no key for {algorithms[0]}, or no point of its curve"
        raise ValueError(message) from None
    if item["kty"] == "oct":
        return secret(key, algorithms, item.get("kid"))
    public = key.public_key() if hasattr(key, "public_key") else key
    fault = None  # the library takes no point that is not on a curve of NIST, whose order is a prime
    if item["kty"] == "RSA":
        fault = _rsa_fault(public.public_numbers())
    elif item["kty"] == "OKP":
        fault = EDWARDS[item["crv"]].fault(public.public_bytes_raw())
    if fault:
        raise ValueError(fault)
    return Key(algorithms, public, item.get("kid"))


def secret(material: bytes, algorithms: Sequence[str] = tuple(HASHES), kid: str | None = None) -> Key:
    """The key of a secret, for the HMAC algorithms that it is long enough for. Raises ValueError for none."""
    fit = tuple(name for name in algorithms if len(material) >= HASHES[name])
    if not fit:
        message = f"it has {len(material)} bytes, and {algorithms[0]} needs {HASHES[algorithms[0]]}"
        raise ValueError(message)
    return Key(fit, material, kid)


def _rsa_fault(numbers: RSAPublicNumbers) -> str | None:
    if numbers.n.bit_length() not in RSA_BITS:
        return f"RSA of {numbers.n.bit_length()} bits, not of {RSA_BITS[0]} to {RSA_BITS[-1]}"
    if numbers.e not in RSA_EXPONENTS:
        return "RSA with an exponent that is even, below 3 or longer than 64 bits"
    # Fermat's test: a modulus that is prime reveals the private key.
    if numbers.n % 2 == 0 or pow(2, numbers.n - 1, numbers.n) == 1:
        return "RSA whose modulus is no product of two large primes"
    return None
