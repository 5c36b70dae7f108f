"""A grade: RED, AMBER or GREEN, given by a person, with the reason and when it is looked at again.

Up at once by one person. Down at a review without a live signal of the grade that is held, after the least time that it must have
been held; earlier with a reason. A review that is overdue shows; the grade does not lapse.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from emtrack.forms.iom import RagGrade
from emtrack.iom.noun import Content, Noun

ORDER: Final = (RagGrade.GREEN, RagGrade.AMBER, RagGrade.RED)
DAY_MS: Final = 86_400_000


class Grade(Content, frozen=True):
    """`graded_by`: who decided, if somebody else than who recorded it. `proposal`: the item that it answers. `at_review`: it was
    decided at one."""

    grade: RagGrade
    reason: str | None = None
    graded_by: str | None = None
    proposal: int | None = None
    at_review: bool = False


GRADE: Final = Noun("grade", Grade, happens=True, is_due=True)


class Held(NamedTuple):
    """A grade and since when; in milliseconds (None: nobody recorded it)."""

    grade: RagGrade
    since_ms: int | None


def is_down(before: RagGrade | None, then: RagGrade) -> bool:
    return before is not None and ORDER.index(then) < ORDER.index(before)


def may_go_down(held: Held, live: RagGrade, least_days: dict[RagGrade, int], now_ms: int) -> RagGrade | None:
    """The grade one step below, if it may be given without a special reason. `live`: the highest grade for which there is a live
    signal. `least_days`: so long a grade was held before it goes down; one day is 24 hours."""
    place = ORDER.index(held.grade)
    if place == 0 or ORDER.index(live) >= place:
        return None
    is_old_enough = held.since_ms is None or now_ms - held.since_ms >= least_days[held.grade] * DAY_MS
    return ORDER[place - 1] if is_old_enough else None
