"""The content of an invoice and of a credit note, as the renderer takes it."""

from __future__ import annotations

from typing import Any

INVOICE: dict[str, Any] = {
    "kind": "invoice",
    "number": "INV-20261124-0001",
    "issued_at": "2026-11-24T05:00:00Z",
    "issued_on": "2026-11-24",
    "seller": {
        "name": "ecoTrips Ltd",
        "address": "KG 7 Avenue\nKigali\nRwanda",
        "tax_id": "TIN 000000000",
        "email": "finance@ecotrips.example",
        "country": "RW",
    },
    "buyer": {"name": "Amina Uwase", "reference": "11111111-1111-4111-8111-111111111111"},
    "currency": "USD",
    "lines": [
        {
            "description": "Hotel",
            "from": "2025-10-01",
            "to": "2025-10-05",
            "travellers": 2,
            "amount_cents": 123456789,
        }
    ],
    "tax": {"name": "VAT", "rate_bp": 1805, "net_cents": 104580084, "tax_cents": 18876705},
    "total_cents": 123456789,
    "payment": {"id": "4d487930-1111-4111-8111-111111111111", "reference": "pi_1"},
    "facturx": False,
}
CREDIT_NOTE: dict[str, Any] = INVOICE | {
    "kind": "credit_note",
    "number": "INV-20261124-0001-CN",
    "currency": "RWF",
    "lines": [{"description": "Refund", "amount_cents": 1250000}],
    "tax": {"name": "VAT", "rate_bp": 0, "net_cents": 1250000, "tax_cents": 0},
    "total_cents": 1250000,
    "refund": {"reference": "re_1"},
    "invoice": {"number": "INV-20261124-0001", "issued_on": "2026-11-20"},
}
