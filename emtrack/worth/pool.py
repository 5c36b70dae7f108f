"""What would be expected if nothing worked: whoever is chosen for a bad year has a better one by itself.

People offend at rates of their own, which are spread as a gamma distribution over the whole local pool; each year is a draw
by
somebody's rate. Shape α and rate β are fitted to the pool by maximum likelihood (the counts are then negative binomial). Of
somebody with x events in time t, `t′(α + x)/(β + t)` are expected in a time t′ thereafter (the posterior mean; Robbins
1956, Efron
and Hastie 2016, section 6.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from scipy import optimize, special

LIMIT: Final = 12.0
"""Of the logarithms of α and β. A pool that is spread no more than chance spreads it has no finite α; at e¹² what is
expected differs
from the mean by less than a thousandth."""


class Spread(NamedTuple):
    """Of rates of offending over a pool: a gamma distribution. `rate`: in the unit of time."""

    shape: float
    rate: float

    @property
    def mean(self) -> float:
        return self.shape / self.rate


class UnfitPool(ValueError):
    """Nothing can be fitted to it."""


def fitted(events: Sequence[float], times: Sequence[float]) -> Spread:
    """The likeliest spread. Who had no time tells nothing. Raises UnfitPool where nobody had any, or nothing happened."""
    counted, exposed = np.asarray(events, float), np.asarray(times, float)
    counted, exposed = counted[exposed > 0], exposed[exposed > 0]
    if counted.sum() == 0:
        raise UnfitPool("nothing happened in the pool")
    pairs, people = np.unique(np.stack([counted, exposed]), axis=1, return_counts=True)
    mean = counted.sum() / exposed.sum()

    def unlikeliness(logarithms: Any) -> float:
        shape, rate = np.exp(logarithms)
        x, t = pairs
        each = (
            special.gammaln(shape + x) - special.gammaln(shape) - special.gammaln(x + 1)
            - shape * np.log1p(t / rate) + x * (np.log(t) - np.log(rate + t))
        )  # fmt: skip
        return -float(people @ each)

    found = optimize.minimize(
        unlikeliness, np.log([1.0, 1.0 / mean]), method="L-BFGS-B", bounds=[(-LIMIT, LIMIT), (-LIMIT, 2 * LIMIT)],
        options={"ftol": 1e-13, "gtol": 1e-9},
    )  # fmt: skip
    shape, rate = np.exp(found.x)
    return Spread(float(shape), float(rate))


def expected(spread: Spread, events: float, time: float, time_after: float) -> float:
    """Events in the time thereafter, of somebody with `events` in `time`."""
    return time_after * (spread.shape + events) / (spread.rate + time)
