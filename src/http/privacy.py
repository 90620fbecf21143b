"""The privacy endpoints (docs/api.md, Privacy)."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from src.domain.privacy import PrivacyRequest, Review
from src.domain.privacy_erasure import dry_run, execute
from src.domain.privacy_export import export
from src.http.decode import from_body
from src.http.endpoint import Access, Answer, Call, Endpoint, Run
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


def endpoints(
    requests: PrivacyRequests, exports: PrivacyExports, erasures: PrivacyErasures, storage: Storage, links: Links
) -> list[Endpoint]:
    async def request(call: Call) -> Answer:
        """Ask for a copy of one's data, or for its erasure.

        Users ask for themselves, the service for anyone. While a request of the kind is open, asking again gives it.
        """
        asked = from_body(RequestInput, call.body)
        call.note(kind=asked.kind)
        standing = await requests.create(call.context, PrivacyRequest(**msgspec.structs.asdict(asked)))
        call.note(target=standing.request_id, status=standing.status)
        return Answer(standing.body)

    async def review(call: Call) -> Answer:
        """Approve or reject a request; approve one again whose execution failed."""
        asked = from_body(ReviewInput, call.body)
        call.note(target=asked.request_id)
        standing = await requests.review(call.context, Review(**msgspec.structs.asdict(asked)))
        call.note(status=standing.status)
        return Answer(standing.body)

    async def export_data(call: Call) -> Answer:
        """Make the archive of an approved export: a JSON document for each table, and files.

        Again: a fresh archive; the links to the one before die. A link lasts 7 days.
        """
        asked = from_body(OneRequestInput, call.body)
        call.note(target=asked.request_id)
        link = await export(call.context, asked.request_id, exports, storage, links)
        call.note(status="completed", link=link.link_id)
        expires_at = link.expires_at.isoformat().replace("+00:00", "Z")
        return _encoded(ExportAnswer(True, asked.request_id, link.url(call.base_url), expires_at))

    async def plan_erasure(call: Call) -> Answer:
        """Say what an approved erasure would do, without doing it: the plan that execution compares itself with."""
        asked = from_body(OneRequestInput, call.body)
        call.note(target=asked.request_id)
        plan, link = await dry_run(call.context, asked.request_id, erasures, storage, links)
        call.note(plan=plan.plan_sha256, link=link.link_id)
        return _encoded(
            DryRunAnswer(
                True,
                asked.request_id,
                link.url(call.base_url),
                plan.plan_sha256,
                msgspec.convert(plan.plan, list[Step]),
                msgspec.convert(plan.kept, list[Kept]),
            )
        )

    async def execute_erasure(call: Call) -> Answer:
        """Carry out the plan of the last dry-run in one transaction, or nothing of it.

        409 plan_stale when the data changed since. Files are deleted after that; the request is `processing` while
        some are left. Again: the same certificate.
        """
        asked = from_body(ExecuteInput, call.body)
        call.note(target=asked.request_id)
        standing = await execute(call.context, asked.request_id, asked.confirm, erasures, storage)
        call.note(status=standing.status)
        return Answer(standing.body)

    return [
        Endpoint(
            "privacy-request",
            "privacy.request",
            request,
            RequestInput,
            RequestAnswer,
            access=Access.USER,
            atomic=True,
            functions=("public.create_privacy_request",),
        ),
        _for_ops("privacy-review", "privacy.review", review, ReviewInput, ReviewAnswer, "review_privacy_request"),
        _for_ops(
            "privacy-export",
            "privacy.export",
            export_data,
            OneRequestInput,
            ExportAnswer,
            "begin_privacy_export",
            "read_privacy_export",
            "record_privacy_export",
        ),
        _for_ops(
            "privacy-erasure-dryrun",
            "privacy.erasure_dryrun",
            plan_erasure,
            OneRequestInput,
            DryRunAnswer,
            "privacy_erasure_folders",
            "plan_privacy_erasure",
        ),
        _for_ops(
            "privacy-erasure-execute",
            "privacy.erasure_execute",
            execute_erasure,
            ExecuteInput,
            ExecuteAnswer,
            "execute_privacy_erasure",
        ),
    ]


def _for_ops(
    name: str, audit: str, run: Run, asked: type[msgspec.Struct], answer: type[msgspec.Struct], *functions: str
) -> Endpoint:
    fronted = tuple(f"public.{function}" for function in functions)
    return Endpoint(name, audit, run, asked, answer, access=Access.OPS, errors=(404, 409), functions=fronted)


def _encoded(answer: msgspec.Struct) -> Answer:
    return Answer(msgspec.json.encode(answer))
