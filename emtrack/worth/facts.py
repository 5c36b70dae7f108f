"""Everything that the measures rest on. What is read of the record under the rights of who asks, and nothing else, goes in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from emtrack.iom.costs import UnitCost
from emtrack.iom.offences import OffenceKind
from emtrack.worth.lives import Life


class Due(NamedTuple):
    """What was to be done by an instant. `done_ms` None: it is open. `person` None: of nobody in particular."""

    person: int | None
    due_ms: int
    done_ms: int | None


class Step(NamedTuple):
    """From an instant to another. `end_ms` None: it has not come."""

    person: int | None
    begin_ms: int
    end_ms: int | None


class Month(NamedTuple):
    """A person's month under a tag. Hours of curfews: `obliged` all, `out` those in violation, `untold` those for which
    nobody could
    tell. `nights`: obligation periods that are known at all; `bad_nights`: those with a violation."""

    person: int
    cohort: str
    month: str
    weeks: float
    findings: int
    obliged: float
    out: float
    untold: float
    nights: int
    bad_nights: int


class Facts(NamedTuple):
    """`everybody`: the whole local pool. `period`: days from and to, of index dates and releases. `steps`: by name.
    `months`: under a
    tag. `today`: the day as which everything is known, `known_ms` its beginning."""

    everybody: tuple[Life, ...]
    period: tuple[date, date]
    today: date
    known_ms: int
    months: tuple[Month, ...]
    tasks: tuple[Due, ...]
    reviews: tuple[Due, ...]
    steps: Mapping[str, tuple[Step, ...]]
    yearly_cost: float | None
    unit_costs: Mapping[OffenceKind, UnitCost]
    unit_costs_of: str
