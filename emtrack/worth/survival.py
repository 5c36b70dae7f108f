"""How long something takes, with what is not done yet counted as such (Kaplan and Meier 1958)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scipy import stats


class Curve(NamedTuple):
    """`waiting`: the share that is not done, after each of `times`, which ascend."""

    times: tuple[float, ...]
    waiting: tuple[float, ...]

    def within(self, share: float) -> float | None:
        """The time in which the share is done. None: it cannot be told yet, as too many are open."""
        return next((t for t, left in zip(self.times, self.waiting, strict=True) if left <= 1 - share + 1e-9), None)


class Waits(NamedTuple):
    """`done`, `open_`: how many. `median`, `p90`: in the unit of what was given; None: not known yet."""

    done: int
    open_: int
    median: float | None
    p90: float | None


def kaplan_meier(done: Sequence[float], open_: Sequence[float]) -> Curve:
    """`done`: how long each took. `open_`: for how long each is open so far; it counts for as long as that. One value at
    least."""
    times = [*done, *open_]
    if not times:
        return Curve((), ())
    censored = [False] * len(done) + [True] * len(open_)
    waiting = stats.ecdf(stats.CensoredData.right_censored(times, censored)).sf
    return Curve(tuple(map(float, waiting.quantiles)), tuple(map(float, waiting.probabilities)))


def waits(done: Sequence[float], open_: Sequence[float]) -> Waits:
    curve = kaplan_meier(done, open_)
    return Waits(len(done), len(open_), curve.within(0.5), curve.within(0.9))
