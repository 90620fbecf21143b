"""Cases against their floors, in interleaved rounds: only ratios of neighbours in time are kept.

A case and its floors run one after the other in each round, in an order that changes from round to round, so that
whatever else the machine does falls on all of them. The result is the median of the rounds' ratios.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.load import Load, Sample
from bench.stack import Stack

WARM_UP_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Case:
    """One declaration. `floors` maps what it is measured against to the load; `reach` maps the same names to targets.

    `switches` are run-time switches set for the case (and its floors), the others stay as they are.
    """

    name: str
    load: Load
    floors: Mapping[str, Load]
    reach: Mapping[str, float] = field(default_factory=dict)
    switches: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Measured:
    """The samples of one case, round by round."""

    case: Case
    own: list[Sample] = field(default_factory=list)
    floors: dict[str, list[Sample]] = field(default_factory=dict)

    def ratios(self, floor: str) -> list[float]:
        """Work done a second, against the floor's, in each round."""
        return [own.rate / other.rate for own, other in zip(self.own, self.floors[floor], strict=True)]

    def ratio(self, floor: str) -> float:
        return median(self.ratios(floor))

    def reached(self, floor: str) -> bool | None:
        """None where no target is set."""
        wanted = self.case.reach.get(floor)
        return None if wanted is None else self.ratio(floor) >= wanted


def middle(samples: Sequence[Sample], name: str) -> float:
    """The median of one figure."""
    return float(median(getattr(sample, name) for sample in samples))


def measure(stack: Stack, cases: Sequence[Case], rounds: int = 6, seconds: float = 2) -> list[Measured]:
    """Run the cases. Stops when an answer is a refusal or lost: a fast error is no result."""
    found = [Measured(case, floors={name: [] for name in case.floors}) for case in cases]
    for measured in found:
        _set(stack, measured.case.switches)
        _checked(measured.case.name, measured.case.load.run(stack, WARM_UP_SECONDS))
    for number in range(rounds):
        for measured in found:
            case = measured.case
            _set(stack, case.switches)
            runs = [("", case.load), *case.floors.items()]
            random.shuffle(runs)
            for name, load in runs:
                sample = _checked(f"{case.name} {name}", load.run(stack, seconds))
                (measured.floors[name] if name else measured.own).append(sample)
            shown = ", ".join(f"{measured.ratios(name)[-1]:.2f} of {name}" for name in case.floors)
            print(f"round {number + 1} of {rounds}  {case.name}: {measured.own[-1].rate:,.0f}/s  {shown}", flush=True)
    return found


def _checked(name: str, sample: Sample) -> Sample:
    if sample.refused or sample.lost:
        raise SystemExit(f"{name}: {sample.refused} refused, {sample.lost} lost")
    return sample


def _set(stack: Stack, switches: Mapping[str, str]) -> None:
    for name, value in switches.items():
        for service in stack.services:
            stack.execute("select ops.set_flag($1, $2)", name, value, service=service)
