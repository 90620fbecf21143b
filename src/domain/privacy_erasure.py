"""Erasing a person's data: a stored plan, its execution in full or not at all, then their files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from src.domain.answered import Answered
from src.domain.context import Context
from src.domain.errors import Unavailable
from src.domain.privacy import Folder, RequestStatus
from src.domain.storage import Link, ObjectName

if TYPE_CHECKING:
    from src.ports.privacy_erasures import PrivacyErasures
    from src.ports.storage import Links, Storage

PLANS = "privacy_plans"
LINK_LIFETIME = timedelta(days=7)
# Bounds a folder that is filled while it is emptied; the next sweep continues.
LISTINGS = 5


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """A dry-run. `document` is the canonical JSON whose SHA-256 execution compares; the lists are for people."""

    request_id: UUID
    plan_sha256: str
    plan: list[Mapping[str, object]]
    kept: list[Mapping[str, object]]
    document: str


@dataclass(frozen=True, slots=True)
class Purge:
    """A folder to be emptied; `attempt` tells this claim from later ones."""

    purge_id: UUID
    bucket: str
    folder: str
    attempt: int


async def dry_run(
    context: Context, request_id: UUID, erasures: PrivacyErasures, storage: Storage, links: Links
) -> tuple[ErasurePlan, Link]:
    """The plan of an approved erasure, stored, with a link to it. Changes nothing. Raises NotFound, Conflict."""
    files = await _files(await erasures.folders(context, request_id), storage)
    plan = await erasures.plan(context, request_id, files)
    name = ObjectName(PLANS, f"{request_id}_plan.json")
    stored = await storage.put(name, plan.document.encode(), replace=True)
    return plan, links.sign(stored, LINK_LIFETIME)


async def execute(
    context: Context, request_id: UUID, confirm: str, erasures: PrivacyErasures, storage: Storage
) -> Answered[RequestStatus]:
    """Carry out the plan of the last dry-run, or nothing; again, give the same certificate.

    Files are deleted after the commit; what cannot be deleted now is left to the worker, and the request is
    `processing` until then. Raises NotFound, Conflict (no dry-run, plan_stale).
    """
    files = await _files(await erasures.folders(context, request_id), storage)
    done = await erasures.execute(context, request_id, confirm, files)
    if done.value.status != "processing":
        return done
    await _purge(context.as_service(), await erasures.claim_purges(context.as_service(), request_id), erasures, storage)
    return await erasures.execute(context, request_id, confirm, files)


async def purge_due(context: Context, erasures: PrivacyErasures, storage: Storage) -> int:
    """Empty the folders that are due; returns how many were tried."""
    return await _purge(context, await erasures.claim_purges(context), erasures, storage)


async def _purge(context: Context, purges: list[Purge], erasures: PrivacyErasures, storage: Storage) -> int:
    for purge in purges:
        try:
            await _empty(Folder(purge.bucket, purge.folder), storage)
        except Unavailable as error:
            await erasures.finish_purge(context, purge, type(error).__name__)
        else:
            await erasures.finish_purge(context, purge)
    return len(purges)


async def _empty(folder: Folder, storage: Storage) -> None:
    for _ in range(LISTINGS):
        found = await storage.listed(folder.bucket, folder.path.rstrip("/"))
        if not found:
            return
        for stored in found:
            await storage.delete(stored.name)
    message = "The folder does not become empty"
    raise Unavailable(message)


async def _files(folders: list[Folder], storage: Storage) -> str:
    """The files in these folders as JSON, sorted."""
    found = [stored for f in folders for stored in await storage.listed(f.bucket, f.path.rstrip("/"))]
    listed = [{"bucket": s.name.bucket, "path": s.name.path, "version": s.version} for s in found]
    return json.dumps(sorted(listed, key=lambda file: (file["bucket"], file["path"])))
