"""AUDIT lines on standard output."""

from __future__ import annotations

import os

from src.domain.audit import AuditLine

STANDARD_OUTPUT = 1


class StandardOutput:
    """Writes each line with one call, so that lines of concurrent requests never mix."""

    def record(self, line: AuditLine) -> None:
        text = f"{line}\n".encode()
        while text:
            text = text[os.write(STANDARD_OUTPUT, text) :]
