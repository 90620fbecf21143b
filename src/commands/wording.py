"""Words for counts."""


def counted(number: int, what: str) -> str:
    """`1 fault`, `1,000 faults`; the plural of `what` takes an s."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
