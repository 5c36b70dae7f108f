"""Before, after, and what would be expected if nothing worked; of everybody who was ever selected, those removed since too.

Twelve months before the first selection and twelve after it. An offence counts where it was committed in the twelve months
and proven
by six months after them, on both sides alike. Time is time at liberty: nobody is expected to offend in custody. α and β
come from
the whole local pool over one span that is the same for everybody in it, so that nobody's year stands there because it was
bad.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from statistics import median_low
from typing import Final, NamedTuple

from emtrack.worth.intervals import Estimate, mean_of
from emtrack.worth.lives import YEAR_DAYS, Life, is_known, year_after
from emtrack.worth.pool import Spread, UnfitPool, expected, fitted

LEAST_OTHERS: Final = 30
"""People of the pool who were never selected. A pool of the selected alone says nothing of how much a bad year is by
chance."""


class Around(NamedTuple):
    """A person's years on both sides of the selection: offences, and years at liberty."""

    life: Life
    before: int
    after: int
    before_years: float
    after_years: float


class Pool(NamedTuple):
    """`others`: of its people, how many were never selected. `spread` None: nothing could be fitted, and `trouble` says
    why."""

    people: int
    others: int
    begin: date
    end: date
    spread: Spread | None
    trouble: str | None


class BeforeAfter(NamedTuple):
    """Offences a person in twelve months. `expected`, `beyond` (after less expected): None where the pool has no spread."""

    known: tuple[Around, ...]
    not_yet: tuple[Life, ...]
    before: Estimate | None
    after: Estimate | None
    expected: Estimate | None
    beyond: Estimate | None
    pool: Pool | None


def before_after(selected: Iterable[Life], everybody: Sequence[Life], today: date) -> BeforeAfter:
    """`selected`: whose figures are wanted; `everybody`: the whole local pool, the selected with them."""
    known, not_yet = [], []
    for life in selected:
        day = life.chosen_on
        if day is not None and is_known(day, today):
            known.append(_around(life, day))
        elif day is not None:
            not_yet.append(life)
    pool = pool_of(everybody, [one.life.chosen_on for one in known if one.life.chosen_on is not None])
    there = [] if pool is None or pool.spread is None else expected_of(known, pool.spread)
    return BeforeAfter(
        known=tuple(known),
        not_yet=tuple(not_yet),
        before=mean_of([one.before for one in known]),
        after=mean_of([one.after for one in known]),
        expected=mean_of(there),
        beyond=mean_of([one.after - awaited for one, awaited in zip(known, there, strict=False)]),
        pool=pool,
    )


def _around(life: Life, day: date) -> Around:
    begin, end = day - timedelta(days=YEAR_DAYS), year_after(day)
    return Around(
        life, len(life.proven_between(begin, day)), len(life.proven_between(day, end)),
        life.days_free(begin, day) / YEAR_DAYS, life.days_free(day, end) / YEAR_DAYS,
    )  # fmt: skip


def expected_of(known: Iterable[Around], spread: Spread) -> list[float]:
    return [expected(spread, one.before, one.before_years, one.after_years) for one in known]


def pool_of(everybody: Sequence[Life], days: Sequence[date]) -> Pool | None:
    """Fitted to the twelve months before the median day of selection. None: nobody was selected."""
    if not days:
        return None
    end = median_low(days)
    begin = end - timedelta(days=YEAR_DAYS)
    others = sum(not life.selected for life in everybody)
    spread, trouble = None, None
    if others < LEAST_OTHERS:
        trouble = f"the record holds {others} people who were never selected, and {LEAST_OTHERS} at least are needed"
    else:
        try:
            spread = fitted(
                [len(life.proven_between(begin, end)) for life in everybody],
                [life.days_free(begin, end) / YEAR_DAYS for life in everybody],
            )
        except UnfitPool as error:
            trouble = str(error)
    return Pool(len(everybody), others, begin, end, spread, trouble)
