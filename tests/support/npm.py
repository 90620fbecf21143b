"""Programs from npm that tests run."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from src.database import locks

TIMEOUT = 240  # seconds


def node() -> str:
    """The program. Skips, or fails in CI, where there is none."""
    return shutil.which("node") or str(_missing("node is not installed"))


def installed(manifest: Path) -> Path:
    """A folder with the packages of a package.json, kept between runs under a name of its contents.

    Skips, or fails in CI, where there is no node or the packages cannot be had.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ecotrips-npm"
    folder = cache / hashlib.sha256(manifest.read_bytes()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    # Another test process may be about it.
    with locks.held(folder / "lock"):
        return _installed(manifest, folder)


def _installed(manifest: Path, folder: Path) -> Path:
    if (folder / "complete").exists():
        return folder
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return _missing("node and npm are not installed")
    shutil.copy(manifest, folder)
    install = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode:
        return _missing(f"npm install failed: {done.stderr}")
    (folder / "complete").touch()
    return folder


def _missing(reason: str) -> Path:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(f"WHAT NEEDS NPM WAS NOT TRIED: {reason}")
