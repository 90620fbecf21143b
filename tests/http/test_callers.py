"""Who may call what, and how fast that changes."""

from __future__ import annotations

import json
import subprocess
import sys
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
from tests.postgres import JWT_SECRET
from tests.processes import ROOT, environment

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


def test_a_server_process_that_is_given_keys_has_what_they_need() -> None:
    script = (
        "import os; from src.commands import serve; serve.leave_out_unwanted();"
        " from src.http.auth import Authenticator; headers = {b'authorization': os.environb[b'BEARER']};"
        " print(Authenticator([], os.environ['JWT_JWKS']).caller(headers).actor)"
    )
    signed = jwt.encode({"role": "service_role"}, PRIVATE_KEYS["ES256"], "ES256", headers={"kid": "key-ES256"})
    env = environment(JWT_JWKS=jwks(), BEARER=f"Bearer {signed}")
    ran = subprocess.run([sys.executable, "-c", script], env=env, cwd=ROOT, capture_output=True, check=True)
    assert ran.stdout == b"service-role\n"


def test_a_key_of_another_id_does_not_verify() -> None:
    claims = {"role": "service_role"}
    signed = jwt.encode(claims, PRIVATE_KEYS["RS256"], algorithm="RS256", headers={"kid": "another"})
    with pytest.raises(CallerUnknown):
        Authenticator([], jwks()).caller(bearer(signed))


def test_a_public_key_is_never_taken_for_a_secret() -> None:
    with pytest.raises(CallerUnknown):
        Authenticator([], jwks()).caller(bearer(token("service_role")))


def test_a_remembered_token_still_expires(monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_only_listed_origins_may_call_from_browsers(database: str) -> None:
    preflight = {"origin": "https://ops.example", "access-control-request-method": "POST"}
    async with serving(database, cors_origins=("https://ops.example",)) as api:
        allowed = await api.http.options("/functions/v1/bff-checkout", headers=preflight)
        assert allowed.headers["access-control-allow-origin"] == "https://ops.example"
        refused = await api.http.options(
            "/functions/v1/bff-checkout", headers=preflight | {"origin": "https://evil.example"}
        )
        assert "access-control-allow-origin" not in refused.headers


async def test_no_origin_is_allowed_unless_told(api: Api) -> None:
    answer = await api.get("ops-bookings", api.anonymous | {"origin": "https://ops.example"})
    assert "access-control-allow-origin" not in answer.headers
