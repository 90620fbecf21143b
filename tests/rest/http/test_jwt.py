"""Tokens and claims of the standalone server, and its settings; none of it needs a database."""

from __future__ import annotations

import base64
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from src.rest.asgi.claims import BadPathError, parse_claim_path
from src.rest.asgi.jwt import BadSecretError, JwtIdentities, keys_of
from src.rest.errors import RestError
from tests.support.postgres import JWT_SECRET

SECRET = JWT_SECRET


def identities(secret: str = SECRET, **given: object) -> JwtIdentities:
    options = {"anonymous_role": "visitor", "path": parse_claim_path("$.role"), **given}
    is_base64 = bool(options.pop("is_base64", False))
    return JwtIdentities(keys_of(secret, is_base64=is_base64), **options)  # type: ignore[arg-type]  # of one test's choice


def bearer(
    claims: dict[str, object], key: object = SECRET, algorithm: str = "HS256", **header: str
) -> dict[bytes, bytes]:
    token = jwt.encode(claims, key, algorithm=algorithm, headers=header or None)  # type: ignore[arg-type]  # any key
    return {b"authorization": b"Bearer " + token.encode()}


def refusal(found: JwtIdentities, headers: dict[bytes, bytes]) -> tuple[int, str, str, object]:
    with pytest.raises(RestError) as refused:
        found(headers)
    return refused.value.status, refused.value.code, refused.value.message, refused.value.details


def test_a_token_gives_its_role_and_claims() -> None:
    caller = identities()(bearer({"role": "keeper", "sub": "7", "name": "Zoë"}))
    assert caller.role == "keeper"
    assert json.loads(caller.claims) == {"role": "keeper", "sub": "7", "name": "Zoë"}


def test_without_a_token_or_a_role_the_caller_is_anonymous() -> None:
    for headers in ({}, {b"authorization": b"Basic eDp5"}, bearer({"sub": "7"})):
        assert identities()(headers).role == "visitor"
    assert refusal(identities(anonymous_role=None), {})[:3] == (401, "PGRST302", "Anonymous access is disabled")


def test_a_server_without_a_secret_checks_no_token() -> None:
    nothing = JwtIdentities(None, "visitor", parse_claim_path("$.role"))
    assert refusal(nothing, bearer({}))[:3] == (500, "PGRST300", "Server lacks JWT secret")


def test_what_cannot_be_decoded() -> None:
    def message(token: bytes) -> tuple[int, str, str, object]:
        return refusal(identities(), {b"authorization": b"Bearer " + token})

    assert message(b"") == (401, "PGRST301", "Empty JWT is sent in Authorization header", None)
    assert message(b"a.b")[2] == "Expected 3 parts in JWT; got 2"
    assert message(b"a.b.c")[2] == "JWT cryptographic operation failed"
    wrong = bearer({"role": "keeper"}, "another-secret-that-is-long-enough-too")
    assert refusal(identities(), wrong)[1:] == (
        "PGRST301",
        "No suitable key or wrong key type",
        "None of the keys was able to decode the JWT",
    )
    unsigned = bearer({"role": "keeper"}, None, "none")
    assert refusal(identities(), unsigned)[2] == "Wrong or unsupported encoding algorithm"


def test_times_have_thirty_seconds_of_leeway() -> None:
    now = int(time.time())
    for claims in ({"exp": now - 20}, {"nbf": now + 20}, {"iat": now + 20}):
        assert identities()(bearer({"role": "keeper", **claims})).role == "keeper"
    for claims, message in (
        ({"exp": now - 60}, "JWT expired"),
        ({"nbf": now + 60}, "JWT not yet valid"),
        ({"iat": now + 60}, "JWT issued at future"),
    ):
        assert refusal(identities(), bearer({"role": "keeper", **claims}))[:3] == (401, "PGRST303", message)
    assert refusal(identities(), bearer({"exp": "soon"}))[2] == "The JWT 'exp' claim must be a number"


def test_times_are_checked_again_for_cached_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    found = identities()
    headers = bearer({"role": "keeper", "exp": int(time.time()) + 5})
    assert found(headers).role == "keeper"
    assert found(headers).role == "keeper"
    assert (found.lookups, found.hits) == (2, 1)
    later = time.time() + 100
    monkeypatch.setattr("time.time", lambda: later)
    assert refusal(found, headers)[2] == "JWT expired"


def test_the_token_cache_is_bounded() -> None:
    found = identities(cache_size=3)
    for number in range(10):
        found(bearer({"role": "keeper", "n": number}))
    assert (len(found.cache), found.cache.evictions) == (3, 7)
    found = identities()
    for number in range(300):
        found(bearer({"role": "keeper", "n": number, "note": "n" * 10_000}))
    assert 50 < len(found.cache) < 100


def test_the_audience_must_be_among_those_of_the_token() -> None:
    found = identities(audience="zoo")
    for audience in ("zoo", ["shop", "zoo"], []):
        assert found(bearer({"role": "keeper", "aud": audience})).role == "keeper"
    assert found(bearer({"role": "keeper"})).role == "keeper"
    assert refusal(found, bearer({"aud": "shop"}))[2] == "JWT not in audience"
    assert refusal(found, bearer({"aud": 7}))[2] == "The JWT 'aud' claim must be a string or an array of strings"


@pytest.mark.parametrize("claim", ["\0", {"a\0": 1}, "\ud800", float("inf"), [float("nan")]])
@pytest.mark.parametrize("name", ["x", "exp"])
def test_claims_that_postgres_cannot_hold_are_refused(name: str, claim: object) -> None:
    headers = bearer({"role": "keeper", name: claim})
    for _ in range(2):
        assert refusal(identities(), headers)[:3] == (401, "PGRST303", "Parsing claims failed")


def test_a_secret_in_base64_and_one_that_is_too_short() -> None:
    encoded = base64.urlsafe_b64encode(SECRET.encode()).decode()
    assert identities(encoded, is_base64=True)(bearer({"role": "keeper"})).role == "keeper"
    for secret, is_base64 in (("short", False), ("c2hvcnQ=", True), ("?" * 40, True), ('{"kty": "x"}', False)):
        with pytest.raises(BadSecretError):
            keys_of(secret, is_base64=is_base64)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("RS256", rsa.generate_private_key(65537, 2048)),
        ("ES256", ec.generate_private_key(ec.SECP256R1())),
        ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    ],
)
def test_public_keys_verify_what_their_private_ones_signed(algorithm: str, key: PrivateKeyTypes) -> None:
    public = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    signed = bearer({"role": "keeper"}, key, algorithm)
    assert identities(json.dumps(public))(signed).role == "keeper"
    other = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="), "kid": "shared"}
    both = identities(json.dumps({"keys": [other, {**public, "kid": "own"}]}))
    assert both(bearer({"role": "keeper"}, key, algorithm, kid="own")).role == "keeper"
    assert both(bearer({"role": "keeper"}, SECRET, "HS256", kid="shared")).role == "keeper"
    for kid in ("shared", "another"):
        assert refusal(both, bearer({"role": "keeper"}, key, algorithm, kid=kid))[1] == "PGRST301"
    assert identities(json.dumps(public))(bearer({"role": "keeper"}, key, algorithm, kid="another")).role == "keeper"


def test_a_token_that_names_a_key_is_not_verified_by_a_nameless_one() -> None:
    keys = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
    nameless, named = (jwt.get_algorithm_by_name("RS256").to_jwk(key.public_key(), as_dict=True) for key in keys)
    found = identities(json.dumps({"keys": [nameless, {**named, "kid": "own"}]}))
    assert found(bearer({"role": "keeper"}, keys[1], "RS256", kid="own")).role == "keeper"
    assert found(bearer({"role": "keeper"}, keys[0], "RS256", kid="other")).role == "keeper"
    assert refusal(found, bearer({"role": "keeper"}, keys[0], "RS256", kid="own"))[1] == "PGRST301"


def test_a_signature_is_spelled_in_one_way() -> None:
    token = bearer({"role": "keeper"})[b"authorization"]
    for spelled in (token + b"=", token + b"==", token + b"!"):
        assert refusal(identities(), {b"authorization": spelled})[2] == "JWT cryptographic operation failed"


def test_a_public_key_is_no_shared_secret() -> None:
    """The classic confusion: a token signed by HMAC with the public key's text."""
    public = jwt.get_algorithm_by_name("RS256").to_jwk(rsa.generate_private_key(65537, 2048).public_key(), as_dict=True)
    text = json.dumps(public)
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (b'{"alg":"HS256"}', b'{"role":"keeper"}')]
    signature = hmac.digest(text.encode(), b".".join(parts), "sha256")
    forged = b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")])
    assert refusal(identities(text), {b"authorization": b"Bearer " + forged})[1] == "PGRST301"


@pytest.mark.parametrize(
    ("path", "claims", "role"),
    [
        ("$.role", {"role": "keeper"}, "keeper"),
        (".role", {"role": "keeper"}, "keeper"),
        (".app.roles[1]", {"app": {"roles": ["a", "keeper"]}}, "keeper"),
        ('."https://zoo/role"', {"https://zoo/role": "keeper"}, "keeper"),
        ('["the role"]', {"the role": "keeper"}, "keeper"),
        ('$.roles[?(@ == "keeper")]', {"roles": ["a", "keeper"]}, "keeper"),
        ('$.roles[?(@ != "a")]', {"roles": ["a", "keeper"]}, "keeper"),
        ('$.roles[?(@ ^== "keep")]', {"roles": ["a", "keeper"]}, "keeper"),
        ('$.roles[?(@ ==^ "per")]', {"roles": ["a", "keeper"]}, "keeper"),
        ('$.roles[?(@ *== "eep")]', {"roles": ["a", "keeper"]}, "keeper"),
        ('$.roles[?(@ == "b")]', {"roles": ["a"]}, None),
        ("$.a.b", {"a": "text"}, None),
        ("$.roles[7]", {"roles": []}, None),
    ],
)
def test_where_the_role_is(path: str, claims: dict[str, object], role: str | None) -> None:
    assert parse_claim_path(path).role(claims) == role


@pytest.mark.parametrize("path", ["role", "$.a..b", "$.a[", '$.a[?(@ == "b")].c', "$.a[?(@ ~ 'b')]"])
def test_a_path_that_does_not_parse(path: str) -> None:
    with pytest.raises(BadPathError, match="failed to parse jwt-role-claim-key value"):
        parse_claim_path(path)
