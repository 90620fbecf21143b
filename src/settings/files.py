"""Where files may be kept (docs/security.md, Production)."""

from __future__ import annotations

import re
import stat
from contextlib import suppress
from pathlib import Path

PLACE = {
    "memory": re.compile("memory://"),
    "s3": re.compile(r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9](?:/[^?#@\s]*)?"),
    "file": re.compile(r"file:///[^?#]*[^?#/.][^?#]*"),
}
# What the system empties by itself: files there do not last.
SWEPT = ("/tmp", "/var/tmp", "/dev", "/run", "/var/run", "/proc", "/sys")  # noqa: S108 - nothing is put there
IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs", "proc", "sysfs")


def storage_fault(address: str, *, lasting: bool) -> str | None:
    """Why files cannot be kept there, where that is `lasting` for as long as books are, as what follows "it"."""
    if address.startswith("memory:") and lasting:
        return "keeps files only until the process ends"
    if fault := place_fault(address):
        return fault
    return (
        _folder_fault(Path(address.removeprefix("file://")), lasting=lasting) if address.startswith("file:") else None
    )


def place_fault(address: str) -> str | None:
    """Why an address names no place for files, as what follows "it"."""
    scheme, separator, _ = address.partition("://")
    if not separator or scheme not in PLACE:
        return "must begin with s3:// or file://, or be memory://"
    if PLACE[scheme].fullmatch(address):
        return None
    return {"s3": "must name a bucket", "file": "must name a folder", "memory": "must be memory:// alone"}[scheme]


def _folder_fault(folder: Path, *, lasting: bool) -> str | None:
    try:
        found = folder.resolve()
        exists = next(place for place in (found, *found.parents) if place.exists())
    except (OSError, ValueError, RuntimeError):
        return "must name a folder"
    if not exists.is_dir():
        return "must name a folder, and there is a file in its way"
    if lasting and any(found.is_relative_to(Path(place).resolve()) for place in SWEPT):
        return f"must name a folder that lasts: {', '.join(SWEPT)} are swept"
    if lasting and _file_system(found) in IN_MEMORY:
        return "must name a folder that lasts: that one is in memory"
    if lasting and any(place.stat().st_mode & stat.S_IWOTH for place in (exists, *exists.parents)):
        return "must name a folder into which, and above which, not everybody may write: chmod o-w"
    return None


def _file_system(folder: Path) -> str:
    """The kind of file system that a folder is on or will be on; empty where that is not known."""
    kinds: dict[Path, str] = {}
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            mount, _, source = line.partition(" - ")
            kinds[Path(mount.split()[4])] = source.split()[0]
    return next((kinds[place] for place in (folder, *folder.parents) if place in kinds), "")
