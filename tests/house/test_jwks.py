"""Keys that anybody could sign with are refused wherever keys are read, and the refusal says which one it is."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from src.edge.errors import SettingsError
from src.edge.jwks import EDWARDS, Edwards, public_keys
from src.http.auth import Authenticator
from src.rest.asgi.jwt import BadSecretError, keys_of
from src.settings import from_environment
from tests.support.postgres import JWT_SECRET

BASE = {"JWT_SECRET": JWT_SECRET, "DATABASE_URL": "postgresql:///none", "JWT_ISSUER": "i", "JWT_AUDIENCE": "a"}
Jwk = Mapping[str, str]


def text(value: int | bytes, length: int = 0) -> str:
    content = value if isinstance(value, bytes) else value.to_bytes(length or (value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def of(key: object, algorithm: str) -> Jwk:
    made: dict[str, str] = jwt.get_algorithm_by_name(algorithm).to_jwk(key, as_dict=True)
    return {name: value for name, value in made.items() if name != "key_ops"}


def rsa_key(modulus: int, exponent: int = 65537) -> Jwk:
    return {"kty": "RSA", "n": text(modulus), "e": text(exponent)}


SOUND = rsa.generate_private_key(65537, 2048)
NUMBERS = SOUND.public_key().public_numbers()
PRIME = SOUND.private_numbers().p
POINT = of(ec.generate_private_key(ec.SECP256R1()).public_key(), "ES256")
GOOD = {
    "RSA": of(SOUND.public_key(), "RS256"),
    "EC": POINT,
    "Ed25519": of(ed25519.Ed25519PrivateKey.generate().public_key(), "EdDSA"),
}
WEAK: dict[str, Jwk] = {
    "1024 bits": of(rsa.generate_private_key(65537, 1024).public_key(), "RS256"),  # noqa: S505 - that is the point
    "2047 bits": rsa_key(NUMBERS.n >> 1 | 1),
    "17000 bits": rsa_key(1 << 17000 | 1),
    "exponent 1": rsa_key(NUMBERS.n, 1),
    "exponent 2": rsa_key(NUMBERS.n, 2),
    "exponent 65536": rsa_key(NUMBERS.n, 65536),
    "an exponent as long as the modulus": rsa_key(NUMBERS.n, NUMBERS.n - 2),
    "an even modulus": rsa_key(NUMBERS.n + 1),
    "a prime modulus": rsa_key((1 << 3217) - 1),
    "no curve's point": {**POINT, "y": text(bytes(32))},
    "infinity": {**POINT, "x": text(bytes(32)), "y": text(bytes(32))},
    "a short point": {**POINT, "x": "AA"},
    **{
        f"Ed25519 {y:x} {sign}": {"kty": "OKP", "crv": "Ed25519", "x": text((y | sign << 255).to_bytes(32, "little"))}
        for small in EDWARDS["Ed25519"].of_small_order
        for y in (small, small + EDWARDS["Ed25519"].prime)
        for sign in (0, 1)
        if y < 1 << 255
    },
    "Ed25519 off its curve": {"kty": "OKP", "crv": "Ed25519", "x": text((2).to_bytes(32, "little"))},
    "Ed448 identity": {"kty": "OKP", "crv": "Ed448", "alg": "EdDSA", "x": text((1).to_bytes(57, "little"))},
}


@pytest.mark.parametrize("kind", WEAK)
def test_a_key_that_anybody_could_sign_with_is_refused_everywhere(kind: str, tmp_path: Path) -> None:
    given = json.dumps({"keys": [GOOD["RSA"], {**WEAK[kind], "kid": "k1"}]})
    (tmp_path / "jwks.json").write_text(given)
    for place in (given, str(tmp_path / "jwks.json")):
        for environ in (BASE, BASE | {"ECOTRIPS_ENV": "production"}):
            with pytest.raises(SettingsError, match=r"JWT_JWKS holds a key that proves nothing, its 2\. one: "):
                from_environment(environ | {"JWT_JWKS": place})
        with pytest.raises(ValueError, match=r"its 2\. one"):
            Authenticator([JWT_SECRET], place)
    with pytest.raises(BadSecretError, match=r"its 2\. one"):
        keys_of(given)


@pytest.mark.parametrize("kind", GOOD)
def test_sound_keys_are_taken(kind: str) -> None:
    given = json.dumps({"keys": [GOOD[kind]]})
    assert from_environment(BASE | {"JWT_JWKS": given}).jwt_jwks == given
    assert len(public_keys(given)) == len(keys_of(given)) == 1


def test_random_keys_of_edwards_curves_are_points_of_them() -> None:
    for _ in range(50):
        for name, key in (
            ("Ed25519", ed25519.Ed25519PrivateKey.generate()),
            ("Ed448", ed448.Ed448PrivateKey.generate()),
        ):
            assert EDWARDS[name].fault(key.public_key().public_bytes_raw()) is None


@pytest.mark.parametrize(("name", "cofactor"), [("Ed25519", 8), ("Ed448", 4)])
def test_the_points_of_small_order_are_all_that_there_are(name: str, cofactor: int) -> None:
    curve = EDWARDS[name]
    points = {(x, y) for y in curve.of_small_order for x in roots(curve, y)}
    assert len(points) == cofactor
    for point in points:
        found = point
        for _ in range(int(math.log2(cofactor))):
            found = twice(curve, *found)
        assert found == (0, 1)


def roots(curve: Edwards, y: int) -> set[int]:
    """Every x of this y: the primes are 5 modulo 8 and 3 modulo 4."""
    prime = curve.prime
    square = (1 - y * y) * pow(curve.a - curve.d * y * y, -1, prime) % prime
    root = pow(square, (prime + 3) // 8 if prime % 8 == 5 else (prime + 1) // 4, prime)
    if root * root % prime != square:
        root = root * pow(2, (prime - 1) // 4, prime) % prime
    assert root * root % prime == square
    return {root, -root % prime}


def twice(curve: Edwards, x: int, y: int) -> tuple[int, int]:
    prime, product = curve.prime, curve.d * x * x * y * y
    return (
        2 * x * y * pow(1 + product, -1, prime) % prime,
        (y * y - curve.a * x * x) * pow(1 - product, -1, prime) % prime,
    )


@pytest.mark.parametrize("length", [1, 31, 32, 47, 48, 63, 64])
def test_a_secret_verifies_by_the_hashes_that_are_no_longer(length: int) -> None:
    expected = tuple(name for name, least in (("HS256", 32), ("HS384", 48), ("HS512", 64)) if length >= least)
    key = {"kty": "oct", "k": text(b"k" * length)}
    if not expected:
        for secret in ("k" * length, json.dumps(key)):
            with pytest.raises(BadSecretError):
                keys_of(secret)
        return
    assert keys_of("k" * length)[0].algorithms == keys_of(json.dumps(key))[0].algorithms == expected
    for name in {"HS256", "HS384", "HS512"} - set(expected):
        with pytest.raises(BadSecretError, match=f"and {name} needs"):
            keys_of(json.dumps({**key, "alg": name}))


@pytest.mark.parametrize("other", [{"use": "enc"}, {"alg": "RSA-OAEP"}, {"alg": "RS512"}])
def test_keys_for_something_else_are_left_out(other: Jwk) -> None:
    given = json.dumps({"keys": [{**WEAK["1024 bits"], **other}, GOOD["EC"]]})
    assert [key.algorithms for key in public_keys(given)] == [("ES256",)]


@pytest.mark.parametrize(
    "given",
    ["{", "[]", "{}", '{"keys": 1}', '{"keys": [1]}', '{"keys": [{}]}', '{"keys": [{"kty": []}]}', "/nowhere", "\0"],
)
def test_what_is_no_set_of_keys_is_said_to_be_none(given: str) -> None:
    with pytest.raises(ValueError, match=r"^is no JWKS, nor a file with one$"):
        public_keys(given)
