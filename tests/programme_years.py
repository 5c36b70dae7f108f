"""Years of an invented programme in the record: who was selected, released, offended, and how the work was done."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import numpy as np

from emtrack.forms.iom import Cohort, Pathway, RagGrade
from emtrack.iom.assessments import ASSESSMENT, Assessment
from emtrack.iom.circumstances import CIRCUMSTANCE, Circumstance, CircumstanceKind
from emtrack.iom.entries import Author, Draft, Span, enter, following, load
from emtrack.iom.grades import GRADE, Grade
from emtrack.iom.memberships import MEMBERSHIP, EndReason, Membership
from emtrack.iom.offences import OFFENCE, Offence, OffenceKind, OffenceOutcome
from emtrack.iom.people import Person
from emtrack.iom.standing import add_person
from emtrack.iom.statuses import STATUS, Status, StatusKind
from emtrack.iom.tasks import TASK, Task
from emtrack.iom.transitions import TRANSITION, Transition, TransitionKind

ANN = Author("Ann")
DAY_MS = 86_400_000
KINDS = (OffenceKind.VEHICLE, OffenceKind.RESIDENTIAL_BURGLARY, OffenceKind.SHOPLIFTING, OffenceKind.OTHER)


def at(day: date, hour: int = 12) -> int:
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=UTC).timestamp() * 1000)


async def person(connection: Any, reference: str, drafts: Any = (), *, when: date, **told: Any) -> int:
    """Somebody new with what `drafts`, a function of the number, gives; all of it recorded at noon of a day."""
    told.setdefault("agencies", ["Police"])
    async with connection.transaction():
        entry = await add_person(connection, ANN, reference, Person(name=f"Name of {reference}", **told), at(when))
        number = entry.wearer_no or 0
        made = drafts(number) if callable(drafts) else list(drafts)
        if made:
            await enter(connection, ANN, made, at(when))
    return number


def membership(number: int, begin: date, cohort: Cohort = Cohort.FIXED) -> Draft:
    return Draft(MEMBERSHIP, number, Membership(cohort=cohort), "OPEN", Span(at(begin)))


async def removed(connection: Any, number: int, end: date, *, when: date) -> None:
    """A panel ends the membership."""
    (former,) = await load(connection, [number], [MEMBERSHIP])
    assert isinstance(former.content, Membership)
    assert former.valid is not None
    content = msgspec.structs.replace(
        former.content, end_reason=EndReason.RISK_REDUCED, panel="panel", panel_date=end
    )
    draft = following(former, state="ENDED", content=content, valid=Span(former.valid.begin_ms, at(end)))
    async with connection.transaction():
        await enter(connection, ANN, [draft], at(when))


def offence(number: int, day: date, kind: OffenceKind = OffenceKind.VEHICLE, proven_after: int = 30) -> Draft:
    content = Offence(kind=kind, outcome=OffenceOutcome.CONVICTED, proven_on=day + timedelta(days=proven_after))
    return Draft(OFFENCE, number, content, "STATED", occurred_ms=at(day))


def release(number: int, day: date) -> Draft:
    return Draft(TRANSITION, number, Transition(kind=TransitionKind.RELEASE), "DONE", occurred_ms=at(day))


def status(number: int, kind: StatusKind, begin: date, end: date | None = None) -> Draft:
    span = Span(at(begin), None if end is None else at(end))
    return Draft(STATUS, number, Status(status=kind), "STATED", span)


def years_of(number: int, chance: Any, today: date, selected: date | None) -> list[Draft]:
    """One life. Offences come by a rate of the person's own."""
    rate = float(chance.gamma(0.8, 2.0))
    drafts = [
        offence(number, today - timedelta(days=int(back)), KINDS[int(chance.integers(4))])
        for back in chance.uniform(40, 5 * 365, int(chance.poisson(rate * 5)))
    ]
    if selected is None:
        return drafts
    out = selected + timedelta(days=int(chance.integers(0, 120)))
    drafts += [
        membership(number, selected, Cohort.FLEX if number % 4 == 0 else Cohort.FIXED),
        status(number, StatusKind.SENTENCED, out - timedelta(days=90), out), status(number, StatusKind.COMMUNITY, out),
        release(number, out),
        Draft(ASSESSMENT, number, Assessment(needs=[list(Pathway)[number % 7], Pathway.DRUGS_ALCOHOL][: 1 + number % 2]),
              occurred_ms=at(selected)),
        Draft(GRADE, number, Grade(grade=RagGrade.RED if number % 3 else RagGrade.AMBER, reason="x"),
              occurred_ms=at(today - timedelta(days=60)), due_ms=at(today - timedelta(days=53))),
        Draft(TASK, number, Task(title="see the person"), "NEW", due_ms=at(today - timedelta(days=20))),
    ]  # fmt: skip
    if number % 5:
        housing = Circumstance(kind=CircumstanceKind.HOUSING, what="a flat")
        drafts.append(Draft(CIRCUMSTANCE, number, housing, "STATED", Span(at(out + timedelta(days=number % 5 - 1)))))
    return drafts


async def programme_years(connection: Any, today: date, selected: int, others: int, seed: int = 7) -> list[int]:
    """Numbers of the selected; every third was removed since. All was recorded the day before."""
    chance = np.random.default_rng(seed)
    numbers, when = [], today - timedelta(days=1)
    for place in range(selected + others):
        born = date(1980 + place % 25, 5, 1)
        is_selected = place < selected
        begin = today - timedelta(days=700 + 10 * (place % 40)) if is_selected else None
        end = begin + timedelta(days=300) if begin is not None and place % 3 == 0 else None

        def drafts(number: int, begin: date | None = begin) -> list[Draft]:
            return years_of(number, chance, today, begin)

        number = await person(
            connection, f"Y{place:05}", drafts, when=when, date_of_birth=born, sex="F" if place % 4 == 0 else "M",
            ethnicity=("W1", "A1", "B1", None)[place % 4],
        )  # fmt: skip
        if end is not None:
            await removed(connection, number, end, when=when)
        if is_selected:
            numbers.append(number)
    return numbers
