"""A small disk of its own, for what a full one does to whoever writes there."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def disk(size: str) -> Iterator[Path]:
    """Its folder; `size` as mount takes it. Skips the test loudly where none can be mounted."""
    with tempfile.TemporaryDirectory(prefix="ecotrips-test-") as folder:
        mount = ["/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder]
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"*** nothing was tested of a full disk, because none can be mounted: {mounted.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["/bin/umount", "--lazy", folder], check=True)
