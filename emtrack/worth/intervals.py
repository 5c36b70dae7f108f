"""Rates with their intervals, all of 95 %: Wilson (1927) for a share, Newcombe (1998, method 10) for the difference of two,
and the
bootstrap over people (Efron 1979, percentiles) for what is counted of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from scipy import stats

DRAWS: Final = 2_000
SEED: Final = 20_261_129
"""Fixed: the same people give the same interval, on every machine and at every reading."""
AT_A_TIME: Final = 200
"""Draws in one array: 200 of 20,000 people are 32 MB."""


class Share(NamedTuple):
    """`hits` of `of`, which is at least one; as fractions."""

    hits: int
    of: int
    value: float
    low: float
    high: float


class Estimate(NamedTuple):
    """A value with its interval, in the unit of what was counted."""

    value: float
    low: float
    high: float


def wilson(hits: int, of: int) -> Share | None:
    """The share with its score interval, without correction of continuity. None: of nobody there is no share."""
    if of == 0:
        return None
    interval = stats.binomtest(hits, of).proportion_ci(0.95, method="wilson")
    return Share(hits, of, hits / of, float(interval.low), float(interval.high))


def newcombe(one: Share, other: Share) -> Estimate:
    """`one` less `other`, by the score intervals of both: the square-and-add of Newcombe's method 10."""
    value = one.value - other.value
    below = np.hypot(one.value - one.low, other.high - other.value)
    above = np.hypot(one.high - one.value, other.value - other.low)
    return Estimate(value, float(value - below), float(value + above))


def mean_of(amounts: Sequence[float]) -> Estimate | None:
    """What a person has on average. None: of fewer than two people there is no interval."""
    return ratio_of(amounts, [1.0] * len(amounts))


def ratio_of(amounts: Sequence[float], exposures: Sequence[float], per: float = 1.0) -> Estimate | None:
    """The sum of amounts for each `per` of the sum of exposures; a person is drawn with both. None: fewer than two people,
    or no
    exposure."""
    counted, exposed = np.asarray(amounts, float), np.asarray(exposures, float)
    if len(counted) < 2 or exposed.sum() <= 0:
        return None
    value = per * float(counted.sum() / exposed.sum())
    if not counted.any():
        return Estimate(value, value, value)
    # Draws that hold nobody who was exposed say nothing.
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = stats.bootstrap(
            (counted, exposed), _ratio, n_resamples=DRAWS, batch=AT_A_TIME, paired=True, vectorized=True,
            method="percentile", rng=np.random.default_rng(SEED),
        )  # fmt: skip
    low, high = np.nanpercentile(drawn.bootstrap_distribution, (2.5, 97.5))
    return Estimate(value, per * float(low), per * float(high))


def _ratio(counted: Any, exposed: Any, axis: int) -> Any:
    return counted.sum(axis=axis) / exposed.sum(axis=axis)
