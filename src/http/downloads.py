"""Objects as HTTP answers: ranges, file names and headers for private documents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from litestar.types import Send

from src.domain.storage import StoredObject
from src.http.ranges import asked_range
from src.ports.storage import Storage

# A link is a secret: caches must not store the answer, referrers must not leak it, and browsers must not run it.
PRIVATE = (
    (b"cache-control", b"private, no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
)
# The maximum bytes of a file name in common file systems.
MAX_NAME_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Download:
    """An answer: status, headers, and the `length` bytes of `chunks`."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    length: int
    chunks: AsyncIterator[bytes]


def download(storage: Storage, stored: StoredObject, headers: Mapping[bytes, bytes], file_name: str) -> Download:
    """The object, or the range that `headers` ask for, named `file_name`. Raises RangeUnsatisfiable."""
    etag = f'"{stored.version}"'.encode()
    # If-Range: a range only counts for the version that the client knows.
    wanted = headers.get(b"range") if headers.get(b"if-range", etag) == etag else None
    part = asked_range(wanted, stored.size)
    start, end = part or (0, stored.size)
    shown = [
        (b"content-type", stored.name.media_type.encode()),
        (b"content-disposition", disposition(file_name)),
        (b"etag", etag),
        (b"last-modified", stored.modified_at.strftime("%a, %d %b %Y %H:%M:%S GMT").encode()),
        (b"accept-ranges", b"bytes"),
        *PRIVATE,
    ]
    if part:
        shown.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, stored.size)))
    return Download(206 if part else 200, tuple(shown), end - start, storage.read(stored, start, end))


def disposition(file_name: str) -> bytes:
    """Always an attachment; names are encoded by RFC 6266 and RFC 5987, without paths."""
    name = file_name.replace("\\", "/").rpartition("/")[2].strip(". ") or "download"
    name = "".join(letter if letter.isprintable() else "_" for letter in name)
    name = name.encode(errors="replace")[:MAX_NAME_LENGTH].decode(errors="ignore")
    plain = "".join(letter if letter.isascii() and letter not in '"%;' else "_" for letter in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}".encode()


async def send_download(send: Send, sent: Download, first: bytes, request_id: str, *, body: bool) -> None:
    """Send in pieces; `first` was read before the headers, so that read errors still become an error answer."""
    headers = [*sent.headers, (b"content-length", str(sent.length).encode()), (b"x-request-id", request_id.encode())]
    await send({"type": "http.response.start", "status": sent.status, "headers": headers})
    last = first if body else b""
    if body:
        async for chunk in sent.chunks:
            await send({"type": "http.response.body", "body": last, "more_body": True})
            last = chunk
    await send({"type": "http.response.body", "body": last, "more_body": False})
