"""Meetings as people read them: who is listed on a huddle and why, an agenda with its decisions, and nominations that wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from emtrack.forms.iom import RagGrade
from emtrack.iom.convening import Listed, meeting_of
from emtrack.iom.entries import COLUMNS as ENTRY
from emtrack.iom.entries import Entry, entry_of
from emtrack.iom.grades import DAY_MS
from emtrack.iom.meetings import Line, Meeting
from emtrack.iom.nominations import Nomination
from emtrack.reading.iom import SEVERITIES, CohortRow, cohort
from emtrack.reading.iom_seldom import SeldomCache
from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

MOST: Final = 100
GRAVE: Final = 2
"""Critical and serious alerts put somebody on the huddle."""

# What everybody may read with whom the person is shared: what is for some only stands on no agenda.
NEW_SIGNALS = """
SELECT wearer_no, content ->> 'because' AS because, epoch_ms(occurred_at) AS since_ms FROM iom_now
WHERE noun = 'signal' AND state = 'LIVE' AND visibility = 'ALL' AND content ->> 'direction' = 'UP' AND occurred_at > $1
      AND (due_at IS NULL OR due_at > $2)
ORDER BY occurred_at
"""
PROPOSED = """
SELECT wearer_no, content ->> 'grade' AS grade, epoch_ms(recorded_at) AS since_ms FROM iom_now
WHERE noun = 'proposal' AND state = 'OPEN' AND visibility = 'ALL'
"""
MEETINGS = f"""
SELECT {ENTRY} FROM iom_now WHERE noun = 'meeting' ORDER BY occurred_at DESC, item_no DESC LIMIT $1
"""  # noqa: S608  a constant made of constants
LINES = f"""
SELECT {ENTRY} FROM iom_now WHERE noun = 'line' AND (content ->> 'meeting')::bigint = $1 ORDER BY item_no
"""  # noqa: S608
WAITING = f"""
SELECT {ENTRY} FROM iom_now WHERE noun = 'nomination' AND state = ANY($1::text[]) ORDER BY item_no
"""  # noqa: S608
PEOPLE = "SELECT wearer_no, wearer_id, name FROM people WHERE wearer_no = ANY($1::bigint[])"


async def huddle_of(connection: Connection, seldom: SeldomCache, now_ms: int) -> list[Listed]:
    """Who is talked of today, in the order of the cohort, each with why and since when: a grave alert is open, they are red, a
    signal is new since yesterday, a proposal waits, or their review is overdue."""
    signals = _by_person(await connection.fetch(NEW_SIGNALS, datetime_of(now_ms - DAY_MS), datetime_of(now_ms)))
    proposed = _by_person(await connection.fetch(PROPOSED))
    found = []
    for row in await cohort(connection, seldom, now_ms):
        why = _why(row, signals.get(row.wearer_no, []), proposed.get(row.wearer_no, []), now_ms)
        if why:
            since = [at_ms for _, at_ms in why if at_ms is not None]
            found.append(Listed(row.wearer_no, "; ".join(words for words, _ in why), min(since, default=None)))
    return found


def _by_person(rows: Sequence[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row["wearer_no"], []).append(row)
    return found


def _why(
    row: CohortRow, signals: Sequence[Any], proposed: Sequence[Any], now_ms: int
) -> list[tuple[str, int | None]]:
    why: list[tuple[str, int | None]] = []
    if row.severity is not None and row.severity <= GRAVE:
        why.append((f"{SEVERITIES[row.severity]} alert open", None))
    if row.grade == RagGrade.RED:
        why.append(("red", row.grade_since_ms))
    why += [(one["because"], one["since_ms"]) for one in signals]
    why += [(f"{one['grade'].lower()} is proposed", one["since_ms"]) for one in proposed]
    if row.review_ms is not None and row.review_ms <= now_ms:
        why.append(("review overdue", row.review_ms))
    return why


async def meetings(connection: Connection) -> list[Entry]:
    """The last first."""
    return [entry_of(row) for row in await connection.fetch(MEETINGS, MOST)]


class AgendaLine(msgspec.Struct, frozen=True):
    """Somebody on an agenda whom the session may see."""

    item_no: int
    wearer_no: int
    reference: str
    name: str | None
    state: str
    line: Line
    decided_by: str
    decided_for: str | None


class Agenda(msgspec.Struct, frozen=True):
    """A meeting and its lines."""

    meeting: Entry
    content: Meeting
    lines: list[AgendaLine]


async def agenda_of(connection: Connection, item_no: int) -> Agenda:
    """Only of people whom the session may see. Raises UnfitDecision."""
    meeting = await meeting_of(connection, item_no)
    assert isinstance(meeting.content, Meeting), "only meetings are found"
    entries = [entry_of(row) for row in await connection.fetch(LINES, item_no)]
    people = await _people(connection, entries)
    lines = [
        AgendaLine(
            e.item_no, person["wearer_no"], person["wearer_id"], person["name"], e.state or "", e.content, e.recorded_by, e.agency
        )
        for e in entries
        if isinstance(e.content, Line) and (person := people.get(e.wearer_no)) is not None
    ]  # fmt: skip
    return Agenda(meeting, meeting.content, lines)


async def _people(connection: Connection, entries: Sequence[Entry]) -> dict[int | None, Any]:
    rows = await connection.fetch(PEOPLE, [entry.wearer_no for entry in entries])
    return {row["wearer_no"]: row for row in rows}


class NominationRow(msgspec.Struct, frozen=True):
    """A nomination that waits."""

    item_no: int
    wearer_no: int
    reference: str
    name: str | None
    state: str
    nomination: Nomination
    nominated_ms: int | None
    entered_by: str


async def nominations_waiting(connection: Connection, states: Sequence[str]) -> list[NominationRow]:
    """The oldest first."""
    entries = [entry_of(row) for row in await connection.fetch(WAITING, list(states))]
    people = await _people(connection, entries)
    return [
        NominationRow(
            e.item_no, person["wearer_no"], person["wearer_id"], person["name"], e.state or "", e.content, e.occurred_ms,
            e.recorded_by,
        )
        for e in entries
        if isinstance(e.content, Nomination) and (person := people.get(e.wearer_no)) is not None
    ]  # fmt: skip
