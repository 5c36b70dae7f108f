"""Stories of the programme, to the hour, so that whoever sits down at the demonstration finds what officers live through.

    Friday       released at 09:30; the tag was fitted late, and at 17:00 there was no bed
    ten past nine  amber became red on three signals, while the tag shows that the burglary of the night was not theirs
    the note     of safeguarding, which the police cannot open
    the letter   eighteen months without an offence, a panel, and the letter to whom it let go
    five twenty  from a finding to the recall in 5 h 20 min
    restricted   a record that only some may open

Everything goes through the doors that people use, at the time at which they would have entered it. What a story says of a tag is
what was asked of the tag: the burglary is put where the person was not, and the answer is the service's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import msgspec

from emtrack.demo.case_rows import rows_of_life
from emtrack.demo.life import Life
from emtrack.emulator.chance import dice
from emtrack.emulator.schedule import DAY_MS
from emtrack.forms.iom import RagGrade
from emtrack.iom.breaching import BreachStep, begin_breach, step_breach
from emtrack.iom.contacts import CONTACT, Contact, Outcome
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
from emtrack.iom.entries import Author, Draft, Span, enter, following, load
from emtrack.iom.grading import Answer, give_grade
from emtrack.iom.meetings import LINE, Decision, Meeting, MeetingKind
from emtrack.iom.memberships import EndReason
from emtrack.iom.notes import NOTE, Note, Visibility
from emtrack.iom.signals import SIGNAL, Direction, Signal, SignalKind
from emtrack.iom.statuses import STATUS, Status, StatusKind
from emtrack.iom.tasking import NewTask, enter_task
from emtrack.iom.transitions import TRANSITION, Transition, TransitionKind
from emtrack.people.limits import LimitKind, limit
from emtrack.people.looks import Door, Looker
from emtrack.reading.near import keep, look_at_window, near_place, person_near_place
from emtrack.record.near import Asked, Question
from emtrack.record.zone_sets import ZoneSetCache
from geofence import Interval, datetime_of, instant_of
from geofence.nearness import Grade, Spot

if TYPE_CHECKING:
    from emtrack.db.session import Session

RELEASED, LETTER, LIMITED = "S0001", "S0002", "S0003"
MET: Final = "Met at the gate. Came to probation at 14:00 as agreed."
FITTED: Final = "The fitter came at 15:20, an hour and a half late. Tag fitted at the office."
NO_BED: Final = "The room at the supported house was given away at noon. No bed by 17:00; emergency list asked."
AFRAID: Final = "Told us that she is afraid for the children when he drinks. Children's services know."
PEOPLE: Final = (RELEASED, LETTER, LIMITED)
"""People without a tag, who are in the programme for a story."""
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
QUIET_MONTHS: Final = 19
PRISON_DAYS: Final = 300
"""Nothing is done by somebody in prison; the sentence began in that time."""
RECALL_MS: Final = 5 * HOUR_MS + 20 * MINUTE_MS
POLICE, PROBATION, HOUSING = "Police", "Probation Service", "Council housing team"
BURGLARY_M: Final = 150.0
BURGLARY_AT: Final = time(3, 0)
NORTH_DEG: Final = 0.09
"""So far from their home (10 km) the burglary is put that was not theirs: a position each five minutes leaves no time for it."""

RECALLED_FOR: Final = ["EXCLUSION", "TAMPER", "CURFEW", "INCLUSION", "ATTENDANCE"]
"""Kinds of finding, the gravest first."""

FINDING: Final = """
SELECT f.finding_no, a.wearer_no, epoch_ms(v.begin_at) AS begin_ms FROM findings f
CROSS JOIN LATERAL newest_version(f.finding_no) v
JOIN activation_versions a ON a.activation_no = f.activation_no AND upper_inf(a.recorded)
JOIN iom_now m ON m.wearer_no = a.wearer_no AND m.noun = 'membership' AND m.state = 'OPEN'
WHERE f.kind = ANY($3::text[]) AND v.change <> 'withdrawn' AND v.begin_at BETWEEN $1 AND $2
ORDER BY array_position($3::text[], f.kind), v.begin_at DESC LIMIT 1
"""
# Those of whom there is a good position in the small hours, and who is not red; amber before green.
AT_HOME: Final = """
SELECT m.wearer_no, p.lat_deg, p.lon_deg, i.lead_officer, i.lead_agency, g.grade FROM iom_now m
JOIN iom_versions i ON i.wearer_no = m.wearer_no AND upper_inf(i.recorded)
JOIN activation_versions a ON a.wearer_no = m.wearer_no AND upper_inf(a.recorded)
CROSS JOIN LATERAL (SELECT grade FROM rag_grades g WHERE g.wearer_no = m.wearer_no ORDER BY since DESC LIMIT 1) g
CROSS JOIN LATERAL (SELECT lat_deg, lon_deg FROM positions x WHERE x.device_no = a.device_no AND a.during @> x.fix_time
                    AND x.fix_time BETWEEN $1 AND $2 AND x.precision_m BETWEEN 1 AND 150 LIMIT 1) p
WHERE m.noun = 'membership' AND m.state = 'OPEN' AND g.grade <> 'RED' AND i.lead_officer IS NOT NULL AND 'Police' = ANY(i.agencies)
ORDER BY g.grade <> 'AMBER', m.wearer_no LIMIT 25
"""
NUMBERS: Final = "SELECT wearer_id, wearer_no FROM wearers WHERE wearer_id = ANY($1::text[])"


def story_rows(seed: int, end_ms: int) -> list[dict[str, Any]]:
    """Rows of an import, of the people of the stories."""
    return [row for reference in PEOPLE for row in _rows(seed, reference, end_ms)]


def _rows(seed: int, reference: str, end_ms: int) -> Iterator[dict[str, Any]]:
    rng = dice(seed, f"name of {reference}")
    name = {RELEASED: "Ivo Harthill", LETTER: "Cerys Fordwell", LIMITED: "Garrow Etruria"}[reference]
    since_ms = end_ms - round((QUIET_MONTHS + 9 + rng.random()) * 30.4) * DAY_MS
    quiet_from = f"{datetime_of(end_ms - QUIET_MONTHS * 30 * DAY_MS):%Y-%m-%d}"
    prison_from = f"{datetime_of(end_ms - PRISON_DAYS * DAY_MS):%Y-%m-%d}"
    for row in rows_of_life(Life(seed, reference, name, end_ms, picked_ms=since_ms)):
        quiet = {LETTER: quiet_from, RELEASED: prison_from}.get(reference)
        is_late = quiet is not None and row["noun"] == "offence" and row["occurred"] >= quiet
        is_of_custody = reference == RELEASED and row["noun"] in ("status", "circumstance")
        if row["noun"] == "person":
            row |= {"agencies": [POLICE, PROBATION, HOUSING]}
        if not is_late and not is_of_custody:
            yield row


async def tell_stories(connection: Session, zone: ZoneInfo, end_ms: int) -> None:
    """After the history is there; each at its own times."""
    numbers = {row["wearer_id"]: row["wearer_no"] for row in await connection.fetch(NUMBERS, list(PEOPLE))}
    today = datetime_of(end_ms).astimezone(zone).date()

    def at(hour: int, minute: int, days_ago: int = 0) -> int:
        return instant_of(datetime.combine(today - timedelta(days=days_ago), time(hour, minute), zone))

    friday = (today.weekday() - 4) % 7
    await _friday(connection, numbers[RELEASED], lambda hour, minute: at(hour, minute, friday), at(9, 0, friday + 80))
    await _letter(connection, numbers[LETTER], at(14, 0, 3))
    await _limited(connection, numbers[LIMITED], at(10, 0, 6))
    await _ten_past_nine(connection, end_ms, at)
    await _recall(connection, end_ms)


async def _enter(connection: Session, who: str, agency: str, at_ms: int, *drafts: Draft) -> None:
    async with connection.transaction():
        await enter(connection, Author(who, agency), drafts, at_ms)


def _note(number: int, at_ms: int, text: str, kind: str, seen_by: Sequence[str] = ()) -> Draft:
    visibility = Visibility.NAMED if seen_by else Visibility.ALL
    note = Note(text=text, kind=kind, lawful_basis="Crime and Disorder Act 1998, section 115")
    return Draft(NOTE, number, note, occurred_ms=at_ms, visibility=visibility, named=tuple(seen_by))


async def _friday(connection: Session, number: int, at: Callable[[int, int], int], planned_ms: int) -> None:
    """Released; the tag comes late; at five there is no bed."""
    gate_ms, tag_ms, none_ms = at(9, 30), at(15, 20), at(17, 0)
    planned = Transition(
        kind=TransitionKind.RELEASE,
        prison="HMP Rookton",
        conditions=["Curfew 19:00 to 07:00"],
        appointment="Probation, 14:00",
    )
    held = Status(status=StatusKind.SENTENCED, place="HMP Rookton")
    prison = Draft(STATUS, number, held, "STATED", Span(planned_ms - 200 * DAY_MS, gate_ms))
    async with connection.transaction():
        author = Author("Hester Dunmere", PROBATION)
        diary = Draft(TRANSITION, number, planned, "PLANNED", occurred_ms=gate_ms)
        release, _ = await enter(connection, author, [diary, prison], planned_ms)
        done = msgspec.structs.replace(planned, tag_fitting_ms=tag_ms)
        await enter(connection, author, [following(release, content=done, state="DONE")], tag_ms)
    free = Draft(STATUS, number, Status(status=StatusKind.COMMUNITY), "STATED", Span(gate_ms))
    await _enter(
        connection,
        "Hester Dunmere",
        PROBATION,
        gate_ms,
        free,
        _note(number, gate_ms, MET, "visit"),
    )
    await _enter(
        connection,
        "Nia Pike",
        PROBATION,
        tag_ms,
        _note(number, tag_ms, FITTED, "tag"),
    )
    await _enter(connection, "Dilys Weir", HOUSING, none_ms, _note(number, none_ms, NO_BED, "housing"))
    async with connection.transaction():
        task = NewTask("Find a bed for tonight", none_ms + 4 * HOUR_MS, None)
        await enter_task(connection, Author("Hester Dunmere", PROBATION), number, task, none_ms + 5 * MINUTE_MS)


async def _letter(connection: Session, number: int, at_ms: int) -> None:
    """A panel lets somebody go who did nothing for eighteen months."""
    author = Author("Mair Coldbrook", POLICE)
    async with connection.transaction():
        meeting = await plan_meeting(
            connection,
            author,
            Meeting(kind=MeetingKind.SELECTION_PANEL, chair="Mair Coldbrook"),
            at_ms,
            at_ms - 7 * DAY_MS,
        )
        listed = Listed(number, "eighteen months without an offence", at_ms - QUIET_MONTHS * 30 * DAY_MS)
        await put_on_agenda(connection, author, meeting.item_no, [listed], at_ms - 7 * DAY_MS)
        await freeze_agenda(connection, author, meeting.item_no, at_ms)
        (line,) = [entry for entry in await load(connection, [number], [LINE]) if entry.state == "LISTED"]
        chosen = Chosen(
            Decision.REMOVAL, datetime_of(at_ms).date(), "All agencies agree.", end_reason=EndReason.RISK_REDUCED
        )
        await decide_line(connection, author, line.item_no, chosen, at_ms + 20 * MINUTE_MS)
        attended = {POLICE: ["Mair Coldbrook"], PROBATION: ["Hester Dunmere"], HOUSING: ["Dilys Weir"]}
        await note_attendance(connection, author, meeting.item_no, attended, ["Jobcentre"], at_ms + 40 * MINUTE_MS)
        await end_meeting(connection, author, meeting.item_no, "HELD", at_ms + 45 * MINUTE_MS)


async def _limited(connection: Session, number: int, at_ms: int) -> None:
    async with connection.transaction():
        reason = "related to a member of staff"
        await limit(
            connection,
            number,
            LimitKind.RESTRICTED,
            ["Mair Coldbrook"],
            [],
            reason=reason,
            who="Mair Coldbrook",
            now_ms=at_ms,
        )


async def _ten_past_nine(connection: Session, end_ms: int, at: Callable[..., int]) -> None:
    """Three signals by ten past nine; and a burglary near by that is shown not to be theirs."""
    night = at(BURGLARY_AT.hour, BURGLARY_AT.minute)
    window = Interval(night - 10 * MINUTE_MS, night + 10 * MINUTE_MS)
    for row in await connection.fetch(AT_HOME, *map(datetime_of, window)):
        question = _burglary(row, window)
        answer = await person_near_place(connection, ZoneSetCache(), question, row["wearer_no"], end_ms)
        if answer.grade is Grade.ELSEWHERE:
            await _three_signals(connection, row, at)
            await _not_theirs(connection, row["wearer_no"], question, end_ms)
            return


def _burglary(row: Any, window: Interval) -> Question:
    spot = Spot(row["lon_deg"], row["lat_deg"] + NORTH_DEG, BURGLARY_M)
    return Question(Asked.PLACE, window, BURGLARY_M, spot, "Burglary, Marlpit Road")


async def _three_signals(connection: Session, row: Any, at: Callable[..., int]) -> None:
    """Two appointments missed in a row and information of the morning: red at ten past nine. And what the police may not read."""
    number, officer = row["wearer_no"], row["lead_officer"]
    agency = row["lead_agency"] or PROBATION
    missed = Contact(kind="office appointment", with_agency=PROBATION, outcome=Outcome.UNACCEPTABLE_ABSENCE)
    await _enter(
        connection,
        officer,
        agency,
        at(16, 30, 1),
        Draft(CONTACT, number, missed, "RECORDED", occurred_ms=at(14, 0, 1)),
    )
    await _enter(
        connection, officer, agency, at(8, 45), Draft(CONTACT, number, missed, "RECORDED", occurred_ms=at(8, 30))
    )
    report = Signal(
        kind=SignalKind.INTELLIGENCE,
        direction=Direction.UP,
        because="seen with stolen bicycles, accepted",
        known_ms=at(9, 2),
    )
    await _enter(
        connection,
        "Brenna Everholt",
        POLICE,
        at(9, 2),
        Draft(SIGNAL, number, report, "LIVE", occurred_ms=at(9, 2), due_ms=at(9, 2) + 14 * DAY_MS),
    )
    if row["grade"] != RagGrade.AMBER:
        async with connection.transaction():
            amber = Answer(RagGrade.AMBER, "An appointment was missed")
            await give_grade(connection, Author(officer, agency), number, amber, at(16, 40, 1))
    async with connection.transaction():
        answer = Answer(RagGrade.RED, "Two appointments missed in a row, and fresh information of this morning")
        await give_grade(connection, Author(officer, agency), number, answer, at(9, 10))
    await _enter(
        connection,
        "Dilys Weir",
        HOUSING,
        at(11, 15),
        _note(number, at(11, 15), AFRAID, "safeguarding", (HOUSING, PROBATION)),
    )


async def _not_theirs(connection: Session, number: int, question: Question, end_ms: int) -> None:
    """The question who was near is asked as an officer asks it; what the note says is its answer."""
    looker = Looker("Brenna Everholt", "officer", Door.PAGE, "INVESTIGATION", "crime 4471")
    await look_at_window(connection, looker, question, end_ms)
    run_no = await keep(
        connection, looker, question, await near_place(connection, ZoneSetCache(), question, end_ms), end_ms
    )
    text = f"Burglary in Marlpit Road at about 03:00: the tag was elsewhere for certain (question {run_no}). Not his."
    await _enter(connection, "Brenna Everholt", POLICE, end_ms, _note(number, end_ms, text, "crime"))


async def _recall(connection: Session, end_ms: int) -> None:
    """From a finding to the recall, each step when it was taken; the arrest is a task of the police."""
    span = datetime_of(end_ms - 11 * HOUR_MS), datetime_of(end_ms - RECALL_MS - 5 * MINUTE_MS)
    row = await connection.fetchrow(FINDING, *span, RECALLED_FOR)
    if row is None:
        return
    begin_ms, number = row["begin_ms"], row["wearer_no"]
    author, recalled_ms = Author("Hester Dunmere", PROBATION), begin_ms + RECALL_MS
    async with connection.transaction():
        breach = await begin_breach(
            connection,
            author,
            number,
            row["finding_no"],
            "Broke a condition of the licence",
            begin_ms + DAY_MS,
            begin_ms + 35 * MINUTE_MS,
        )
        asked = BreachStep("RECALL_REQUESTED", None, recalled_ms + HOUR_MS)
        await step_breach(connection, author, breach.item_no, asked, begin_ms + 130 * MINUTE_MS)
        await step_breach(
            connection, author, breach.item_no, BreachStep("RECALLED", None, recalled_ms + DAY_MS), recalled_ms
        )
        task = NewTask("Arrest on recall; the tag is on", recalled_ms + DAY_MS, None)
        await enter_task(connection, author, number, task, recalled_ms + 5 * MINUTE_MS)
