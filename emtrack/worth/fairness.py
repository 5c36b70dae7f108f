"""Whether proposals, grades, removals and looks at trails fall on groups of people differently: each group beside all
others of the
cohort. A difference is a question to ask, not yet an answer: groups differ in what they did, too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Final, NamedTuple

from emtrack.forms.iom import RagGrade
from emtrack.worth.intervals import Estimate, Share, newcombe, wilson
from emtrack.worth.lives import Life

NOT_SAID: Final = "not recorded"
AGES: Final = ((0, "under 18"), (18, "18 to 24"), (25, "25 to 34"), (35, "35 to 44"), (45, "45 and over"))


class Event(NamedTuple):
    """What may fall on somebody: from a day to before another."""

    name: str
    befell: Callable[[Life, date, date], bool]


def _any(days: Iterable[date], begin: date, end: date) -> bool:
    return any(begin <= day < end for day in days)


EVENTS: Final = (
    Event("red was proposed", lambda life, a, b: _any((d for d, g in life.proposals if g is RagGrade.RED), a, b)),
    Event("red was given", lambda life, a, b: _any((d for d, g in life.grades if g is RagGrade.RED), a, b)),
    Event("was removed", lambda life, a, b: _any(life.removals, a, b)),
    Event("positions were looked at", lambda life, a, b: _any(life.trail_looks, a, b)),
)


class Fairness(NamedTuple):
    """A group beside the others. `share`, `others`: None: nobody. `hit`: whom it befell."""

    event: str
    by: str
    group: str
    people: tuple[int, ...]
    hit: tuple[int, ...]
    share: Share | None
    others: Share | None
    difference: Estimate | None


def age_group(born: date | None, on: date) -> str:
    if born is None:
        return NOT_SAID
    age = on.year - born.year - ((on.month, on.day) < (born.month, born.day))
    return next(name for first, name in reversed(AGES) if age >= first)


def fairness(cohort: Sequence[Life], begin: date, end: date) -> list[Fairness]:
    """By sex, age group and ethnicity as recorded."""
    ways: tuple[tuple[str, Callable[[Life], str]], ...] = (
        ("sex", lambda life: life.sex or NOT_SAID),
        ("age", lambda life: age_group(life.born, end)),
        ("ethnicity", lambda life: life.ethnicity or NOT_SAID),
    )
    found = []
    for event in EVENTS:
        hit = {life.person for life in cohort if event.befell(life, begin, end)}
        for by, group_of in ways:
            groups: dict[str, list[int]] = {}
            for life in cohort:
                groups.setdefault(group_of(life), []).append(life.person)
            found += [_beside(event.name, by, name, groups[name], cohort, hit) for name in sorted(groups)]
    return found


def _beside(
    event: str, by: str, group: str, people: Sequence[int], cohort: Sequence[Life], hit: set[int]
) -> Fairness:
    theirs = tuple(no for no in people if no in hit)
    share = wilson(len(theirs), len(people))
    others = wilson(len(hit) - len(theirs), len(cohort) - len(people))
    difference = None if share is None or others is None else newcombe(share, others)
    return Fairness(event, by, group, tuple(people), theirs, share, others, difference)
