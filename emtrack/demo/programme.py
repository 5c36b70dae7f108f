"""The programme of a demonstration: who is in it and since when, what they did before and since, and who was in it once.

Everybody has a life (`emtrack/demo/life.py`), and the record is written from it (`emtrack/demo/case_rows.py`). Those who are in the
programme were picked because they did much in the year before; so they do less in the year after whatever is done with them, and the
page of figures has to tell that from what the programme did.

All of it goes in as any system would bring it: as rows of an import. What happened before the tags goes in before the first orders,
by the agency that knew it; what happened since, when it happened. Then the signals of the past are made, and officers answer most
of the proposals, as they would have.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, time, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from emtrack.clock import Clock
from emtrack.demo.case_rows import By, Written, written
from emtrack.demo.life import Life, lives_of
from emtrack.demo.turns import POLICE, PROBATION, TURNS, Turn
from emtrack.emulator.chance import dice
from emtrack.emulator.schedule import DAY_MS, HOUR_MS, MINUTE_MS, datetime_of
from emtrack.emulator.world import World
from emtrack.forms.iom import RagGrade
from emtrack.iom.convening import (
    Chosen,
    Listed,
    decide_line,
    end_meeting,
    freeze_agenda,
    note_attendance,
    plan_meeting,
    put_on_agenda,
)
from emtrack.iom.entries import Author, load
from emtrack.iom.grading import Answer, decide_against, give_grade
from emtrack.iom.importing import Source, import_rows
from emtrack.iom.meetings import LINE, Decision, Line, Meeting, MeetingKind
from emtrack.iom.tasking import NewTask
from emtrack.metrics import Metrics
from emtrack.service.signals import SignalMaker
from geofence import instant_of

if TYPE_CHECKING:
    from emtrack.db.session import Session

SYSTEM: Final = "demo case system"
FORMER, NEVER = 0.2, 0.5
"""People who were in the programme, and who were looked at and never were, as shares of those who are in it."""
GIVEN: Final = (
    "Aldous",
    "Bryn",
    "Cerys",
    "Dorran",
    "Elin",
    "Fen",
    "Garrow",
    "Hesper",
    "Ivo",
    "Jory",
    "Kit",
    "Lowri",
    "Marek",
)
FAMILY: Final = (
    "Aldgate",
    "Brookmarl",
    "Cobridge",
    "Dalesend",
    "Etruria",
    "Fordwell",
    "Goldenhill",
    "Harthill",
    "Ironside",
)
ANSWERED: Final = 0.94
AGAINST: Final = 0.12
CHAIR: Final = "Mair Coldbrook"
MOST_LISTED: Final = 12
LISTED_FOR_DAYS: Final = 30


def all_lives(worlds: Sequence[World], end_ms: int) -> list[Life]:
    """Of the people of the worlds, of some who were in the programme, and of some who never were."""
    lives = lives_of(worlds, end_ms)
    seed, count = worlds[0].seed, len(lives)
    for kind, share in (("F", FORMER), ("N", NEVER)):
        for number in range(1, round(share * count) + 1):
            reference = f"{kind}{number:04d}"
            rng = dice(seed, f"name of {reference}")
            lives.append(Life(seed, reference, f"{rng.choice(GIVEN)} {rng.choice(FAMILY)}", end_ms))
    return lives


async def enter_programme(
    connection: Session, lives: Iterable[Life], more: Sequence[dict[str, Any]], zone: ZoneInfo, now_ms: int, who: str
) -> None:
    """Before the first orders: so the record knows since when somebody is in the programme. `more`: rows of others."""
    rows = [one for life in lives for one in written(life, life.begin_ms) if one.at_ms is None]
    rows += [Written(row) for row in more]
    rows.sort(key=_by)
    for by, some in groupby(rows, key=_by):
        await _import(connection, by, list(some), zone, now_ms, who)


async def enter_what_happened_since(connection: Session, lives: Iterable[Life], zone: ZoneInfo, who: str) -> None:
    """In order, when it happened, by who knew of it."""
    rows = [one for life in lives for one in written(life, life.begin_ms) if one.at_ms is not None]
    for one in sorted(rows, key=lambda one: one.at_ms or 0):
        await _import(connection, one.by, [one], zone, one.at_ms or 0, who)


def _by(one: Written) -> By:
    return one.by


async def _import(
    connection: Session, by: By, rows: Sequence[Written], zone: ZoneInfo, now_ms: int, who: str
) -> None:
    author = Author(by.name or who, by.agency or None)
    await import_rows(
        connection, author, [one.row | {"system": SYSTEM} for one in rows], Source(SYSTEM, SYSTEM, zone), now_ms
    )


# ---------------------------------------------------------------------------------------------- a case conference


class Turned(NamedTuple):
    """Somebody whose life turned for the worse."""

    life: Life
    turn: Turn


NUMBERS = "SELECT wearer_id, wearer_no FROM wearers WHERE wearer_id = ANY($1::text[])"


def conference_ms(begin_ms: int, end_ms: int, zone: ZoneInfo) -> int:
    """At ten of the day before the end, or of the last day, where the tags go back no further."""
    today = datetime_of(end_ms).astimezone(zone).date()
    ten = [instant_of(datetime.combine(today - timedelta(days=ago), time(10), zone)) for ago in (1, 0)]
    return next((at_ms for at_ms in ten if at_ms > begin_ms), ten[-1])


async def hold_conference(connection: Session, lives: Sequence[Life], at_ms: int) -> None:
    """On those for whom things turned worst lately: why they are listed, and what is decided, follow from that."""
    turned = _turned_lately(lives, at_ms)
    if not turned:
        return
    numbers = {
        row["wearer_id"]: row["wearer_no"]
        for row in await connection.fetch(NUMBERS, [one.life.reference for one in turned])
    }
    author, eve_ms = Author(CHAIR, POLICE), at_ms - 20 * HOUR_MS
    by_person = {numbers[one.life.reference]: one for one in turned}
    async with connection.transaction():
        meeting = await plan_meeting(
            connection, author, Meeting(kind=MeetingKind.CASE_CONFERENCE, chair=CHAIR), at_ms, eve_ms
        )
        listed = [Listed(number, one.turn.words, one.turn.at_ms) for number, one in by_person.items()]
        await put_on_agenda(connection, author, meeting.item_no, listed, eve_ms)
        await freeze_agenda(connection, author, meeting.item_no, at_ms)
    for number, one in by_person.items():
        lines = [e for e in await load(connection, [number], [LINE]) if _is_of(e.content, meeting.item_no)]
        async with connection.transaction():
            await decide_line(connection, author, lines[0].item_no, _decided(one, at_ms), at_ms + 30 * MINUTE_MS)
    async with connection.transaction():
        attended = {POLICE: [CHAIR], PROBATION: ["Hester Dunmere"]}
        await note_attendance(connection, author, meeting.item_no, attended, [], at_ms + 40 * MINUTE_MS)
        await end_meeting(connection, author, meeting.item_no, "HELD", at_ms + 45 * MINUTE_MS)


def _is_of(content: object, meeting: int) -> bool:
    return isinstance(content, Line) and content.meeting == meeting


def _turned_lately(lives: Iterable[Life], at_ms: int) -> list[Turned]:
    since_ms = at_ms - LISTED_FOR_DAYS * DAY_MS
    found = [
        Turned(life, life.turns[-1])
        for life in lives
        if life.turns and not life.turns[-1].is_better and since_ms <= life.turns[-1].at_ms < at_ms - DAY_MS
    ]
    return sorted(found, key=lambda one: (-one.turn.at_ms, one.life.reference))[:MOST_LISTED]


def _decided(one: Turned, at_ms: int) -> Chosen:
    told, on = TURNS[one.turn.kind], datetime_of(at_ms).date()
    if told.task is None:
        return Chosen(Decision.NONE, on, "Seen; nothing changes.")
    task = NewTask(told.task, at_ms + 4 * DAY_MS, None)
    return Chosen(Decision.TASK, on, f"Because: {one.turn.words}.", task=task)


# ---------------------------------------------------------------------------------------------- proposals


OPEN_PROPOSALS = """
SELECT p.item_no, p.wearer_no, p.content ->> 'grade' AS grade, i.lead_officer FROM iom_now p
LEFT JOIN iom_versions i ON i.wearer_no = p.wearer_no AND upper_inf(i.recorded)
WHERE p.noun = 'proposal' AND p.state = 'OPEN' ORDER BY p.item_no
"""


async def answer_proposals(connection: Session, seed: int, end_ms: int, who: str) -> int:
    """Make the signals of the past, and answer most of the proposals that follow; how many were."""
    clock = Clock(end_ms, 0, 0.0, emulated=True)
    maker = SignalMaker("", clock, Metrics())
    await maker.load(connection)
    while await maker.pass_once(connection):
        pass
    answered = 0
    for row in await connection.fetch(OPEN_PROPOSALS):
        rng = dice(seed, "answer", row["item_no"])
        if rng.random() >= ANSWERED:
            continue
        author = Author(row["lead_officer"] or who)
        async with connection.transaction():
            if rng.random() < AGAINST:
                await decide_against(
                    connection, author, row["item_no"], "seen today: no change in what is done", end_ms
                )
            else:
                answer = Answer(RagGrade(row["grade"]), proposal=row["item_no"])
                await give_grade(connection, author, row["wearer_no"], answer, end_ms)
        answered += 1
    return answered
