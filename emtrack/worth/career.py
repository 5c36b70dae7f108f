"""Offences by age, with the programme marked: of one person, and the median of a cohort."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final, NamedTuple

import numpy as np

from emtrack.worth.lives import Life, Spell

FIRST_AGE: Final = 10
"""The age of criminal responsibility in England and Wales."""
LAST_AGE: Final = 80


class Year(NamedTuple):
    """A year of somebody's age. `in_programme`: a part of it was."""

    age: int
    offences: int
    in_programme: bool


class MedianYear(NamedTuple):
    """Offences in a year of age: quartiles over the `people` who have lived it to its end, by number; `offences`: of all of them."""

    age: int
    people: tuple[int, ...]
    offences: int
    lower: float
    median: float
    upper: float


def birthday(born: date, age: int) -> date:
    """The first day of a year of age; born on 29 February: 1 March where there is none."""
    try:
        return born.replace(year=born.year + age)
    except ValueError:
        return date(born.year + age, 3, 1)


def career(life: Life, today: date) -> list[Year]:
    """Proven offences in each year of age up to now. Nothing where nobody knows when the person was born."""
    born = life.born
    if born is None:
        return []
    years = []
    for age in range(FIRST_AGE, LAST_AGE):
        begin, end = birthday(born, age), birthday(born, age + 1)
        if begin > today:
            break
        offences = sum(begin <= deed.committed < end and deed.proven_on is not None for deed in life.deeds)
        years.append(Year(age, offences, any(_meet(one.spell, begin, end) for one in life.selected)))
    return years


def _meet(spell: Spell, begin: date, end: date) -> bool:
    return spell.begin < end and (spell.end is None or spell.end > begin)


def median_career(lives: Iterable[Life], today: date) -> list[MedianYear]:
    """By age, as far as anybody has lived it to its end."""
    found: dict[int, list[tuple[int, int]]] = {}
    for life in lives:
        for year in career(life, today):
            if life.born is not None and birthday(life.born, year.age + 1) <= today:
                found.setdefault(year.age, []).append((life.person, year.offences))
    return [
        MedianYear(
            age,
            tuple(no for no, _ in counts),
            sum(count for _, count in counts),
            *(float(q) for q in np.percentile([count for _, count in counts], (25, 50, 75))),
        )
        for age, counts in sorted(found.items())
    ]
