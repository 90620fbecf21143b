"""The fake's hotels: made from their code, so that the same question has the same answer."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fakes.hbx.server import Behaviour

ROOMS = ("DBL.ST", "SUI.ST")
BOARDS = ("BB", "HB")
UNKNOWN_HOTEL = 9999


def answer(method: str, path: str, asked: dict[str, Any], behaviour: Behaviour) -> tuple[int, dict[str, Any]]:
    audit = {"processTime": "12", "requestHost": ["10.0.0.1"] if behaviour.flipped else "10.0.0.1", "token": "A"}
    if method == "POST" and path == "/hotel-api/1.0/hotels":
        found = [_hotel(code, asked, behaviour) for code in _codes(asked)]
        # No result: no inner array at all.
        inner = {"hotels": found, "total": len(found)} if found else {"total": 0}
        return 200, {"auditData": audit, "hotels": inner}
    if method == "POST" and path == "/hotel-api/1.0/checkrates":
        return _check(asked["rooms"][0]["rateKey"], audit, behaviour)
    if path == "/hotel-api/1.0/status":
        return 200, {"auditData": audit, "status": "OK"}
    return 596, {"error": "wrong endpoint"}


def _codes(asked: dict[str, Any]) -> list[int]:
    if "hotels" in asked:
        return [code for code in asked["hotels"]["hotel"] if code != UNKNOWN_HOTEL]
    if "destination" in asked:
        return [] if asked["destination"]["code"] == "EMPTY" else [6001, 6002, 6003]
    return [7001, 7002]


def _hotel(code: int, asked: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    nights = (date.fromisoformat(asked["stay"]["checkOut"]) - date.fromisoformat(asked["stay"]["checkIn"])).days
    rooms = [
        {"code": room, "name": room, "rates": [_rate(code, room, board, nights, behaviour) for board in BOARDS]}
        for room in ROOMS
    ]
    return {"code": code, "name": f"Hotel {code}", "destinationCode": "KGL", "currency": "EUR", "rooms": rooms}


def _rate(code: int, room: str, board: str, nights: int, behaviour: Behaviour) -> dict[str, Any]:
    number = ROOMS.index(room) * len(BOARDS) + BOARDS.index(board)
    nightly = Decimal(80 + code % 10 * 7 + number * 15) + Decimal("0.36")
    net = nightly * nights
    return {
        "rateKey": f"{code}|{room}|{board}|{net}|{nights}",
        "rateClass": "NRF" if board == "HB" else "NOR",
        # Every fifth rate has to be asked for again.
        "rateType": "RECHECK" if (code + number) % 5 == 0 else "BOOKABLE",
        "net": float(net) if behaviour.flipped else str(net),
        "boardCode": board,
        "packaging": False,
        "offers": None,
        "dailyRates": [{"offset": night, "dailyNet": str(nightly)} for night in range(nights)],
    }


def _check(rate_key: str, audit: dict[str, Any], behaviour: Behaviour) -> tuple[int, dict[str, Any]]:
    if behaviour.sold_out:
        return 500, {"auditData": audit, "error": {"code": "PRODUCT_ERROR-A", "message": "insufficient allotment"}}
    code, room, board, net, _nights = rate_key.split("|")
    raised = (Decimal(net) * (100 + behaviour.raise_percent) / 100).quantize(Decimal("0.01"))
    rate: dict[str, Any] = {
        "rateKey": f"{rate_key}|2",
        "rateClass": "NRF" if board == "HB" else "NOR",
        "rateType": "BOOKABLE",
    }
    rate |= {"net": str(raised), "boardCode": board, "packaging": False}
    hotel = {"code": int(code), "currency": "EUR", "totalNet": str(raised), "rooms": [{"code": room, "rates": [rate]}]}
    return 200, {"auditData": audit, "hotel": hotel}
