"""IOM records: who a wearer is to the programme, and the grades that were given. They order the queue; no finding asks them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from emtrack.forms.iom import IomForm
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    from datetime import datetime

    from emtrack.db.connect import Connection

COLUMNS = (
    "pnc", "crn", "nomis", "ecins", "cohort", "mappa_category", "mappa_level", "pathways", "agencies",
    "lead_officer", "lead_agency",
)  # fmt: skip


class FutureGrade(ValueError):
    """A grade that would hold from an instant that has not come."""


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
CLOSE = (
    "UPDATE iom_versions SET recorded = tstzrange(lower(recorded), $2) WHERE wearer_no = $1 AND upper_inf(recorded)"
)
NEW = """
INSERT INTO iom_versions (wearer_no, pnc, crn, nomis, ecins, cohort, mappa_category, mappa_level, pathways, agencies,
                          lead_officer, lead_agency, recorded, entered_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, tstzrange($13, NULL), $14)
"""
NEW_GRADES = """
INSERT INTO rag_grades (wearer_no, grade, since, reason, graded_by, recorded_at, entered_by)
SELECT $1, grade, since, reason, graded_by, $6, $7
FROM unnest($2::text[], $3::timestamptz[], $4::text[], $5::text[]) AS t (grade, since, reason, graded_by)
ON CONFLICT (wearer_no, since) DO NOTHING
"""


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


async def enter_iom(connection: Connection, wearer_no: int, form: IomForm, who: str, now: datetime) -> bool:
    """Enter a record as a new version, and the grades that are new. Whether anything changed. Raises FutureGrade."""
    before = (await load_iom(connection, [wearer_no])).get(wearer_no)
    wanted = [getattr(form, name) for name in COLUMNS]
    changed = before is None or [getattr(before, name) for name in COLUMNS] != wanted
    if changed:
        await connection.execute(CLOSE, wearer_no, now)
        await connection.execute(NEW, wearer_no, *wanted, now, who)
    known = {} if before is None else {grade.since_ms: grade.grade for grade in before.grades}
    fresh = [grade for grade in _grades(form, before, who, instant_of(now)) if known.get(grade.since_ms) is None]
    for grade in fresh:
        if grade.since_ms is not None and grade.since_ms > instant_of(now):
            raise FutureGrade(f"the grade {grade.grade} would hold from an instant that has not come")
    if fresh:
        await connection.execute(
            NEW_GRADES,
            wearer_no,
            [grade.grade for grade in fresh],
            [None if grade.since_ms is None else datetime_of(grade.since_ms) for grade in fresh],
            [grade.reason for grade in fresh],
            [grade.graded_by for grade in fresh],
            now,
            who,
        )
    return changed or bool(fresh)


def _grades(form: IomForm, before: IomRecord | None, who: str, now_ms: int) -> list[Grade]:
    """The grades that the form speaks of: its history, or else the one that it says holds now."""
    if form.rag_history:
        return [Grade(str(row.grade), row.from_.ms, row.reason, row.by) for row in form.rag_history]
    if form.rag is None or (before is not None and before.rag == form.rag):
        return []
    return [Grade(str(form.rag), now_ms, None, who)]
