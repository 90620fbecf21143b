"""The fake's hotels: made from their code, so that the same question has the same answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

Json = dict[str, Any]

ROOMS = ("DBL.ST", "SUI.ST")
BOARDS = ("BB", "HB")
UNKNOWN, SOLD_OUT, DEARER = 9404, 9409, 9110
"""Codes of hotels that nobody knows, that lose their last room before checkrates, that grow a tenth dearer there."""
EMPTY = "EMPTY"
SERIAL_NUMBERS = count(1)


class Refused(Exception):
    """An error of the application: status, category of the code, message."""

    def __init__(self, status: int, category: str, message: str) -> None:
        super().__init__(message)
        self.status, self.category = status, category


@dataclass(frozen=True)
class Rate:
    """What a rateKey stands for. It is written into the key, as Hotelbeds does, and nobody else may read it."""

    check_in: str
    check_out: str
    hotel: int
    room: str
    board: str
    net: str
    recheck: bool
    issued: int

    def key(self) -> str:
        kind = "RECHECK" if self.recheck else "BOOKABLE"
        tail = f"N@{next(SERIAL_NUMBERS):06x}~{kind}~{self.net}~{self.issued}"
        return f"{self.check_in}|{self.check_out}|W|164|{self.hotel}|{self.room}|BAR {self.board}|{self.board}||{tail}"

    @classmethod
    def of(cls, key: str) -> Rate:
        """Raises Refused when it is no key of ours."""
        try:
            check_in, check_out, _, _, hotel, room, _, board, _, tail = key.split("|")
            _, kind, net, issued = tail.split("~")
            return cls(check_in, check_out, int(hotel), room, board, net, kind == "RECHECK", int(issued))
        except ValueError:
            raise Refused(400, "INVALID_DATA", "The rateKey is not valid") from None


def available(asked: Json, now: float, *, flipped: bool) -> Json:
    """The answer of POST /hotels. `flipped` gives numbers where text is usual."""
    stay, occupancy = asked["stay"], asked["occupancies"][0]
    nights = list(_nights(date.fromisoformat(stay["checkIn"]), date.fromisoformat(stay["checkOut"])))
    if not nights:
        raise Refused(400, "INVALID_DATA", "The check-out must be after the check-in")
    if sum("age" in pax for pax in occupancy.get("paxes", []) if pax["type"] == "CH") != occupancy["children"]:
        raise Refused(400, "INVALID_REQUEST", "A child needs an age")
    guests = occupancy["adults"] + occupancy["children"]
    found = [_hotel(code, nights, guests, now, flipped=flipped) for code in _codes(asked)]
    # No result: no inner array at all.
    return {"hotels": {"hotels": found, "total": len(found)} if found else {"total": 0}}


def checked(rate: Rate, now: float, raise_percent: int) -> Json:
    """The answer of POST /checkrates: the rate with a key that may be booked."""
    percent = 10 if rate.hotel == DEARER else raise_percent
    net = str((Decimal(rate.net) * (100 + percent) / 100).quantize(Decimal("0.01")))
    bookable = Rate(
        rate.check_in, rate.check_out, rate.hotel, rate.room, rate.board, net, recheck=False, issued=int(now)
    )
    rooms = [{"code": rate.room, "rates": [{**_described(bookable), "rateComments": "Bring your passport"}]}]
    return {"hotel": {"code": rate.hotel, "currency": "EUR", "totalNet": net, "rooms": rooms}}


def _codes(asked: Json) -> list[int]:
    if "hotels" in asked:
        return [code for code in asked["hotels"]["hotel"] if code != UNKNOWN]
    if "destination" in asked:
        return [] if asked["destination"]["code"] == EMPTY else [6001, 6002, 6003]
    return [7001, 7002]


def _nights(check_in: date, check_out: date) -> Iterator[date]:
    yield from (check_in + timedelta(days=night) for night in range((check_out - check_in).days))


def _hotel(code: int, nights: list[date], guests: int, now: float, *, flipped: bool) -> Json:
    stay = f"{nights[0]:%Y%m%d}", f"{nights[-1] + timedelta(days=1):%Y%m%d}"
    rooms = []
    for room in ROOMS:
        rates = []
        for board in BOARDS:
            number = ROOMS.index(room) * len(BOARDS) + BOARDS.index(board)
            daily = [_price(code, number, guests, night) for night in nights]
            # Every fifth rate has to be asked for again.
            recheck = (code + number) % 5 == 0 or code in (SOLD_OUT, DEARER)
            rate = _described(Rate(*stay, code, room, board, str(sum(daily)), recheck=recheck, issued=int(now)))
            if flipped:
                rate["net"] = float(rate["net"])
            rates.append({**rate, "dailyRates": [{"offset": n, "dailyNet": str(net)} for n, net in enumerate(daily)]})
        # Cheaper than all, and not for sale by itself.
        rates.append({**rates[0], "net": "1.00", "packaging": True})
        rooms.append({"code": room, "name": room, "rates": rates})
    return {"code": code, "name": f"Hotel {code}", "destinationCode": "KGL", "currency": "EUR", "rooms": rooms}


def _price(code: int, number: int, guests: int, night: date) -> Decimal:
    """A night's: by hotel and rate, a tenth more at the weekend, 20 more for each guest beyond the second."""
    price = Decimal(80 + code % 10 * 7 + number * 15 + max(0, guests - 2) * 20) + Decimal("0.36")
    return (price * Decimal("1.1")).quantize(Decimal("0.01")) if night.weekday() in (4, 5) else price


def _described(rate: Rate) -> Json:
    return {
        "rateKey": rate.key(),
        "rateClass": "NRF" if rate.board == "HB" else "NOR",
        "rateType": "RECHECK" if rate.recheck else "BOOKABLE",
        "net": rate.net,
        "boardCode": rate.board,
        "packaging": False,
        "offers": None,
    }
