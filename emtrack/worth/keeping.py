"""Compliance under a tag: findings a wearer-week, curfew hours kept of those that are obliged and known, and nights with a
violation
on a p-chart by month (Shewhart; limits of three standard errors)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np

from emtrack.worth.facts import Month


class Kept(NamedTuple):
    """Of a cohort in a month, or of all. `per_week`: findings, quartiles over people (order statistics). `kept`: of obliged
    and known;
    None: nothing is known."""

    people: tuple[int, ...]
    weeks: float
    findings: int
    per_week: tuple[float, float, float] | None
    obliged: float
    untold: float
    kept: float | None


def kept(months: Sequence[Month]) -> Kept:
    people = sorted({one.person for one in months})
    weeks = dict.fromkeys(people, 0.0)
    findings = dict.fromkeys(people, 0)
    for one in months:
        weeks[one.person] += one.weeks
        findings[one.person] += one.findings
    rates = [findings[no] / weeks[no] for no in people if weeks[no] > 0]
    obliged, untold, out = (sum(getattr(one, name) for one in months) for name in ("obliged", "untold", "out"))
    known = obliged - untold
    quartiles = None
    if rates:
        lower, middle, upper = (float(q) for q in np.percentile(rates, (25, 50, 75)))
        quartiles = lower, middle, upper
    return Kept(
        tuple(people), sum(weeks.values()), sum(findings.values()), quartiles, obliged, untold,
        (known - out) / known if known > 0 else None,
    )  # fmt: skip


class Point(NamedTuple):
    """A sample on a p-chart. `value` None: nothing was sampled."""

    name: str
    hits: int
    of: int
    value: float | None
    lower: float
    upper: float

    @property
    def is_outside(self) -> bool:
        return self.value is not None and not self.lower <= self.value <= self.upper


class Chart(NamedTuple):
    centre: float | None
    points: tuple[Point, ...]


def p_chart(samples: Iterable[tuple[str, int, int]]) -> Chart:
    """Samples by name: hits, and of how many."""
    named = list(samples)
    total = sum(of for _, _, of in named)
    if total == 0:
        return Chart(None, ())
    centre = sum(hits for _, hits, _ in named) / total
    return Chart(centre, tuple(_point(name, hits, of, centre) for name, hits, of in named))


def _point(name: str, hits: int, of: int, centre: float) -> Point:
    if of == 0:
        return Point(name, hits, of, None, 0.0, 1.0)
    width = 3 * sqrt(centre * (1 - centre) / of)
    return Point(name, hits, of, hits / of, max(0.0, centre - width), min(1.0, centre + width))
