"""Facts of people as the measures take them: days, not instants; each day is local. What nobody said is None, and no
measure reads it
as a "no"."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final, NamedTuple

from emtrack.forms.iom import Cohort, Pathway, RagGrade
from emtrack.iom.circumstances import CircumstanceKind
from emtrack.iom.offences import OffenceKind

YEAR_DAYS: Final = 365
PROOF_MONTHS: Final = 6
"""What is proven later than so long after the year does not count, or nobody's outcome would ever be known."""
KNOWN_MONTHS: Final = 18


class Spell(NamedTuple):
    """From a day to the day on which it was over; `end` None: it lasts."""

    begin: date
    end: date | None = None

    def covers(self, day: date) -> bool:
        return self.begin <= day and (self.end is None or day < self.end)


class Deed(NamedTuple):
    """An offence. `proven_on` None: not proven. `harm_days`: by the crime harm index; None: the index has no figure for
    it."""

    item_no: int
    committed: date
    kind: OffenceKind
    proven_on: date | None
    harm_days: float | None


class Index(NamedTuple):
    """A release, non-custodial conviction or caution. `deed`: item of the offence that it is of; it is no reoffence."""

    day: date
    deed: int | None = None


class Selected(NamedTuple):
    """A membership of the programme."""

    cohort: Cohort
    spell: Spell


class Needs(NamedTuple):
    """What an assessment of a day said of needs; that it said nothing of any is not kept."""

    day: date
    pathways: frozenset[Pathway]


class Circumstances(NamedTuple):
    kind: CircumstanceKind
    spell: Spell


class Life(NamedTuple):
    """All that the measures ask of a person. Deeds, indexes, memberships and needs in order of their days. `somewhere`: for
    which
    days a status is on record at all; `custody`: for which it is one of custody."""

    person: int
    born: date | None = None
    sex: str | None = None
    ethnicity: str | None = None
    deeds: tuple[Deed, ...] = ()
    indexes: tuple[Index, ...] = ()
    selected: tuple[Selected, ...] = ()
    custody: tuple[Spell, ...] = ()
    somewhere: tuple[Spell, ...] = ()
    needs: tuple[Needs, ...] = ()
    releases: tuple[date, ...] = ()
    circumstances: tuple[Circumstances, ...] = ()
    grades: tuple[tuple[date, RagGrade], ...] = ()
    proposals: tuple[tuple[date, RagGrade], ...] = ()
    removals: tuple[date, ...] = ()
    trail_looks: tuple[date, ...] = ()

    @property
    def chosen_on(self) -> date | None:
        """When the person was selected for the first time."""
        return min((one.spell.begin for one in self.selected), default=None)

    def proven_between(self, begin: date, end: date) -> list[Deed]:
        """Offences committed from a day to before another, and proven by six months after it."""
        by = months_later(end, PROOF_MONTHS)
        return [d for d in self.deeds if begin <= d.committed < end and d.proven_on is not None and d.proven_on <= by]

    def days_free(self, begin: date, end: date) -> int:
        """Days that are not of custody, from a day to before another."""
        return (end - begin).days - days_in(self.custody, begin, end)


def days_in(spells: Iterable[Spell], begin: date, end: date) -> int:
    """Days that lie in any of the spells, each once, from a day to before another."""
    days, reached = 0, begin
    for spell in sorted(spells):
        first, last = max(spell.begin, reached), end if spell.end is None else min(spell.end, end)
        if first < last:
            days += (last - first).days
            reached = last
    return days


def months_later(day: date, months: int) -> date:
    """The same day of a later (or earlier) month; the last one of it where there is no such day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    for back in range(4):
        try:
            return date(year, month + 1, day.day - back)
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")


def year_after(day: date) -> date:
    return day + timedelta(days=YEAR_DAYS)


def is_known(day: date, today: date) -> bool:
    """Whether what came of a year that began on a day is known: all that counts has been proven by then."""
    return max(months_later(day, KNOWN_MONTHS), months_later(year_after(day), PROOF_MONTHS)) <= today
