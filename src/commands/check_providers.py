"""Whether live providers answer and accept our keys: one free call each that changes nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

from src.adapters.hbx.client import signature
from src.commands.verdict import Verdict
from src.domain.errors import DomainError, NotFound
from src.domain.storage import BUCKETS, ObjectName
from src.settings import LIVE_SWITCHES, Settings

TIMEOUT_SECONDS = 5
MTLS = "://api-mtls."
STRIPE = "https://api.stripe.com"
REFUSALS = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)


async def verdicts(settings: Settings, switches: Mapping[str, str]) -> list[Verdict]:
    """A verdict for each provider; `switches` are the current ones."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client:
        return [await _verdict(client, settings, provider, switches[provider.switch]) for provider in PROVIDERS]


@dataclass(frozen=True, slots=True)
class _Provider:
    """`call` is free and changes nothing. `keys` are the names of the settings that it proves."""

    name: str
    switch: str
    keys: tuple[str, ...]
    call: Callable[[Settings], httpx.Request]


def _stripe(settings: Settings) -> httpx.Request:
    address = f"{settings.stripe_api_base or STRIPE}/v1/balance"
    return _get(address, authorization=f"Bearer {settings.stripe_secret_key}")


def _hotelbeds(settings: Settings) -> httpx.Request:
    signed = signature(settings.hbx_api_key, settings.hbx_api_secret, int(time.time()))
    address = f"{settings.hbx_base_url}/hotel-api/1.0/status"
    return _get(address, **{"api-key": settings.hbx_api_key, "x-signature": signed})


def _whatsapp(settings: Settings) -> httpx.Request:
    address = f"{settings.wa_graph_base.rstrip('/')}/{settings.wa_graph_version}/{settings.wa_phone_id}?fields=id"
    return _get(address, authorization=f"Bearer {settings.wa_access_token}")


def _get(address: str, **headers: str) -> httpx.Request:
    return httpx.Request("GET", address, headers={"accept": "application/json", **headers})


PROVIDERS = (
    _Provider("stripe", "STRIPE_MOCK_MODE", ("STRIPE_SECRET_KEY",), _stripe),
    _Provider("hotelbeds", "INVENTORY_OFFLINE", ("HBX_API_KEY", "HBX_API_SECRET"), _hotelbeds),
    _Provider("whatsapp", "WA_OFFLINE", ("WA_ACCESS_TOKEN",), _whatsapp),
)


async def _verdict(client: httpx.AsyncClient, settings: Settings, provider: _Provider, switch: str) -> Verdict:
    if switch != LIVE_SWITCHES[provider.switch]:
        return Verdict(provider.name, well=None, detail=f"not called: {provider.switch}={switch}")
    # The live host requires a client certificate.
    certified = ("HBX_CLIENT_CERT",) if provider.name == "hotelbeds" and MTLS in settings.hbx_base_url else ()
    missing = [key for key in (*provider.keys, *certified) if not getattr(settings, key.lower())]
    if missing:
        return Verdict(
            provider.name, well=False, detail=f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set"
        )
    began = time.monotonic()
    try:
        answer = await client.send(provider.call(settings))
    except httpx.HTTPError as error:
        return Verdict(provider.name, well=False, detail=f"does not answer: {type(error).__name__}")
    took = f"{time.monotonic() - began:.2f} s"
    if answer.status_code in REFUSALS:
        return Verdict(provider.name, well=False, detail=f"refuses our key (HTTP {answer.status_code}, {took})")
    return Verdict(provider.name, well=answer.is_success, detail=f"answers HTTP {answer.status_code} in {took}")


async def storage(settings: Settings, newest: str | None, hosts: int) -> Verdict:
    """Whether the file store answers and holds the newest document; `hosts` are the service's."""
    from src.composition import store_of  # noqa: PLC0415 - the service's imports would slow every other command

    try:
        store = store_of(settings, make=False)
        await store.head(ObjectName(BUCKETS[0], newest or "check"))
    except (NotFound, FileNotFoundError):  # the folder is made with the first file
        if newest is not None:
            missing = f"{BUCKETS[0]}/{newest} is not there: if another host keeps it, all need one STORAGE_URL"
            return Verdict("storage", well=False, detail=missing)
    except (DomainError, ValueError, OSError) as error:
        return Verdict("storage", well=False, detail=f"does not answer: {type(error).__name__}")
    shared = hosts > 1 and not settings.storage_url.startswith("s3://")
    note = f"; the service runs at {hosts} addresses, and all need this very folder" if shared else ""
    return Verdict("storage", well=True, detail=(settings.storage_url or "under DATA_DIR") + note)
