"""Programs of Debian's that some tests need."""

from __future__ import annotations

import os
import shutil

import pytest

# Where programs of administrators are is not on everybody's path.
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def program(name: str, package: str) -> str:
    """Its path. Skips the test where it is not installed, but fails in CI, which installs it."""
    found = shutil.which(name, path=PATH)
    if found is None:
        told = f"*** {name} is not installed (apt-get install {package}): what it checks was not tried"
        assert not os.environ.get("CI"), told
        pytest.skip(told)
    return found
