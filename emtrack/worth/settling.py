"""Needs after a release: housed on the night and at three months, work at six weeks and six months, treatment within three
weeks.
Three answers: yes, no, and that the record does not say."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from emtrack.iom.circumstances import CircumstanceKind
from emtrack.worth.intervals import Share, wilson
from emtrack.worth.lives import Life, months_later


class Answer(StrEnum):
    YES = "YES"
    NO = "NO"
    UNKNOWN = "UNKNOWN"


class Question(NamedTuple):
    """`months`, `days`: after the release; `within`: at any day until then, not on that one."""

    name: str
    kind: CircumstanceKind
    months: int
    days: int
    within: bool

    def day(self, released: date) -> date:
        return months_later(released, self.months) + timedelta(days=self.days)


QUESTIONS: Final = (
    Question("housed on the night of release", CircumstanceKind.HOUSING, 0, 0, False),
    Question("housed at 3 months", CircumstanceKind.HOUSING, 3, 0, False),
    Question("in work at 6 weeks", CircumstanceKind.WORK, 0, 42, False),
    Question("in work at 6 months", CircumstanceKind.WORK, 6, 0, False),
    Question("in treatment within 3 weeks", CircumstanceKind.TREATMENT, 0, 21, True),
)


class Settled(NamedTuple):
    """People by the answer, each by the first release in the time; `not_yet`: the day has not come. `known`: yes of yes and
    no."""

    question: Question
    people: dict[Answer, tuple[int, ...]]
    not_yet: tuple[int, ...]
    known: Share | None


def settled(lives: Iterable[Life], begin: date, end: date, today: date) -> list[Settled]:
    """Of people released from a day to before another."""
    firsts = [(life, day) for life in lives if (day := next((d for d in life.releases if begin <= d < end), None))]
    return [_settled(question, firsts, today) for question in QUESTIONS]


def _settled(question: Question, firsts: Iterable[tuple[Life, date]], today: date) -> Settled:
    people: dict[Answer, list[int]] = {answer: [] for answer in Answer}
    not_yet = []
    for life, released in firsts:
        if question.day(released) >= today:
            not_yet.append(life.person)
        else:
            people[answer(life, question, released)].append(life.person)
    yes, no = len(people[Answer.YES]), len(people[Answer.NO])
    return Settled(question, {k: tuple(v) for k, v in people.items()}, tuple(not_yet), wilson(yes, yes + no))


def answer(life: Life, question: Question, released: date) -> Answer:
    """NO: the record tells of such a circumstance since the release, or of one that ended before the day, but of none for
    the day.
    Who has nothing of the kind on record is UNKNOWN: nobody asked, or nobody wrote it down."""
    day = question.day(released)
    spells = [one.spell for one in life.circumstances if one.kind is question.kind]
    first = released if question.within else day
    if any(spell.begin <= day and (spell.end is None or spell.end > first) for spell in spells):
        return Answer.YES
    return Answer.NO if spells else Answer.UNKNOWN
