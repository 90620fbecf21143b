"""What one setting is declared by: what it is called, what it has to be, and what it is for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Generic

from src.settings.kinds import Kind, T

# What is named so is a secret, unless it is of a kind that is public.
SECRET_NAME = re.compile(r"(?:^|_)(?:SECRETS?|KEYS?|TOKENS?|PASSWORDS?)(?:_|$)")


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """What it is called, has to be and is for, a value that is accepted, and what it is unless it is set.

    `needed` is in production, `everywhere` also outside of it, `needed_with` there if another one is set. `production`
    is the only value there. It is of no use without the one that it `needs`. Raises AssertionError for a secret's name.
    """

    name: str
    kind: Kind[T]
    meaning: str
    example: str
    default: str = ""
    needed: bool = False
    everywhere: bool = False
    needed_with: str = ""
    needs: str = ""
    production: str = ""

    def __post_init__(self) -> None:
        well = self.kind.held or self.kind.public or not SECRET_NAME.search(self.name)
        assert well, f"{self.name} is to be read as a secret"  # noqa: S101 - for who adds a setting


def env(name: str, kind: Kind[T], meaning: str, example: str, default: str = "", **rules: Any) -> T:  # noqa: ANN401 - Setting's
    """A field of Settings that is read from the environment."""
    setting = Setting(name, kind, meaning, example, default, **rules)
    made: dict[str, Any] = {} if setting.everywhere else {"default_factory": lambda: kind.read(default)}
    found: T = field(repr=not kind.held, metadata={"setting": setting}, **made)
    return found
