from __future__ import annotations

import asyncio
import itertools

import pytest

from src.commands import progress


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (5 * 10**16, "50000.0 TB")],
)
def test_sizes_read_well(count: int, said: str) -> None:
    assert progress.size(count) == said


async def test_a_log_gets_whole_lines_and_nothing_of_what_is_quick(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with progress.shown(lambda: "at once"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.01)
    done = itertools.count(1)
    async with progress.shown(lambda: f"{next(done)} done"):
        await asyncio.sleep(0.1)
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert (first, second) == ("1 done, 0 s", "2 done, 0 s")
