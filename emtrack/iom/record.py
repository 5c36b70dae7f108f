"""The summary of a person's IOM record, as the queue and the pages of alerts read it, and the record as orders.json carries it.

Both are older than the entries of the programme. What orders say is entered as entries; the summary follows from those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from emtrack.forms.iom import IomForm, RagGrade
from emtrack.iom import grades
from emtrack.iom.assessments import ASSESSMENT, Assessment
from emtrack.iom.entries import Author, Draft, Entry, Span, enter, following, load
from emtrack.iom.identifiers import Identifier, identifier
from emtrack.iom.memberships import MEMBERSHIP, Membership
from emtrack.iom.people import PERSON, Person
from emtrack.iom.summary import COLUMNS, SCHEMES
from geofence import instant_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from emtrack.db.connect import Connection

ORDERS = "orders"
"""The system from which entries come that orders.json carried."""


class FutureGrade(ValueError):
    """A grade of a person that would hold from an instant that has not come."""

    def __init__(self, wearer_no: int, message: str) -> None:
        super().__init__(message)
        self.wearer_no = wearer_no


class Grade(msgspec.Struct, frozen=True):
    """A RAG grade. `since_ms` is None where nobody recorded since when it holds."""

    grade: str
    since_ms: int | None
    reason: str | None
    graded_by: str | None


class IomRecord(msgspec.Struct, frozen=True):
    """A wearer's IOM record as it stands. `grades`: the newest first, so that the first is the one that holds."""

    pnc: str | None = None
    crn: str | None = None
    nomis: str | None = None
    ecins: str | None = None
    cohort: str | None = None
    mappa_category: int | None = None
    mappa_level: int | None = None
    pathways: list[str] = []
    agencies: list[str] = []
    lead_officer: str | None = None
    lead_agency: str | None = None
    grades: list[Grade] = []

    @property
    def rag(self) -> str | None:
        return self.grades[0].grade if self.grades else None


RECORDS = """
SELECT wearer_no, pnc, crn, nomis, ecins, cohort, mappa_category, mappa_level, pathways, agencies, lead_officer, lead_agency
FROM iom_versions WHERE wearer_no = ANY($1::bigint[]) AND upper_inf(recorded)
"""
GRADES = """
SELECT wearer_no, grade, since, isfinite(since) AS is_dated, reason, graded_by FROM rag_grades
WHERE wearer_no = ANY($1::bigint[]) ORDER BY since DESC
"""
WEARER_IDS = "SELECT wearer_no, wearer_id FROM wearers WHERE wearer_no = ANY($1::bigint[])"


async def load_iom(connection: Connection, wearer_nos: list[int]) -> dict[int, IomRecord]:
    """The records of wearers that have one, or a grade."""
    grades: dict[int, list[Grade]] = {}
    for row in await connection.fetch(GRADES, wearer_nos):
        since_ms = instant_of(row["since"]) if row["is_dated"] else None
        grades.setdefault(row["wearer_no"], []).append(Grade(row["grade"], since_ms, row["reason"], row["graded_by"]))
    rows = {row["wearer_no"]: row for row in await connection.fetch(RECORDS, wearer_nos)}
    return {
        number: IomRecord(**_columns(rows.get(number)), grades=grades.get(number, []))
        for number in rows.keys() | grades.keys()
    }


def _columns(row: asyncpg.Record | None) -> dict[str, Any]:
    return {} if row is None else {name: row[name] for name in COLUMNS}


async def enter_iom(connection: Connection, forms: Mapping[int, IomForm], who: str, now: datetime) -> set[int]:
    """Enter what orders say of people, by number: what they are called elsewhere, with whom they are shared, what was assessed,
    and the grades that are new. Of whom anything changed. Raises FutureGrade.

    Orders begin a membership of somebody who never had one. They end none, and begin none again: that is for a panel.
    """
    numbers, now_ms = list(forms), instant_of(now)
    before = await load_iom(connection, numbers)
    records = {row["wearer_no"]: row["wearer_id"] for row in await connection.fetch(WEARER_IDS, numbers)}
    there: dict[int, list[Entry]] = {number: [] for number in numbers}
    for entry in await load(connection, numbers, [PERSON, MEMBERSHIP, ASSESSMENT]):
        there[entry.wearer_no or 0].append(entry)
    drafts = [
        draft
        for number, form in forms.items()
        for draft in (
            _person(number, form, there[number], now.year),
            *_membership(number, form, there[number], now_ms),
            *_assessment(number, form, there[number], records[number], now_ms),
            *_new_grades(number, form, before.get(number), who, now_ms),
        )
    ]
    await enter(connection, Author(who), drafts, now_ms)
    return {draft.wearer_no for draft in drafts if draft.says_something_new and draft.wearer_no is not None}


def _newest(there: list[Entry], form: type) -> Entry | None:
    return next((entry for entry in reversed(there) if isinstance(entry.content, form)), None)


def _person(wearer_no: int, form: IomForm, there: list[Entry], this_year: int) -> Draft:
    former = _newest(there, Person)
    known = former.content if former is not None and isinstance(former.content, Person) else Person()
    named: list[Identifier] = [
        identifier(scheme, given, this_year)
        for column, scheme in SCHEMES.items()
        if (given := getattr(form, column)) is not None
    ]
    others = [one for one in known.identifiers if one.scheme not in SCHEMES.values()]
    content = msgspec.structs.replace(
        known,
        identifiers=named + others,
        agencies=form.agencies,
        lead_officer=form.lead_officer,
        lead_agency=form.lead_agency,
    )
    return Draft(PERSON, wearer_no, content) if former is None else following(former, content=content)


def _membership(wearer_no: int, form: IomForm, there: list[Entry], now_ms: int) -> list[Draft]:
    former = _newest(there, Membership)
    if form.cohort is None or (former is not None and former.state != "OPEN"):
        return []
    if former is None:
        content = Membership(cohort=form.cohort, lead_agency=form.lead_agency, lead_officer=form.lead_officer)
        return [Draft(MEMBERSHIP, wearer_no, content, "OPEN", Span(now_ms))]
    changed = msgspec.structs.replace(
        former.content, cohort=form.cohort, lead_agency=form.lead_agency, lead_officer=form.lead_officer
    )
    return [following(former, content=changed)]


def _assessment(wearer_no: int, form: IomForm, there: list[Entry], record: str, now_ms: int) -> list[Draft]:
    said = Assessment(
        source=ORDERS, mappa_category=form.mappa_category, mappa_level=form.mappa_level, needs=form.pathways
    )
    former = next((entry for entry in there if entry.noun is ASSESSMENT and entry.system == ORDERS), None)
    if former is not None:
        return [following(former, content=said)]
    is_empty = form.mappa_category is None and form.mappa_level is None and not form.pathways
    return [] if is_empty else [Draft(ASSESSMENT, wearer_no, said, occurred_ms=now_ms, system=ORDERS, record=record)]


def _new_grades(wearer_no: int, form: IomForm, before: IomRecord | None, who: str, now_ms: int) -> list[Draft]:
    known = set() if before is None else {grade.since_ms for grade in before.grades}
    fresh = [grade for grade in _grades(form, before, who, now_ms) if grade.since_ms not in known]
    for grade in fresh:
        if grade.since_ms is not None and grade.since_ms > now_ms:
            raise FutureGrade(wearer_no, f"the grade {grade.grade} would hold from an instant that has not come")
    return [
        Draft(
            grades.GRADE,
            wearer_no,
            grades.Grade(grade=RagGrade(grade.grade), reason=grade.reason, graded_by=grade.graded_by),
            occurred_ms=grade.since_ms,
        )
        for grade in fresh
    ]


def _grades(form: IomForm, before: IomRecord | None, who: str, now_ms: int) -> list[Grade]:
    """The grades that the form speaks of: its history, or else the one that it says holds now."""
    if form.rag_history:
        return [Grade(str(row.grade), row.from_.ms, row.reason, row.by) for row in form.rag_history]
    if form.rag is None or (before is not None and before.rag == form.rag):
        return []
    return [Grade(str(form.rag), now_ms, None, who)]
