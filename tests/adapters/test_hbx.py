"""Hotelbeds' own ways: what is sent, what comes back, and what its failures mean."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from src.adapters.hbx.client import HbxClient, HbxSettings, failure, signature
from src.adapters.hbx.supplier import HbxSupplier
from src.domain.errors import (
    Conflict,
    CredentialsRefused,
    InputInvalid,
    NotFound,
    QuotaSpent,
    SupplierFailed,
)
from src.domain.inventory import HotelSearch, Pax, Quote, RateQuery, Stay
from src.domain.resilience import TryAgain
from src.domain.search import Place
from tests.fakes.hbx.server import Behaviour, FakeHbx, running
from tests.support.suppliers import SEARCH, STAY, client_of


@pytest.fixture
async def fake() -> AsyncIterator[FakeHbx]:
    async with running() as server:
        yield server


@pytest.fixture
async def hbx(fake: FakeHbx) -> AsyncIterator[HbxSupplier]:
    client = client_of(fake)
    yield HbxSupplier(client)
    await client.close()


async def quoted(hbx: HbxSupplier, hotel: str, plan: str | None = None) -> Quote:
    quote = (await hbx.ask(RateQuery(hotel, plan, STAY))).quote
    assert quote is not None
    return quote


def test_the_signature_is_hotelbeds_own() -> None:
    expected = "737588110177fbb75b52721ce2ff7995d53cd195cc454353ba98511048a7be91"
    assert signature("apiKey", "secret", 1500000000) == expected


async def test_an_old_signature_or_a_wrong_secret_is_refused(fake: FakeHbx, hbx: HbxSupplier) -> None:
    client = client_of(fake, secret="another")
    with pytest.raises(CredentialsRefused):
        await HbxSupplier(client).ask(SEARCH)
    await client.close()
    fake.clock = lambda: time.time() + 301
    with pytest.raises(CredentialsRefused):
        await hbx.ask(SEARCH)


async def test_where_when_and_for_whom_is_sent(fake: FakeHbx, hbx: HbxSupplier) -> None:
    musanze = Place("musanze", "city", "2", "Musanze", metadata={"latitude": -1.5, "longitude": 29.6})
    await hbx.ask(HotelSearch(musanze, Stay(date(2030, 6, 3), date(2030, 6, 5), Pax(2, 2, (4, 11)))))
    assert fake.calls[-1][2] == {
        "stay": {"checkIn": "2030-06-03", "checkOut": "2030-06-05"},
        "occupancies": [
            {
                "rooms": 1,
                "adults": 2,
                "children": 2,
                "paxes": [{"type": "CH", "age": 4}, {"type": "CH", "age": 11}],
            }
        ],
        "dailyRate": True,
        "geolocation": {"latitude": -1.5, "longitude": 29.6, "radius": 20, "unit": "km"},
    }
    await hbx.ask(HotelSearch(SEARCH.place, Stay(date(2030, 6, 3), date(2030, 6, 5), Pax(1, 1))))
    sent = fake.calls[-1][2]
    assert sent["destination"] == {"code": "KGL"}
    assert sent["occupancies"][0]["paxes"] == [{"type": "CH", "age": 8}]


async def test_numbers_may_be_text(fake: FakeHbx, hbx: HbxSupplier) -> None:
    plain = (await hbx.ask(SEARCH)).hotels
    fake.behaviour = Behaviour(flipped=True)
    assert (await hbx.ask(SEARCH)).hotels == plain
    assert plain[0].price_cents == 2 * 8736


async def test_only_a_rate_that_asks_for_it_is_checked(fake: FakeHbx, hbx: HbxSupplier) -> None:
    await quoted(hbx, "6001")
    assert [path for _, path, _ in fake.calls] == ["/hotel-api/1.0/hotels"]
    await quoted(hbx, "6005")
    assert fake.calls[-1][1] == "/hotel-api/1.0/checkrates"
    assert len(fake.calls[-1][2]["rooms"]) == 1


async def test_a_price_that_changed_says_so(fake: FakeHbx, hbx: HbxSupplier) -> None:
    fake.behaviour = Behaviour(raise_percent=10)
    quote = await quoted(hbx, "6005")
    assert (quote.plan_id, quote.price_changed) == ("DBL.ST~BB~NOR", True)
    assert (quote.previous_total_cents, quote.total_cents) == (2 * 11536, 25379)
    assert sum(night.cents for night in quote.nightly) == quote.total_cents


async def test_a_rate_that_is_gone_is_a_conflict(fake: FakeHbx, hbx: HbxSupplier) -> None:
    with pytest.raises(Conflict):
        await quoted(hbx, "9409")
    fake.behaviour = Behaviour(rate_key_seconds=-1)
    with pytest.raises(Conflict):
        await quoted(hbx, "6005")


@pytest.mark.parametrize(
    ("hotel", "expected"),
    [
        ("9403", CredentialsRefused),
        ("9429", TryAgain),
        ("9503", TryAgain),
        ("9602", TryAgain),
        ("9600", QuotaSpent),
        ("9500", SupplierFailed),
        ("9603", SupplierFailed),
        ("9604", SupplierFailed),
        ("9606", SupplierFailed),
    ],
)
async def test_each_bad_day_has_its_meaning(hbx: HbxSupplier, hotel: str, expected: type[Exception]) -> None:
    with pytest.raises(expected) as raised:
        await quoted(hbx, hotel)
    assert raised.type is expected


@pytest.mark.parametrize(
    ("status", "body", "headers", "expected"),
    [
        (
            400,
            {"error": {"code": "INVALID_DATA-A1", "message": "x"}},
            {},
            InputInvalid("The supplier does not take this question"),
        ),
        (
            404,
            {"error": {"code": "INVALID_DATA-A1", "message": "x"}},
            {},
            NotFound("The supplier does not know this hotel or rate"),
        ),
        (410, {"error": "again"}, {}, Conflict("The rate is no longer available")),
        (
            403,
            "<h1>403 Developer Over Qps</h1>",
            {"x-mashery-error-code": "ERR_403_DEVELOPER_OVER_QPS"},
            TryAgain("The supplier has too many calls"),
        ),
        (502, "<html>", {}, SupplierFailed("The supplier failed")),
        (500, "[]", {}, SupplierFailed("The supplier failed")),
        (500, {"error": None}, {}, SupplierFailed("The supplier failed")),
    ],
)
def test_each_refusal_has_its_meaning(status: int, body: object, headers: dict[str, str], expected: Exception) -> None:
    content = {"content": body} if isinstance(body, str) else {"json": body}
    found = failure(httpx.Response(status, headers=headers, **content))
    assert (type(found), str(found)) == (type(expected), str(expected))


@pytest.mark.parametrize(("told", "wish"), [("2", 2), ("0", 0), ("²", None), ("soon", None), ("9" * 5000, 86400)])
def test_a_wish_to_be_called_later_is_a_number_of_seconds(told: str, wish: float | None) -> None:
    found = failure(httpx.Response(503, headers=[(b"retry-after", told.encode("latin-1"))]))
    assert isinstance(found, TryAgain)
    assert found.retry_after == wish


async def answered(body: bytes) -> int:
    """How many hotels an answer has that no behaviour of the fake gives."""
    client = HbxClient(HbxSettings())
    client._http = httpx.AsyncClient(  # noqa: SLF001 - in place of the network
        transport=httpx.MockTransport(lambda _: httpx.Response(200, content=body)), base_url="http://nowhere"
    )
    try:
        return len((await HbxSupplier(client).ask(SEARCH)).hotels)
    finally:
        await client.close()


@pytest.mark.parametrize(
    "body", [b"{}", b'{"hotels":[]}', b'{"hotels":{"hotels":null}}', b'{"hotels":{"hotels":[null,{"rooms":null}]}}']
)
async def test_an_answer_without_hotels_is_empty(body: bytes) -> None:
    assert await answered(body) == 0


NET = b'{"hotels":{"hotels":[{"code":1,"name":"x","currency":"EUR","rooms":[{"code":"D","rates":[{"net":%s}]}]}]}}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"error":"Over quota"}',
        b'{"error":{"code":"SYSTEM_ERROR-1"},"hotels":{"total":0}}',
        NET % b"null",
        NET % b'"NaN"',
        NET % b'"-1"',
        NET % b"{}",
        NET.replace(b"code", b"x"),
    ],
)
async def test_an_answer_that_makes_no_sense_is_the_suppliers_failure(body: bytes) -> None:
    with pytest.raises(SupplierFailed):
        await answered(body)


class Issued(NamedTuple):
    """The files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority of our own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(self._name, self._key, is_authority=True).certificate

    def issue(self, name: str) -> Issued:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._sign(subject, ec.generate_private_key(ec.SECP256R1()), is_authority=False)

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_authority: bool) -> Issued:
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        name = subject.rfc4514_string().removeprefix("CN=")
        files = Issued(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        files.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files


async def test_hotelbeds_and_this_service_show_each_other_their_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    authority, stranger = Authority(tmp_path, "authority"), Authority(tmp_path, "stranger")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(*authority.issue("supplier"))

    async def ask(fake: FakeHbx, certificate: Path | None, key: Path | None) -> int:
        files = {"client_cert": str(certificate or ""), "client_key": str(key or "")}
        client = client_of(fake, **files)
        try:
            return len((await HbxSupplier(client).ask(SEARCH)).hotels)
        finally:
            await client.close()

    async with running(tls=tls) as fake:
        ours, theirs = authority.issue("service"), stranger.issue("service")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        assert await ask(fake, *ours) == 3
        both = tmp_path / "both.pem"
        both.write_bytes(ours.certificate.read_bytes() + ours.key.read_bytes())
        assert await ask(fake, both, None) == 3
        for refused in ((None, None), theirs):
            with pytest.raises(SupplierFailed):
                await ask(fake, *refused)
        monkeypatch.setenv("SSL_CERT_FILE", str(stranger.certificate))
        with pytest.raises(SupplierFailed):
            await ask(fake, *ours)
        assert len(fake.calls) == 2
        for unusable in ((tmp_path / "missing.pem", None), (ours.certificate, theirs.key), (ours.key, None)):
            with pytest.raises(CredentialsRefused):
                await ask(fake, *unusable)
            assert "HBX_CLIENT_CERT" in caplog.text
            caplog.clear()
