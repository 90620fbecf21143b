"""The fake Hotelbeds does what Hotelbeds' documentation says, so that what holds against it may hold there."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest

from src.adapters.hbx.client import signature
from tests.fakes.hbx.server import Behaviour, FakeHbx, running

STAY = {"checkIn": "2030-06-03", "checkOut": "2030-06-05"}
OCCUPANCY = {"rooms": 1, "adults": 2, "children": 0}
HOLDER = {"name": "Ada", "surname": "Uwase"}


class Time:
    def __init__(self) -> None:
        self.now = 1_900_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
async def fake(clock: Time) -> AsyncIterator[FakeHbx]:
    async with running(clock=clock) as server:
        yield server


class Client:
    """Calls as Hotelbeds documents them."""

    def __init__(self, fake: FakeHbx, http: httpx.AsyncClient) -> None:
        self.fake, self.http = fake, http

    async def call(self, method: str, path: str, body: object = None, **query: str) -> httpx.Response:
        address = f"/hotel-api/1.0/{path}"
        return await self.http.request(method, address, json=body, params=query, headers=self.signed())

    def signed(self, skew: int = 0) -> Mapping[str, str]:
        """Headers of a client whose clock is so many seconds ahead."""
        timestamp = int(self.fake.clock()) + skew
        return {"api-key": self.fake.key, "x-signature": signature(self.fake.key, self.fake.secret, timestamp)}

    async def hotels(self, **changes: object) -> httpx.Response:
        asked = {"stay": STAY, "occupancies": [OCCUPANCY], "hotels": {"hotel": [6005]}, **changes}
        return await self.call("POST", "hotels", asked)

    async def rate_key(self, kind: str) -> str:
        (hotel,) = (await self.hotels()).json()["hotels"]["hotels"]
        rates = [rate for room in hotel["rooms"] for rate in room["rates"] if rate["rateType"] == kind]
        return str(rates[0]["rateKey"])

    async def check(self, key: str) -> httpx.Response:
        return await self.call("POST", "checkrates", {"rooms": [{"rateKey": key}]})

    async def book(self, key: str, reference: str) -> httpx.Response:
        body = {"holder": HOLDER, "clientReference": reference, "rooms": [{"rateKey": key, "paxes": []}]}
        return await self.call("POST", "bookings", body)


@pytest.fixture
async def hotelbeds(fake: FakeHbx) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(base_url=fake.url) as http:
        yield Client(fake, http)


async def test_signatures_hold_for_five_minutes(hotelbeds: Client) -> None:
    assert (await hotelbeds.call("GET", "status")).json()["status"] == "OK"
    for skew, status in ((-300, 200), (300, 200), (-301, 401), (301, 401)):
        answer = await hotelbeds.http.get("/hotel-api/1.0/status", headers=hotelbeds.signed(skew))
        assert answer.status_code == status
    assert (await hotelbeds.http.get("/hotel-api/1.0/status")).json() == {
        "error": "Request signature verification failed"
    }


async def test_bodies_are_zipped_only_for_who_takes_it(hotelbeds: Client) -> None:
    assert (await hotelbeds.hotels()).headers["content-encoding"] == "gzip"
    hotelbeds.http.headers["accept-encoding"] = "identity"
    assert "content-encoding" not in (await hotelbeds.hotels()).headers


async def test_no_result_has_no_inner_list_and_bad_questions_have_a_code(hotelbeds: Client) -> None:
    assert (await hotelbeds.hotels(hotels={"hotel": [9404]})).json()["hotels"] == {"total": 0}
    changes: list[dict[str, object]] = [
        {"stay": {"checkIn": "2030-06-05", "checkOut": "2030-06-05"}},
        {"stay": {}},
        {"occupancies": []},
        {"occupancies": [{**OCCUPANCY, "children": 1}]},
    ]
    for change in changes:
        refused = await hotelbeds.hotels(**change)
        assert refused.status_code == 400
        assert refused.json()["error"]["code"].startswith("INVALID_")


async def test_a_rate_key_changes_with_every_answer_and_expires(hotelbeds: Client, clock: Time) -> None:
    first, second = [await hotelbeds.rate_key("RECHECK") for _ in range(2)]
    assert first != second
    assert (await hotelbeds.check(first)).json()["hotel"]["rooms"][0]["rates"][0]["rateType"] == "BOOKABLE"
    clock.now += 1801
    expired = await hotelbeds.check(second)
    assert (expired.status_code, expired.json()["error"]["code"]) == (500, "PRODUCT_ERROR-A")


async def test_a_failed_request_is_not_to_be_repeated_for_fifteen_minutes(hotelbeds: Client, clock: Time) -> None:
    key = await hotelbeds.rate_key("RECHECK")
    hotelbeds.fake.behaviour = Behaviour(sold_out=True)
    assert (await hotelbeds.check(key)).status_code == 500
    hotelbeds.fake.behaviour = Behaviour()
    assert (await hotelbeds.check(key)).status_code == 410
    clock.now += 901
    assert (await hotelbeds.check(key)).status_code == 200


async def test_too_many_calls_a_second_are_429_and_a_days_quota_is_403_in_xml(hotelbeds: Client, clock: Time) -> None:
    hotelbeds.fake.behaviour = Behaviour(per_second=2, retry_after="1")
    answers = [await hotelbeds.hotels() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert (answers[-1].headers["retry-after"], answers[-1].json()["error"]) == ("1", "Rate limit exceeded")
    clock.now += 0.5
    assert [(await hotelbeds.hotels()).status_code for _ in range(2)] == [200, 429]
    hotelbeds.fake.behaviour = Behaviour(per_day=6)
    assert (await hotelbeds.hotels()).status_code == 200
    spent = await hotelbeds.hotels()
    assert (spent.status_code, spent.headers["content-type"]) == (403, "text/xml")
    assert spent.headers["x-mashery-error-code"] == "ERR_403_DEVELOPER_OVER_RATE"
    clock.now += int(spent.headers["retry-after"])
    assert (await hotelbeds.hotels()).status_code == 200


async def test_bookings_are_made_found_and_cancelled(hotelbeds: Client) -> None:
    unchecked = await hotelbeds.book(await hotelbeds.rate_key("RECHECK"), "early")
    assert unchecked.status_code == 400
    made = (await hotelbeds.book(await hotelbeds.rate_key("BOOKABLE"), "trip-1")).json()["booking"]
    assert (made["status"], made["clientReference"]) == ("CONFIRMED", "trip-1")
    path = f"bookings/{made['reference']}"
    assert (await hotelbeds.call("GET", path)).json()["booking"] == made
    tried = await hotelbeds.call("DELETE", path, cancellationFlag="SIMULATION")
    assert tried.json()["booking"]["hotel"]["cancellationAmount"] == made["totalNet"]
    assert (await hotelbeds.call("GET", path)).json()["booking"]["status"] == "CONFIRMED"
    assert (await hotelbeds.call("DELETE", path, cancellationFlag="CANCELLATION")).json()["booking"][
        "status"
    ] == "CANCELLED"
    assert (await hotelbeds.call("DELETE", path, cancellationFlag="CANCELLATION")).status_code == 409
    assert (await hotelbeds.call("GET", "bookings/207-404")).status_code == 404
    assert (await hotelbeds.call("GET", "bookings", status="CONFIRMED")).json()["bookings"]["total"] == 0


async def test_a_booking_whose_answer_is_lost_is_found_by_our_reference_and_booked_twice_if_asked_twice(
    hotelbeds: Client,
) -> None:
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            await hotelbeds.book(await hotelbeds.rate_key("BOOKABLE"), "LOST-7")
    found = (await hotelbeds.call("GET", "bookings", clientReference="LOST-7")).json()["bookings"]
    assert found["total"] == 2


async def test_broken_bodies_are_broken(hotelbeds: Client) -> None:
    hotelbeds.fake.behaviour = Behaviour("truncated")
    hotelbeds.http.headers["accept-encoding"] = "gzip"
    async with hotelbeds.http.stream("GET", "/hotel-api/1.0/status", headers=hotelbeds.signed()) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
    with pytest.raises(EOFError):
        gzip.decompress(raw)
    hotelbeds.fake.behaviour = Behaviour("reset")
    with pytest.raises(httpx.ReadError):
        await hotelbeds.hotels()


async def test_it_is_told_what_to_do_wrong(hotelbeds: Client) -> None:
    told = await hotelbeds.http.put("/control", json={"mode": "overloaded", "times": 1})
    assert told.json()["mode"] == "overloaded"
    assert (await hotelbeds.http.put("/control", json={"mode": "bored"})).status_code == 400
    assert (await hotelbeds.http.put("/control", json={"moood": "well"})).json()["unknown"] == ["moood"]
    assert [(await hotelbeds.call("GET", "status")).status_code for _ in range(2)] == [503, 200]
    assert (await hotelbeds.http.get("/control")).json()["calls"] == 2
