"""Results as a table on the terminal, a table in Markdown, JSON and a plot."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.harness import Measured, middle

mpl.use("Agg")  # files, no window
OUT = Path(__file__).parent / "out"


class Row(TypedDict):
    """One case against one floor. Rates are medians a second, processor times medians in microseconds a unit."""

    case: str
    floor: str
    ratio: float
    lowest: float
    highest: float
    reach: float | None
    reached: bool | None
    rate: float
    floor_rate: float
    server_us: float
    database_us: float
    floor_us: float
    p50: float
    p99: float


def rows(measured: Sequence[Measured]) -> list[Row]:
    return [
        Row(
            case=one.case.name,
            floor=name,
            ratio=one.ratio(name),
            lowest=min(one.ratios(name)),
            highest=max(one.ratios(name)),
            reach=one.case.reach.get(name),
            reached=one.reached(name),
            rate=middle(one.own, "rate"),
            floor_rate=middle(samples, "rate"),
            server_us=middle(one.own, "server_us"),
            database_us=middle(one.own, "database_us"),
            floor_us=middle(samples, "server_us") + middle(samples, "database_us"),
            p50=middle(one.own, "p50"),
            p99=middle(one.own, "p99"),
        )
        for one in measured
        for name, samples in one.floors.items()
    ]


def table(found: Sequence[Row]) -> str:
    """Markdown: one line a case and floor."""
    columns = ["case", "a second", "floor", "its", "ratio (lowest to highest)", "reach", "µs server + database"]
    columns += ["its µs", "p50 / p99 ms"]
    lines = [
        f"| {' | '.join(columns)} |",
        "| --- | ---: | --- | ---: | --- | --- | ---: | ---: | ---: |",
    ]
    for row in found:
        verdict = "" if row["reach"] is None else f"≥ {row['reach']:g} {'met' if row['reached'] else '**missed**'}"
        lines.append(
            f"| {row['case']} | {row['rate']:,.0f} | {row['floor']} | {row['floor_rate']:,.0f}"
            f" | **{row['ratio']:.2f}** ({row['lowest']:.2f} to {row['highest']:.2f}) | {verdict}"
            f" | {row['server_us']:.0f} + {row['database_us']:.0f} | {row['floor_us']:.0f}"
            f" | {row['p50']:.1f} / {row['p99']:.1f} |"
        )
    return "\n".join(lines)


def machine() -> str:
    """One line about where it ran."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{len(names)} x {names[0] if names else platform.machine()}, {memory:.0f} GiB,"
        f" Linux {platform.release()}, Python {platform.python_version()}; {datetime.now(UTC):%Y-%m-%d %H:%M} UTC,"
        f" load average {os.getloadavg()[0]:.1f} at the end"
    )


def save(found: Sequence[Row], name: str = "results", **more: object) -> Path:
    """Write Markdown, JSON and the plot under bench/out/; returns the JSON file."""
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), "cases": found, **more}, indent=1))
    (OUT / f"{name}.md").write_text(f"{table(found)}\n")
    plot(found, OUT / f"{name}.png")
    return path


def plot(found: Sequence[Row], path: Path) -> None:
    """The ratios as bars with the span of their rounds; a mark where the target stands."""
    figure, axes = plt.subplots(figsize=(9, 0.45 * len(found) + 1.2), layout="constrained")
    places = range(len(found))
    spans = [[row["ratio"] - row["lowest"] for row in found], [row["highest"] - row["ratio"] for row in found]]
    axes.barh(places, [row["ratio"] for row in found], xerr=spans, color="#4878a8", ecolor="#222222", height=0.6)
    wanted = [(place, row["reach"]) for place, row in enumerate(found) if row["reach"] is not None]
    axes.plot([reach for _, reach in wanted], [place for place, _ in wanted], "|", color="#c03020", ms=16, mew=3, ls="")
    axes.set_yticks(places, [f"{row['case']}\n÷ {row['floor']}" for row in found], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("ratio of the rates: bar median, line lowest to highest round, mark target")
    figure.savefig(path, dpi=130)
    plt.close(figure)
