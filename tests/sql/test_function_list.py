"""sql/README.md lists every function that somebody may call, by family, with its comment in the catalog."""

from __future__ import annotations

import asyncpg

from tests.support.function_list import HEADING, README, listed


async def test_the_readme_lists_every_function_that_somebody_may_call(admin: asyncpg.Connection) -> None:
    """After a wanted change: `python -m tests.support.access`."""
    text = README.read_text()
    assert text[text.index(HEADING) :] == await listed(admin)
