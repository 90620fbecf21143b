"""Who may call what, and how fast that changes."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from src.domain.errors import CallerUnknown
from src.http.auth import Authenticator
from src.settings import LIVE_SWITCHES
from tests.conftest import OPS_USER, TRAVELLER, Api, serving, token
from tests.support.postgres import JWT_SECRET

PRIVATE_KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def jwks() -> str:
    keys = []
    for algorithm, private in PRIVATE_KEYS.items():
        public: Any = private.public_key()
        exported = json.loads(get_default_algorithms()[algorithm].to_jwk(public))
        keys.append({**exported, "kid": f"key-{algorithm}", "alg": algorithm})
    return json.dumps({"keys": keys})


def bearer(text: str) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + text.encode()}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_key_set_is_honoured_beside_the_secret(algorithm: str) -> None:
    claims = {"role": "authenticated", "sub": TRAVELLER, "exp": datetime.now(UTC) + timedelta(hours=1)}
    authenticator = Authenticator([JWT_SECRET], jwks())
    signed = jwt.encode(claims, PRIVATE_KEYS[algorithm], algorithm=algorithm, headers={"kid": f"key-{algorithm}"})
    assert authenticator.caller(bearer(signed)).actor == TRAVELLER
    assert authenticator.caller(bearer(token("authenticated", TRAVELLER))).actor == TRAVELLER


def test_a_key_of_another_id_does_not_verify() -> None:
    claims = {"role": "service_role"}
    signed = jwt.encode(claims, PRIVATE_KEYS["RS256"], algorithm="RS256", headers={"kid": "another"})
    with pytest.raises(CallerUnknown):
        Authenticator([], jwks()).caller(bearer(signed))


def test_a_public_key_is_never_taken_for_a_secret() -> None:
    with pytest.raises(CallerUnknown):
        Authenticator([], jwks()).caller(bearer(token("service_role")))


def test_a_cached_token_still_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    authenticator = Authenticator([JWT_SECRET])
    headers = bearer(token("authenticated", TRAVELLER))
    assert authenticator.caller(headers).actor == TRAVELLER
    later = datetime.now(UTC) + timedelta(hours=2)
    monkeypatch.setattr("src.http.auth.time.time", later.timestamp)
    monkeypatch.setattr("jwt.api_jwt.datetime", _Later)
    with pytest.raises(CallerUnknown):
        authenticator.caller(headers)


class _Later(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]  # the class it stands in for returns itself
        return datetime.now(tz) + timedelta(hours=2)


ISSUER, AUDIENCE = "https://auth.ecotrips.example", "ecotrips-ops"


def signed(algorithm: str, **claims: object) -> dict[bytes, bytes]:
    given = {"role": "service_role", **{name: value for name, value in claims.items() if value is not None}}
    key = JWT_SECRET if algorithm == "HS256" else PRIVATE_KEYS[algorithm]
    # PyJWT checks some claims when it signs; what is sent may be anything.
    payload = json.dumps(given).encode()
    return bearer(jwt.api_jws.encode(payload, key, algorithm))


@pytest.mark.parametrize(
    ("issuer", "audience", "by_keys", "by_secret"),
    [
        (ISSUER, AUDIENCE, True, True),
        (ISSUER, ["other", AUDIENCE], True, True),
        (ISSUER, "other", False, False),
        (ISSUER, ["other"], False, False),
        (ISSUER, [], False, False),
        (ISSUER, {"a": AUDIENCE}, False, False),
        (ISSUER, None, False, True),
        ("https://auth.example", AUDIENCE, False, False),
        ([ISSUER], AUDIENCE, False, False),
        ("", AUDIENCE, False, False),
        (None, AUDIENCE, False, True),
        (None, None, False, True),
        ("ecotrips", None, False, True),
        ("ecotrips", AUDIENCE, False, True),
    ],
)
def test_tokens_name_whom_they_are_of_and_for(
    issuer: object, audience: object, *, by_keys: bool, by_secret: bool
) -> None:
    authenticator = Authenticator([JWT_SECRET], jwks(), [ISSUER, "https://former.example"], [AUDIENCE])
    for algorithm, well in {"HS256": by_secret, "RS256": by_keys, "ES256": by_keys, "EdDSA": by_keys}.items():
        headers = signed(algorithm, iss=issuer, aud=audience)
        if well:
            assert authenticator.caller(headers).actor == "service-role"
        else:
            with pytest.raises(CallerUnknown):
                authenticator.caller(headers)
    anybody = Authenticator([JWT_SECRET], jwks())
    assert anybody.caller(signed("ES256", iss=issuer, aud=audience)).actor == "service-role"


def cache_size(authenticator: Authenticator) -> int:
    return len(authenticator._cache)  # noqa: SLF001 - nothing else shows how much it holds


def test_a_token_is_remembered_once_however_it_is_written() -> None:
    authenticator = Authenticator([JWT_SECRET])
    key = token("service_role").encode()
    for blanks in range(300):
        space = b" " * blanks
        for scheme in (b"Bearer", b"bearer", b"BEARER"):
            headers = {b"authorization": scheme + b" " + space + key + space, b"apikey": space + key + space}
            assert authenticator.caller(headers).actor == "service-role"
    assert cache_size(authenticator) == 1


def verbatim(claims: str) -> dict[bytes, bytes]:
    """A token whose claims are this very text."""
    header, payload = (urlsafe_b64encode(part).rstrip(b"=") for part in (b'{"alg":"HS256"}', claims.encode()))
    signed_part = header + b"." + payload
    signature = urlsafe_b64encode(hmac.digest(JWT_SECRET.encode(), signed_part, "sha256")).rstrip(b"=")
    return {b"authorization": b"Bearer " + signed_part + b"." + signature}


# What PostgreSQL's jsonb or its uuid do not take.
UNSTORABLE = [
    r'"x":"a\u0000"',
    r'"x\u0000":1',
    r'"x":[{"y":"\ud800"}]',
    '"x":Infinity',
    '"x":NaN',
    '"x":-1e400',
    '"sub":"machine@clients"',
    '"sub":7',
    '"sub":["11111111-1111-4111-8111-111111111111"]',
    '"sub":"urn:uuid:11111111-1111-4111-8111-111111111111"',
    '"sub":"1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1"',
]


@pytest.mark.parametrize("claim", UNSTORABLE)
async def test_a_token_that_sql_cannot_read_is_none(api: Api, claim: str) -> None:
    for role in ("service_role", "anon", "authenticated"):
        key = verbatim(f'{{"role":"{role}","exp":9999999999,{claim}}}')[b"authorization"].decode()
        headers = {"authorization": key}
        rows = await api.http.get("/rest/v1/booking.itineraries?select=id", headers=headers)
        called = await api.http.post("/rest/v1/rpc/set_group_status", headers=headers, json={})
        endpoint = await api.http.get("/functions/v1/ops-bookings", headers=headers)
        stored = await api.http.get("/storage/v1/object/invoices/a.pdf", headers=headers)
        assert {answer.status_code for answer in (rows, called, endpoint, stored)} == {401}, rows.text


@pytest.mark.parametrize("claim", [r'"x":"a\\u0000"', '"x":' + "9" * 4_000, '"x":1e300', '"sub":""', '"sub":null'])
def test_a_token_that_sql_can_read_is_taken(claim: str) -> None:
    assert Authenticator([JWT_SECRET]).caller(verbatim(f'{{"role":"service_role",{claim}}}')).actor == "service-role"


@pytest.mark.parametrize(("levels", "taken"), [(60, True), (65, False), (900, False), (3_000, False)])
def test_claims_nest_as_deep_as_bodies(levels: int, taken: bool) -> None:  # noqa: FBT001 - the outcome is the point
    claims = '{"role":"service_role","deep":' + "[" * levels + "]" * levels + "}"
    headers = verbatim(claims)
    if taken:
        assert Authenticator([JWT_SECRET]).caller(headers).actor == "service-role"
    else:
        with pytest.raises(CallerUnknown):
            Authenticator([JWT_SECRET]).caller(headers)


def test_a_signature_is_spelled_in_one_way() -> None:
    authenticator = Authenticator([JWT_SECRET])
    key = token("service_role")
    assert authenticator.caller(bearer(key)).actor == "service-role"
    start, last = key[:-1], key[-1]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [start + letter for letter in letters if letter != last]
    odd = [f"{key}=", f"{key}==", f"{start}!{last}", f"{key}\n.", f"{key}.", f"{start}%{last}", f"{start} {last}"]
    for spelled in (*others, *odd):
        with pytest.raises(CallerUnknown):
            authenticator.caller(bearer(spelled))
    assert cache_size(authenticator) == 1


def test_what_is_remembered_is_bounded_in_bytes_and_failures_are_not_remembered() -> None:
    authenticator = Authenticator([JWT_SECRET])
    for number in range(1_000):
        with pytest.raises(CallerUnknown):
            authenticator.caller(bearer(f"{token('service_role')}{number}"))
    assert cache_size(authenticator) == 0
    for number in range(2_600):
        authenticator.caller(bearer(token("service_role", note=f"{number:05}" * 1000)))
    held = sum(len(str(kept)) for kept in authenticator._cache.items())  # noqa: SLF001 - likewise
    assert 500 < cache_size(authenticator) < 2_000
    assert held < 17 * 1024 * 1024
    # The newest are still known.
    first = next(reversed(authenticator._cache))  # noqa: SLF001 - likewise
    assert authenticator.caller({b"authorization": first[0] or b""}).actor == "service-role"


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ('{"keys":[]}', "holds no key for"),
        ('{"keys":[{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}]}', "holds a secret"),
    ],
)
def test_keys_that_are_of_no_use_are_refused(given: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Authenticator([JWT_SECRET], given)


async def test_live_bookings_are_for_ops_and_the_service_only(database: str) -> None:
    async with serving(database, switches=LIVE_SWITCHES) as api:
        answers = {
            "anonymous": await api.get("ops-bookings"),
            "traveller": await api.get("ops-bookings", api.user()),
            "ops": await api.get("ops-bookings", api.ops),
            "service": await api.get("ops-bookings", api.service),
        }
        assert {who: answer.status_code for who, answer in answers.items()} == {
            "anonymous": 401,
            "traveller": 403,
            "ops": 200,
            "service": 200,
        }
        assert answers["ops"].json()["source"] == "view"
        assert answers["ops"].json()["total"] == 24


async def test_a_caller_without_rights_learns_nothing_about_the_input(database: str) -> None:
    async with serving(database, switches=LIVE_SWITCHES) as api:
        assert (await api.get("ops-bookings", api.user(), page="x")).status_code == 403
        assert (await api.get("ops-bookings", api.ops, page="x")).status_code == 400


async def test_granting_and_revoking_the_persona_works_at_the_next_request(
    database: str, admin: asyncpg.Connection
) -> None:
    newcomer = str(uuid4())
    async with serving(database, switches=LIVE_SWITCHES) as api:
        assert (await api.get("ops-exceptions", api.user(newcomer))).status_code == 403
        await admin.execute("insert into core.profiles (auth_user_id, persona) values ($1, 'ops')", newcomer)
        assert (await api.get("ops-exceptions", api.user(newcomer))).status_code == 200
        await admin.execute("update core.profiles set persona = 'traveller' where auth_user_id = $1", newcomer)
        assert (await api.get("ops-exceptions", api.user(newcomer))).status_code == 403


async def test_limits_count_each_caller_and_say_when_to_come_back(database: str) -> None:
    body = {"itinerary_id": OPS_USER, "amount_cents": 5, "currency": "USD"}
    async with serving(database, rate_limits=True) as api, serving(database, rate_limits=True) as other_process:
        statuses = [(await server.post("bff-checkout", body)).status_code for server in (api, other_process) * 2]
        assert statuses == [200] * 4
        refused = await api.post("bff-checkout", body)
        assert refused.status_code == 429
        assert refused.json()["code"] == "RATE_LIMITED"
        assert 1 <= int(refused.headers["retry-after"]) <= 15
        assert (await api.post("bff-checkout", body, api.user())).status_code == 200
