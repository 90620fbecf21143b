"""How commands say what they counted."""


def counted(number: int, what: str) -> str:
    """`1 fault`, `1,000 faults`: `what` is one of them, of a noun whose plural takes an s."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
