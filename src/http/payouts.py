"""The payouts endpoints (docs/api.md, Groups, escrows and payouts)."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller
from litestar.di import NamedDependency
from msgspec import Meta

from src.domain.payouts import PayoutsQuery, Touched, pay_now, sweep
from src.http.call import Access, Answer, Call
from src.http.endpoint import GET, endpoint
from src.http.fields import EscrowId
from src.ports.audit import AuditTrail
from src.ports.groups import Escrows
from src.ports.payouts import PayoutProvider, Payouts

REPORTED = timedelta(days=30)

FirstDay = Annotated[
    date, Meta(description="First day, UTC", examples=["2025-01-01"], extra={"message": "Invalid from date"})
]
LastDay = Annotated[
    date, Meta(description="Last day, UTC", examples=["2025-01-31"], extra={"message": "Invalid to date"})
]


class WorkerInput(msgspec.Struct, frozen=True):
    """Nothing."""


class Processed(msgspec.Struct, frozen=True, omit_defaults=True):
    escrow_id: UUID
    status: str
    total_cents: int
    payout_id: UUID | None = None


class Unpaid(msgspec.Struct, frozen=True):
    escrow_id: UUID
    error: str


class WorkerAnswer(msgspec.Struct, frozen=True):
    """Every escrow touched, with the state of its payout, and why a payout did not succeed."""

    ok: bool
    request_id: str
    processed: list[Processed]
    errors: list[Unpaid]


class PayoutNowInput(msgspec.Struct, frozen=True):
    escrow_id: EscrowId


class PayoutNowAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`payout_status` is succeeded, failed, processing, or skipped while there is nothing to pay out."""

    ok: bool
    request_id: str
    escrow_id: str
    payout_status: str
    total_cents: int
    currency: str
    payout_id: str | msgspec.UnsetType = msgspec.UNSET


class ReportInput(msgspec.Struct, frozen=True):
    start_from: FirstDay | None = msgspec.field(default=None, name="from")
    start_to: LastDay | None = msgspec.field(default=None, name="to")


class Range(msgspec.Struct, frozen=True):
    start_from: date = msgspec.field(name="from")
    start_to: date = msgspec.field(name="to")


class Count(msgspec.Struct, frozen=True):
    status: str
    currency: str
    count: int
    total_cents: int


class RecentPayout(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    escrow_id: str
    total_cents: int
    currency: str
    status: str
    attempts: int
    created_at: str
    last_error: str | msgspec.UnsetType = msgspec.UNSET


class ReportAnswer(msgspec.Struct, frozen=True):
    ok: bool
    request_id: str
    range: Range
    counts: list[Count]
    recent: list[RecentPayout]


class PayoutsController(Controller):
    @endpoint(
        "groups-payout-worker",
        audit="groups.payout.sweep",
        access=Access.SERVICE,
        per_minute=None,
        functions=("public.expire_escrows", "public.request_escrow_refunds", "public.claim_payouts"),
    )
    async def sweep_payouts(
        self,
        call: Call,
        data: WorkerInput,  # noqa: ARG002 - it has no fields
        escrows: NamedDependency[Escrows],
        payouts: NamedDependency[Payouts],
        stripe: NamedDependency[Mapping[str, PayoutProvider]],
        audit: NamedDependency[AuditTrail],
    ) -> Answer[WorkerAnswer]:
        """Do what is due: expire escrows, queue their refunds, pay met escrows out.

        The same as `ecotrips worker` does on its schedule. Each escrow touched gets an AUDIT line of its own.
        """
        touched = await sweep(call.context, escrows, payouts, stripe, audit)
        errors = [Unpaid(one.escrow_id, one.error) for one in touched if one.error is not None]
        call.note(processed=len(touched), errors=len(errors))
        answer = WorkerAnswer(ok=True, request_id=call.context.request_id, processed=_processed(touched), errors=errors)
        return Answer(msgspec.json.encode(answer))

    @endpoint(
        "groups-ops-payout-now",
        audit="groups.payout.now",
        access=Access.OPS,
        per_minute=5,
        errors=(404,),
        functions=("public.payout_now",),
    )
    async def payout_now(
        self,
        call: Call,
        data: PayoutNowInput,
        payouts: NamedDependency[Payouts],
        stripe: NamedDependency[Mapping[str, PayoutProvider]],
    ) -> Answer[PayoutNowAnswer]:
        """Pay one met escrow out now, also while the worker's payouts are paused. Again: the same payout."""
        call.note(escrow=data.escrow_id)
        payout = await pay_now(call.context, data.escrow_id, payouts, stripe)
        call.note(payout=payout.value.payout_id, status=payout.value.payout_status, total=payout.value.total_cents)
        return Answer(payout.body)

    @endpoint(
        "groups-payouts-report",
        audit="groups.payout.report",
        method=GET,
        access=Access.OPS,
        per_minute=3,
        functions=("group.payouts_report", "public.group_payouts_counts"),
    )
    async def report(self, call: Call, params: ReportInput, payouts: NamedDependency[Payouts]) -> Answer[ReportAnswer]:
        """Payouts by status and currency, and the ten newest, of the days from `from` to `to` (both included).

        Without `to` until today, without `from` the thirty days before.
        """
        last = params.start_to or datetime.now(UTC).date()
        query = PayoutsQuery(params.start_from or last - REPORTED, last)
        call.facts = {"from": query.start_from, "to": query.start_to}
        return Answer(await payouts.report(call.context, query))


def _processed(touched: list[Touched]) -> list[Processed]:
    return [Processed(one.escrow_id, one.status, one.total_cents, one.payout_id) for one in touched]
