from typing import Protocol

from src.domain.audit import AuditLine


class AuditTrail(Protocol):
    """Where AUDIT lines go."""

    def record(self, line: AuditLine) -> None:
        """Write the line before returning."""
