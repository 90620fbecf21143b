"""Public keys that tokens are verified with (RFC 7517), and why one of them proves nothing about who signed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from src.edge.json_size import require_modest
from src.edge.limits import OF_PROVIDERS

if TYPE_CHECKING:
    import jwt

ALGORITHMS = ("RS256", "ES256", "EdDSA")
RSA_BITS = range(2048, 16384 + 1)
RSA_EXPONENTS = range(3, 1 << 64, 2)
# Bytes of the hash, which a key of HMAC has at least (RFC 7518, 3.2).
HASHES = {"HS256": 32, "HS384": 48, "HS512": 64}


class Edwards(NamedTuple):
    """The curve a·x² + y² = 1 + d·x²·y² modulo `prime`, and the y of its points of small order (RFC 8032)."""

    prime: int
    a: int
    d: int
    of_small_order: frozenset[int]

    def fault(self, encoded: bytes) -> str | None:
        """Why a public key is no point that only its owner knows the logarithm of, as what follows "is"."""
        y = int.from_bytes(encoded, "little") & ((1 << (len(encoded) * 8 - 1)) - 1)
        if y in (*self.of_small_order, *(self.prime + small for small in self.of_small_order)):
            return "a point of small order, for which anybody can sign"
        square = (1 - y * y) * pow(self.a - self.d * y * y, -1, self.prime) % self.prime
        if y >= self.prime or pow(square, (self.prime - 1) // 2, self.prime) != 1:
            return "no point of its curve"
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


def public_keys(given: str) -> list[jwt.PyJWK]:
    """The keys of a JWKS, or of the file that holds it, that verify tokens here.

    Keys for other algorithms or for encryption are left out. Raises ValueError, whose words follow "it": also for a
    single key that anybody could sign with, and for what must not be where everybody may read it.
    """
    try:
        text = given if given.lstrip().startswith("{") else Path(given).read_text()
        require_modest(text.encode(), OF_PROVIDERS)
        items = json.loads(text)["keys"]
        if not all(isinstance(item, dict) and isinstance(item["kty"], str) for item in items):
            raise TypeError  # noqa: TRY301 - one message for all that is wrong with it
    except (OSError, ValueError, KeyError, TypeError):
        message = "is no JWKS, nor a file with one"
        raise ValueError(message) from None
    if any(item["kty"] == "oct" for item in items):
        message = "holds a secret (a key of kty oct), where everybody may read: it must hold public keys"
        raise ValueError(message)
    if any("d" in item for item in items):
        message = "holds a private key, where everybody may read: it must hold public keys"
        raise ValueError(message)
    keys = [key for number, item in enumerate(items, 1) for key in _verifying(number, item)]
    if not keys:
        message = f"holds no key for {', '.join(ALGORITHMS)}"
        raise ValueError(message)
    return keys


def _verifying(number: int, item: Mapping[str, object]) -> Iterator[jwt.PyJWK]:
    algorithm = _algorithm(item)
    if algorithm in ALGORITHMS and item.get("use", "sig") == "sig":
        try:
            yield checked(item, algorithm)
        except ValueError as error:
            message = f"holds a key that proves nothing, its {number}. one: {error}"
            raise ValueError(message) from None


def _algorithm(item: Mapping[str, object]) -> object:
    """The key's own word, else what its kind is usually for."""
    usual = {"RSA": "RS256", "OKP": "EdDSA", "EC": "ES256" if item.get("crv") == "P-256" else None}
    return item.get("alg") or usual.get(str(item["kty"]))


def checked(item: Mapping[str, object], algorithm: str) -> jwt.PyJWK:
    """The key of a JWK. Raises ValueError for none, and for one that others can sign with; it shows nothing of it."""
    import jwt  # noqa: PLC0415 - a quarter of the start of commands that verify nothing

    try:
        key = jwt.PyJWK(dict(item), algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        message = f"it is no key for {algorithm}, or no point of its curve"
        raise ValueError(message) from None
    if fault := _fault(key, item, algorithm):
        raise ValueError(fault)
    return key


def _fault(key: jwt.PyJWK, item: Mapping[str, object], algorithm: str) -> str | None:
    if algorithm in HASHES:
        return symmetric_fault(key.key, algorithm)
    public = key.key.public_key() if hasattr(key.key, "public_key") else key.key
    if item["kty"] == "RSA":
        numbers = public.public_numbers()
        return _rsa_fault(numbers.n, numbers.e)
    if item["kty"] == "OKP":
        fault = EDWARDS[str(item["crv"])].fault(public.public_bytes_raw())
        return f"it is {fault}" if fault else None
    return None  # the library takes no point that is not on a curve of NIST, whose order is a prime


def symmetric_fault(secret: bytes, algorithm: str) -> str | None:
    """Why a secret is none for an algorithm of HMAC."""
    least = HASHES[algorithm]
    return f"it has {len(secret)} bytes, and {algorithm} needs {least}" if len(secret) < least else None


def _rsa_fault(modulus: int, exponent: int) -> str | None:
    if modulus.bit_length() not in RSA_BITS:
        return f"RSA of {modulus.bit_length()} bits, not of {RSA_BITS[0]} to {RSA_BITS[-1]}"
    if exponent not in RSA_EXPONENTS:
        return "RSA with an exponent that is even, below 3 or longer than 64 bits"
    # Fermat: whoever knows that a modulus is a prime has its private key.
    if modulus % 2 == 0 or pow(2, modulus - 1, modulus) == 1:
        return "RSA whose modulus is no product of two large primes"
    return None
