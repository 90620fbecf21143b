"""AUDIT lines on standard output."""

import sys

from src.domain.audit import AuditLine


class StandardOutput:
    """Writes each line with one call and flushes, so that lines of concurrent requests never mix."""

    def record(self, line: AuditLine) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
