"""The fake's bookings: made of a rateKey, listed, looked up, cancelled in earnest or for trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.hbx.hotels import Json, Rate, Refused
from tests.fakes.wire import Request

PATH = "/hotel-api/1.0/bookings"
MAX_REFERENCE_LENGTH = 20


@dataclass
class Bookings:
    """`sellable(key)` gives the rate of a key that still holds."""

    sellable: Callable[[str], Rate]
    made: dict[str, Json] = field(default_factory=dict)

    def answer(self, request: Request, asked: Json) -> Json:
        if request.method == "POST":
            return {"booking": self._book(asked)}
        if request.path == PATH:
            found = list(self._listed(request.query))
            return {"bookings": {"bookings": found, "total": len(found)}}
        booking = self.made.get(request.path.removeprefix(f"{PATH}/"))
        if booking is None:
            raise Refused(404, "INVALID_DATA", "Booking not found")
        return {"booking": self._cancelled(booking, request.query) if request.method == "DELETE" else booking}

    def _book(self, asked: Json) -> Json:
        reference = asked.get("clientReference", "")
        if not 1 <= len(reference) <= MAX_REFERENCE_LENGTH or not asked["holder"].get("surname"):
            raise Refused(400, "INVALID_REQUEST", "holder and a clientReference of at most 20 characters are required")
        rates = [self.sellable(room["rateKey"]) for room in asked["rooms"]]
        if any(rate.recheck for rate in rates):
            raise Refused(400, "INVALID_DATA", "The rate must be checked first")
        number = f"207-{len(self.made) + 1:08d}"
        total = sum(float(rate.net) for rate in rates)
        # The same clientReference twice is two bookings.
        self.made[number] = {
            "reference": number,
            "clientReference": reference,
            "status": "CONFIRMED",
            "modificationPolicies": {"cancellation": True, "modification": True},
            "holder": asked["holder"],
            "hotel": {"code": rates[0].hotel, "checkIn": rates[0].check_in, "checkOut": rates[0].check_out},
            "totalNet": total,
            "pendingAmount": total,
            "currency": "EUR",
        }
        return self.made[number]

    def _listed(self, query: dict[str, str]) -> list[Json]:
        status, reference = query.get("status", "ALL"), query.get("clientReference")
        return [
            booking
            for booking in self.made.values()
            if status in ("ALL", booking["status"]) and reference in (None, booking["clientReference"])
        ]

    @staticmethod
    def _cancelled(booking: Json, query: dict[str, str]) -> Json:
        if booking["status"] == "CANCELLED":
            raise Refused(409, "INVALID_DATA", "Already cancelled")
        cancelled = {
            **booking,
            "status": "CANCELLED",
            "cancellationReference": f"C-{booking['reference']}",
            "hotel": {**booking["hotel"], "cancellationAmount": booking["totalNet"]},
        }
        if query.get("cancellationFlag", "CANCELLATION") == "CANCELLATION":
            booking |= cancelled
        return cancelled
