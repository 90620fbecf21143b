"""Documents in buckets, and links that anybody may open for a while (docs/api.md, Files)."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from src.domain.errors import DomainError, NotFound

# travellers: what people hand in, in a folder named by their id.
BUCKETS = ("invoices", "privacy_exports", "privacy_plans", "travellers")

# Every name we store is one of ours, so the alphabet is narrow: no dots first, no escapes, nothing a store reads twice.
# No part is longer than file systems keep, with room for the ending of a file that is being written.
PART = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,239}"
PATH = re.compile(rf"(?=.{{1,512}}\Z){PART}(/{PART})*", re.ASCII)

MEDIA_TYPES = {
    "pdf": "application/pdf",
    "json": "application/json",
    "xml": "application/xml",
    "zip": "application/zip",
    "txt": "text/plain; charset=utf-8",
}


class LinkRefused(DomainError):
    """A link that opens nothing, because nobody here signed it; `reason` is Supabase's name for why."""

    reason = "InvalidJWT"
    message = "The provided token is not valid"

    def __init__(self) -> None:
        super().__init__(self.message)


class LinkExpired(LinkRefused):
    """A link whose time is over."""

    reason = "ExpiredToken"
    message = "The provided token has expired."


class LinkMismatched(LinkRefused):
    """A link to another object, or to a version of this one that was replaced."""

    reason = "InvalidSignature"
    message = "The provided token does not open this object"


@dataclass(frozen=True, slots=True)
class ObjectName:
    """A bucket and a path in it. Raises NotFound for any other bucket and any path that could leave it."""

    bucket: str
    path: str

    def __post_init__(self) -> None:
        if self.bucket not in BUCKETS or not PATH.fullmatch(self.path):
            message = "Object not found"
            raise NotFound(message)

    def __str__(self) -> str:
        return f"{self.bucket}/{self.path}"

    @property
    def file_name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def media_type(self) -> str:
        """By the file's ending, as not every store keeps a type."""
        return MEDIA_TYPES.get(self.path.rpartition(".")[2], "application/octet-stream")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One version of an object: `size` in bytes, `etag` as the store gives it."""

    name: ObjectName
    size: int
    modified_at: datetime
    etag: str

    @property
    def version(self) -> str:
        """Differs after every replacement, one with the same bytes included, and needs no row of its own beside it."""
        seen = f"{self.etag}|{self.size}|{self.modified_at.isoformat()}"
        return hashlib.sha256(seen.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Link:
    """A signed link: `path` is relative to /storage/v1, `link_id` names it in logs in place of its token."""

    path: str
    link_id: str
    expires_at: datetime

    def url(self, base_url: str) -> str:
        """The absolute address on a service whose own address is `base_url`."""
        return f"{base_url}/storage/v1{self.path}"
