"""The privacy endpoints (docs/api.md, Privacy)."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Controller
from litestar.di import NamedDependency
from msgspec import Meta

from src.domain.privacy import PrivacyRequest, Review
from src.domain.privacy_erasure import dry_run, execute
from src.domain.privacy_export import export
from src.http.call import Access, Answer, Call
from src.http.endpoint import endpoint
from src.ports.privacy import PrivacyRequests
from src.ports.privacy_erasures import PrivacyErasures
from src.ports.privacy_exports import PrivacyExports
from src.ports.storage import Links, Storage

RequestId = Annotated[UUID, Meta(description="The privacy request's id")]
FreeText = Annotated[str, Meta(max_length=500)]


class RequestInput(msgspec.Struct, frozen=True):
    kind: Annotated[Literal["export", "erasure"], Meta(extra={"message": "kind must be export|erasure"})]
    subject_user_id: Annotated[UUID, Meta(description="Whose data; a user's own id")]
    reason: FreeText | None = None


class ReviewInput(msgspec.Struct, frozen=True):
    request_id: RequestId
    decision: Annotated[Literal["approve", "reject"], Meta(extra={"message": "decision must be approve|reject"})]
    note: FreeText | None = None


class OneRequestInput(msgspec.Struct, frozen=True):
    request_id: RequestId


class ExecuteInput(msgspec.Struct, frozen=True):
    request_id: RequestId
    confirm: Annotated[Literal["ERASE"], Meta(extra={"message": "confirm must be ERASE"})]


class RequestAnswer(msgspec.Struct, frozen=True):
    """`request_id` is the privacy request's id."""

    ok: bool
    request_id: str
    due_at: str
    status: str


class ReviewAnswer(msgspec.Struct, frozen=True):
    ok: bool
    request_id: str
    status: str


class ExportAnswer(msgspec.Struct, frozen=True):
    ok: bool
    request_id: UUID
    signed_url: str
    expires_at: str


class Step(msgspec.Struct, frozen=True):
    schema: str
    table: str
    action: Literal["delete", "redact"]
    count: int


class Kept(msgspec.Struct, frozen=True):
    schema: str
    table: str
    count: int
    legal_basis: str
    retain_until: date


class DryRunAnswer(msgspec.Struct, frozen=True):
    """`plan` counts what would be erased, `kept` what stays and on what ground."""

    ok: bool
    request_id: UUID
    signed_url: str
    plan_sha256: str
    plan: list[Step]
    kept: list[Kept]


class Files(msgspec.Struct, frozen=True):
    bucket: str
    count: int


class PreviousEvent(msgspec.Struct, frozen=True):
    id: int
    sha256: str


class Certificate(msgspec.Struct, frozen=True):
    """`subject` and `signature` are HMACs under the key that `key` names; the id itself is not in it."""

    request_id: UUID
    subject: str
    plan_sha256: str
    map_version: str
    summary: list[Step]
    kept: list[Kept]
    files: list[Files]
    executed_at: str
    executed_by: str
    previous_audit: PreviousEvent
    key: str
    signature: str


class ExecuteAnswer(msgspec.Struct, frozen=True):
    ok: bool
    request_id: str
    status: str
    summary: list[Step]
    certificate: Certificate


class PrivacyController(Controller):
    @endpoint(
        "privacy-request",
        audit="privacy.request",
        access=Access.USER,
        atomic=True,
        functions=("public.create_privacy_request",),
    )
    async def request(
        self, call: Call, data: RequestInput, privacy_requests: NamedDependency[PrivacyRequests]
    ) -> Answer[RequestAnswer]:
        """Ask for a copy of one's data, or for its erasure.

        Users ask for themselves, the service for anyone. While a request of the kind is open, asking again gives it.
        """
        call.note(kind=data.kind)
        answered = await privacy_requests.create(call.context, PrivacyRequest(**msgspec.structs.asdict(data)))
        call.note(target=answered.value.request_id, status=answered.value.status)
        return Answer(answered.body)

    @endpoint(
        "privacy-review",
        audit="privacy.review",
        access=Access.OPS,
        errors=(404, 409),
        functions=("public.review_privacy_request",),
    )
    async def review(
        self, call: Call, data: ReviewInput, privacy_requests: NamedDependency[PrivacyRequests]
    ) -> Answer[ReviewAnswer]:
        """Approve or reject a request; approve one again whose execution failed."""
        call.note(target=data.request_id)
        answered = await privacy_requests.review(call.context, Review(**msgspec.structs.asdict(data)))
        call.note(status=answered.value.status)
        return Answer(answered.body)

    @endpoint(
        "privacy-export",
        audit="privacy.export",
        access=Access.OPS,
        errors=(404, 409),
        functions=("public.begin_privacy_export", "public.read_privacy_export", "public.record_privacy_export"),
    )
    async def export(
        self,
        call: Call,
        data: OneRequestInput,
        privacy_exports: NamedDependency[PrivacyExports],
        storage: NamedDependency[Storage],
        links: NamedDependency[Links],
    ) -> Answer[ExportAnswer]:
        """Make the archive of an approved export: a JSON document for each table, and files.

        Again: a fresh archive; the links to the one before die. A link lasts 7 days.
        """
        call.note(target=data.request_id)
        link = await export(call.context, data.request_id, privacy_exports, storage, links)
        call.note(status="completed", link=link.link_id)
        expires_at = link.expires_at.isoformat().replace("+00:00", "Z")
        answer = ExportAnswer(True, data.request_id, link.url(call.base_url), expires_at)
        return Answer(msgspec.json.encode(answer))

    @endpoint(
        "privacy-erasure-dryrun",
        audit="privacy.erasure_dryrun",
        access=Access.OPS,
        errors=(404, 409),
        functions=("public.privacy_erasure_folders", "public.plan_privacy_erasure"),
    )
    async def plan_erasure(
        self,
        call: Call,
        data: OneRequestInput,
        privacy_erasures: NamedDependency[PrivacyErasures],
        storage: NamedDependency[Storage],
        links: NamedDependency[Links],
    ) -> Answer[DryRunAnswer]:
        """Say what an approved erasure would do, without doing it: the plan that execution compares itself with."""
        call.note(target=data.request_id)
        plan, link = await dry_run(call.context, data.request_id, privacy_erasures, storage, links)
        call.note(plan=plan.plan_sha256, link=link.link_id)
        answer = DryRunAnswer(
            ok=True,
            request_id=data.request_id,
            signed_url=link.url(call.base_url),
            plan_sha256=plan.plan_sha256,
            plan=msgspec.convert(plan.plan, list[Step]),
            kept=msgspec.convert(plan.kept, list[Kept]),
        )
        return Answer(msgspec.json.encode(answer))

    @endpoint(
        "privacy-erasure-execute",
        audit="privacy.erasure_execute",
        access=Access.OPS,
        errors=(404, 409),
        functions=("public.execute_privacy_erasure",),
    )
    async def execute_erasure(
        self,
        call: Call,
        data: ExecuteInput,
        privacy_erasures: NamedDependency[PrivacyErasures],
        storage: NamedDependency[Storage],
    ) -> Answer[ExecuteAnswer]:
        """Carry out the plan of the last dry-run in one transaction, or nothing of it.

        409 plan_stale when the data changed since. Files are deleted after that; the request is `processing` while
        some are left. Again: the same certificate.
        """
        call.note(target=data.request_id)
        answered = await execute(call.context, data.request_id, data.confirm, privacy_erasures, storage)
        call.note(status=answered.value.status)
        return Answer(answered.body)
