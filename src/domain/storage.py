"""Documents in buckets, and links that anybody may open for a while (docs/api.md, Files)."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from src.domain.errors import DomainError, NotFound

# travellers: uploads, in a folder named by the traveller's id.
BUCKETS = ("invoices", "privacy_exports", "privacy_plans", "travellers")

# We choose all names, so the alphabet is narrow: no leading dots and no escapes. Parts are short enough for file
# systems, with the suffix of unfinished files.
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
    """A link with an invalid signature; `reason` is Supabase's name for it."""

    reason = "InvalidJWT"
    message = "The provided token is not valid"

    def __init__(self) -> None:
        super().__init__(self.message)


class LinkExpired(LinkRefused):
    """A link that has expired."""

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
        """By the file's extension, as not every store keeps a type."""
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
        """Changes with every replacement, even by equal bytes."""
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
