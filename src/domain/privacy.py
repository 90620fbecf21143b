"""What people may ask about their data, and what ops decide (docs/api.md, Privacy)."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class PrivacyRequest:
    """Somebody asks for a copy of the subject's data (export) or for its end (erasure)."""

    kind: str
    subject_user_id: UUID
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """The decision of ops about a request: approve or reject."""

    request_id: UUID
    decision: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """Where a request stands."""

    request_id: UUID
    status: str


@dataclass(frozen=True, slots=True)
class Folder:
    """Where files of a person are: an object, or a folder, whose path then ends in a slash."""

    bucket: str
    path: str
