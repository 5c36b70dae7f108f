"""What follows from entries and is kept beside them: by `iom_versions` rows are shared with agencies and the queue of alerts is
sorted, by `rag_grades` too. Brought up to date in the transaction of the entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from emtrack.iom.grades import Grade
from emtrack.iom.identifiers import Scheme
from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.iom.entries import Entry

FOLLOWED: Final = frozenset({"person", "membership", "assessment", "grade"})
COLUMNS: Final = (
    "pnc", "crn", "nomis", "ecins", "cohort", "mappa_category", "mappa_level", "pathways", "agencies", "lead_officer", "lead_agency",
)  # fmt: skip
SCHEMES: Final = {"pnc": Scheme.PNC, "crn": Scheme.CRN, "nomis": Scheme.NOMS, "ecins": Scheme.ECINS}
NOTHING: Final[dict[str, Any]] = dict.fromkeys(COLUMNS) | {"pathways": [], "agencies": []}

# What a summary follows from. Of assessments the newest that says something counts for each of its parts.
CURRENT = """
SELECT wearer_no, noun, state, content FROM iom_now
WHERE wearer_no = ANY($1::bigint[]) AND noun IN ('person', 'membership', 'assessment')
ORDER BY noun = 'membership', occurred_at NULLS FIRST, item_no
"""
STANDING = """
SELECT wearer_no, pnc, crn, nomis, ecins, cohort, mappa_category, mappa_level, pathways, agencies, lead_officer, lead_agency
FROM iom_versions WHERE wearer_no = ANY($1::bigint[]) AND upper_inf(recorded)
"""
CLOSE = """
UPDATE iom_versions SET recorded = tstzrange(lower(recorded), $2) WHERE wearer_no = ANY($1::bigint[]) AND upper_inf(recorded)
"""
NEW = """
INSERT INTO iom_versions (wearer_no, pnc, crn, nomis, ecins, cohort, mappa_category, mappa_level, pathways, agencies,
                          lead_officer, lead_agency, recorded, entered_by)
SELECT wearer_no, pnc, crn, nomis, ecins, cohort, mappa_category, mappa_level, pathways, agencies, lead_officer, lead_agency,
       tstzrange($2, NULL), $3
FROM jsonb_to_recordset($1::jsonb) AS t (wearer_no bigint, pnc text, crn text, nomis text, ecins text, cohort text, mappa_category
bigint,
     mappa_level bigint, pathways text[], agencies text[], lead_officer text, lead_agency text)
"""
NEW_GRADES = """
INSERT INTO rag_grades (wearer_no, grade, since, reason, graded_by, recorded_at, entered_by)
SELECT wearer_no, grade, since, reason, graded_by, $2, $3
FROM jsonb_to_recordset($1::jsonb) AS t (wearer_no bigint, grade text, since timestamptz, reason text, graded_by text)
ON CONFLICT (wearer_no, since) DO NOTHING
"""


async def follow(connection: Connection, entries: Sequence[Entry], who: str, now_ms: int) -> None:
    """Inside the transaction that entered them."""
    grades = [_grade_row(entry) for entry in entries if isinstance(entry.content, Grade) and entry.version == 1]
    if grades:
        await connection.execute(NEW_GRADES, grades, datetime_of(now_ms), who)
    people = sorted(
        {entry.wearer_no for entry in entries if entry.wearer_no is not None and not isinstance(entry.content, Grade)}
    )
    if not people:
        return
    wanted = {wearer_no: dict(NOTHING) for wearer_no in people}
    for row in await connection.fetch(CURRENT, people):
        wanted[row["wearer_no"]] |= _parts(row["noun"], row["state"], row["content"])
    await write_summaries(connection, wanted, who, now_ms)


async def write_summaries(connection: Connection, wanted: dict[int, dict[str, Any]], who: str, now_ms: int) -> None:
    """Those that are not what stands already, as new versions. By number of a person."""
    standing = {row["wearer_no"]: row for row in await connection.fetch(STANDING, list(wanted))}
    changed = {number: row for number, row in wanted.items() if not _is_same(standing.get(number), row)}
    if changed:
        await connection.execute(CLOSE, list(changed), datetime_of(now_ms))
        rows = [{"wearer_no": number, **row} for number, row in changed.items()]
        await connection.execute(NEW, rows, datetime_of(now_ms), who)


def _is_same(standing: Any, wanted: dict[str, Any]) -> bool:
    return standing is not None and all(standing[name] == wanted[name] for name in COLUMNS)


def _parts(noun: str, state: str | None, content: dict[str, Any]) -> dict[str, Any]:
    """What an entry says for the summary."""
    if noun == "person":
        return of_person(content)
    if noun == "membership":
        if state != "OPEN":
            return {}
        leads = {name: content[name] for name in ("lead_officer", "lead_agency") if content.get(name)}
        return {"cohort": content["cohort"], **leads}
    said = {name: content[name] for name in ("mappa_category", "mappa_level") if content.get(name) is not None}
    return said | ({"pathways": content["needs"]} if content.get("needs") else {})


def of_person(content: dict[str, Any]) -> dict[str, Any]:
    """Identifiers, sharing and leads."""
    given: dict[str, str] = {}
    for one in content.get("identifiers", []):
        given.setdefault(one["scheme"], one["given"])
    ids = {column: given.get(scheme) for column, scheme in SCHEMES.items()}
    return ids | {
        "agencies": content.get("agencies", []),
        "lead_officer": content.get("lead_officer"),
        "lead_agency": content.get("lead_agency"),
    }


def _grade_row(entry: Entry) -> dict[str, Any]:
    content = entry.content
    assert isinstance(content, Grade), "the caller chose them"
    since = "-infinity" if entry.occurred_ms is None else datetime_of(entry.occurred_ms).isoformat()
    return {
        "wearer_no": entry.wearer_no, "grade": str(content.grade), "since": since, "reason": content.reason,
        "graded_by": content.graded_by,
    }  # fmt: skip
