"""Hotelbeds over HTTP: signed requests, its two kinds of errors, and bodies that are not what they say."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx
import msgspec

from src.domain.errors import Conflict, CredentialsRefused, InputInvalid, NotFound, QuotaSpent, SupplierFailed
from src.domain.resilience import TryAgain
from src.edge.json_size import JsonTooLarge, require_within
from src.edge.limits import OF_PROVIDERS

log = logging.getLogger(__name__)

DAY = 24 * 3600


@dataclass(frozen=True, slots=True)
class HbxSettings:
    """How to reach Hotelbeds. Certificate and key are PEM files for mutual TLS; one file may hold both."""

    api_key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    base_url: str = "https://api.test.hotelbeds.com"
    client_cert: str = ""
    client_key: str = ""


def signature(api_key: str, secret: str, seconds: int) -> str:
    """X-Signature: SHA-256 of key, secret and unix seconds, in lower-case hex (developer.hotelbeds.com)."""
    return hashlib.sha256(f"{api_key}{secret}{seconds}".encode()).hexdigest()


class HbxClient:
    """Sends one request and turns what comes back into JSON or a domain error."""

    def __init__(self, settings: HbxSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._http: httpx.AsyncClient | None = None

    async def post(self, path: str, body: object, timeout: float) -> Mapping[str, object]:  # noqa: ASYNC109 - each call has its own
        """`timeout` is in seconds.

        Raises what failure() makes of a refusal, and TryAgain or SupplierFailed without an answer.
        """
        seconds = int(self._clock())
        headers = {
            "api-key": self._settings.api_key,
            "x-signature": signature(self._settings.api_key, self._settings.secret, seconds),
            "accept": "application/json",
            "accept-encoding": "gzip",
            "content-type": "application/json",
        }
        try:
            answer = await self._client().post(
                path, content=msgspec.json.encode(body), headers=headers, timeout=timeout
            )
        except httpx.TimeoutException:
            message = "The supplier does not answer in time"
            raise SupplierFailed(message) from None
        except (httpx.DecodingError, httpx.InvalidURL):
            raise SupplierFailed(UNREADABLE) from None
        except httpx.HTTPError:
            message = "The connection to the supplier broke"
            raise TryAgain(message) from None
        if answer.status_code != httpx.codes.OK:
            raise failure(answer)
        found = _object(answer)
        if found.get("error"):
            raise failure(answer)
        return found

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    def _client(self) -> httpx.AsyncClient:
        """Raises CredentialsRefused when a certificate or its key cannot be read."""
        if self._http is None:
            try:
                trust = httpx.create_ssl_context()
                if self._settings.client_cert:
                    trust.load_cert_chain(self._settings.client_cert, self._settings.client_key or None)
            except OSError as error:
                log.error("HBX_CLIENT_CERT, HBX_CLIENT_KEY or SSL_CERT_FILE: %s", error.strerror)  # noqa: TRY400 - a setting
                message = "This service has no certificate for the supplier"
                raise CredentialsRefused(message) from None
            self._http = httpx.AsyncClient(base_url=self._settings.base_url, verify=trust)
        return self._http


UNREADABLE = "The supplier's answer cannot be read"


def failure(answer: httpx.Response) -> Exception:  # noqa: PLR0911 - a table, one line a meaning
    """The domain error of a refusal.

    Errors of the gateway are a string or XML, those of the application an object with a code.
    """
    status, retry_after = answer.status_code, _seconds(answer.headers.get("retry-after"))
    mashery = answer.headers.get("x-mashery-error-code", "")
    code = _code(answer)
    if mashery.endswith("OVER_RATE"):
        return QuotaSpent("The supplier's quota is used up", round(retry_after or DAY))
    if status == httpx.codes.TOO_MANY_REQUESTS or mashery.endswith("OVER_QPS"):
        return TryAgain("The supplier has too many calls", limited=True, retry_after=retry_after)
    if status == httpx.codes.SERVICE_UNAVAILABLE:
        return TryAgain("The supplier is overloaded", retry_after=retry_after)
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        log.error("HBX refuses our credentials (HTTP %s): look at HBX_API_KEY, HBX_API_SECRET and the clock", status)
        return CredentialsRefused("The supplier refuses this service")
    if code == "PRODUCT_ERROR" or status in (httpx.codes.CONFLICT, httpx.codes.GONE):
        return Conflict("The rate is no longer available")
    if status == httpx.codes.BAD_REQUEST:
        return InputInvalid("The supplier does not take this question")
    if status == httpx.codes.NOT_FOUND:
        return NotFound("The supplier does not know this hotel or rate")
    return SupplierFailed("The supplier failed")


def _object(answer: httpx.Response) -> Mapping[str, object]:
    """Raises SupplierFailed for anything but a JSON object within the limits."""
    try:
        require_within(answer.content, OF_PROVIDERS)
        return msgspec.json.decode(answer.content, type=dict[str, object])
    except (JsonTooLarge, msgspec.DecodeError):
        raise SupplierFailed(UNREADABLE) from None


def _code(answer: httpx.Response) -> str:
    try:
        error = _object(answer).get("error")
    except SupplierFailed:
        return ""
    return str(error.get("code", "")).partition("-")[0] if isinstance(error, dict) else ""


def _seconds(text: str | None) -> float | None:
    return min(float(text), DAY) if text is not None and text.isdecimal() else None
