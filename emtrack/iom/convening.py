"""Meetings as people hold them: planned, people listed, the agenda frozen, who came, what was decided, held.

A decision is entered with what comes of it in one transaction: a grade, a task, a step of a nomination and the membership that
follows, or the end of a membership. Only a selection panel takes people in and lets them go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from emtrack.errors import MendableError
from emtrack.forms.iom import Cohort, RagGrade
from emtrack.iom.disclosing import NewShare, record_share
from emtrack.iom.entries import (
    Author,
    Draft,
    Entry,
    SomebodyWasFaster,
    Span,
    enter,
    following,
    load,
    records_of_person,
    take_turn,
    versions_of_item,
)
from emtrack.iom.grading import Answer, give_grade
from emtrack.iom.meetings import FROZEN, LINE, MEETING, AgendaChanged, Decision, Line, Meeting, MeetingKind
from emtrack.iom.memberships import MEMBERSHIP, EndReason, Membership
from emtrack.iom.nominations import NOMINATION, Nomination
from emtrack.iom.planning import NewGoal, add_goal
from emtrack.iom.tasking import NewTask, enter_task
from emtrack.iom.tasks import Origin

if TYPE_CHECKING:
    from datetime import date

    from emtrack.db.connect import Connection

LISTED = """
SELECT wearer_no FROM iom_entries WHERE noun = 'line' AND version = 1 AND (content ->> 'meeting')::bigint = $1
"""
PANEL_ONLY: Final = frozenset({Decision.NOMINATION, Decision.REMOVAL})


class UnfitDecision(MendableError, ValueError):
    """A decision that cannot be taken so, or a meeting to which this cannot be done."""

    exit_code = 2


class Listed(NamedTuple):
    """Somebody for an agenda, why, and since when."""

    wearer_no: int
    because: str
    since_ms: int | None = None


class Chosen(NamedTuple):
    """A decision as it is given. `on`: the day of the meeting, of the local calendar. `answer`: of a nomination: ACCEPTED, DECLINED
    or DEFERRED."""

    decision: Decision
    on: date
    note: str = ""
    grade: RagGrade | None = None
    task: NewTask | None = None
    answer: str | None = None
    membership: Membership | None = None
    end_reason: EndReason | None = None
    goal: NewGoal | None = None
    share: NewShare | None = None


async def plan_meeting(connection: Connection, author: Author, meeting: Meeting, at_ms: int, now_ms: int) -> Entry:
    """Inside the caller's transaction, as the rest here."""
    return (await enter(connection, author, [Draft(MEETING, None, meeting, "PLANNED", occurred_ms=at_ms)], now_ms))[0]


async def put_on_agenda(
    connection: Connection, author: Author, item_no: int, people: Sequence[Listed], now_ms: int
) -> None:
    """Who is on it already stays as listed. Raises AgendaChanged or UnfitDecision."""
    await take_turn(connection)
    meeting = await meeting_of(connection, item_no)
    if meeting.state != "PLANNED":
        raise AgendaChanged(FROZEN)
    there = {row["wearer_no"] for row in await connection.fetch(LISTED, item_no)}
    drafts = [
        Draft(LINE, one.wearer_no, Line(meeting=item_no, because=one.because, since_ms=one.since_ms), "LISTED")
        for one in people
        if one.wearer_no not in there
    ]
    await enter(connection, author, drafts, now_ms)


async def freeze_agenda(connection: Connection, author: Author, item_no: int, now_ms: int) -> Entry:
    """From here on it is as known now. Raises NoTransition or UnfitDecision."""
    await take_turn(connection)
    meeting = await meeting_of(connection, item_no)
    content = msgspec.structs.replace(_content(meeting), agenda_ms=now_ms)
    return await _changed(connection, author, meeting, content, "AGENDA_FROZEN", now_ms)


async def note_attendance(
    connection: Connection,
    author: Author,
    item_no: int,
    attended: dict[str, list[str]],
    absent: list[str],
    now_ms: int,
) -> Entry:
    await take_turn(connection)
    meeting = await meeting_of(connection, item_no)
    if meeting.state == "CANCELLED":
        raise UnfitDecision("the meeting is cancelled")
    content = msgspec.structs.replace(_content(meeting), attended=attended, absent=absent)
    return await _changed(connection, author, meeting, content, meeting.state or "", now_ms)


async def end_meeting(connection: Connection, author: Author, item_no: int, state: str, now_ms: int) -> Entry:
    """HELD or CANCELLED. Raises NoTransition or UnfitDecision."""
    await take_turn(connection)
    meeting = await meeting_of(connection, item_no)
    return await _changed(connection, author, meeting, _content(meeting), state, now_ms)


async def _changed(
    connection: Connection, author: Author, meeting: Entry, content: Meeting, state: str, now_ms: int
) -> Entry:
    return (await enter(connection, author, [following(meeting, content=content, state=state)], now_ms))[0]


async def meeting_of(connection: Connection, item_no: int) -> Entry:
    """Raises UnfitDecision."""
    versions = await versions_of_item(connection, item_no)
    if not versions or not isinstance(versions[-1].content, Meeting):
        raise UnfitDecision(f"there is no meeting {item_no}")
    return versions[-1]


def _content(meeting: Entry) -> Meeting:
    assert isinstance(meeting.content, Meeting), "only meetings are found"
    return meeting.content


async def decide_line(connection: Connection, author: Author, item_no: int, chosen: Chosen, now_ms: int) -> Entry:
    """The line with its decision; what comes of it is entered first. Raises UnfitDecision, SomebodyWasFaster and what grades and
    tasks raise."""
    await take_turn(connection)
    versions = await versions_of_item(connection, item_no)
    line = versions[-1] if versions else None
    if line is None or not isinstance(line.content, Line) or line.wearer_no is None:
        raise UnfitDecision(f"there is no line {item_no}")
    if line.state != "LISTED":
        raise SomebodyWasFaster("this was decided already; nothing was changed")
    meeting = await meeting_of(connection, line.content.meeting)
    if meeting.state != "AGENDA_FROZEN":
        raise UnfitDecision("decisions are entered when the agenda is frozen, until the meeting is held")
    if chosen.decision in PANEL_ONLY and _content(meeting).kind is not MeetingKind.SELECTION_PANEL:
        raise UnfitDecision("only a selection panel takes people into the programme and lets them go")
    entered = await _enter_decision(connection, author, line.wearer_no, meeting, chosen, now_ms)
    content = msgspec.structs.replace(
        line.content, decision=chosen.decision, note=chosen.note, items=[entry.item_no for entry in entered]
    )
    return (await enter(connection, author, [following(line, content=content, state="DECIDED")], now_ms))[0]


async def _enter_decision(
    connection: Connection, author: Author, wearer_no: int, meeting: Entry, chosen: Chosen, now_ms: int
) -> list[Entry]:
    match chosen.decision:
        case Decision.GRADE:
            if chosen.grade is None:
                raise UnfitDecision("say which grade is given")
            answer = Answer(chosen.grade, chosen.note or None, at_review=True)
            return [await give_grade(connection, author, wearer_no, answer, now_ms)]
        case Decision.TASK:
            if chosen.task is None:
                raise UnfitDecision("say what is to be done")
            task = chosen.task._replace(origin=Origin.MEETING, origin_no=meeting.item_no)
            return [await enter_task(connection, author, wearer_no, task, now_ms)]
        case Decision.NOMINATION:
            return await _answer_nomination(connection, author, wearer_no, chosen, now_ms)
        case Decision.REMOVAL:
            return [await _remove(connection, author, wearer_no, chosen, now_ms)]
        case Decision.NONE:
            return []
        case Decision.PLAN:
            if chosen.goal is None:
                raise UnfitDecision("say which goal comes into the plan")
            return [await add_goal(connection, author, wearer_no, chosen.goal, now_ms)]
        case Decision.DISCLOSURE:
            if chosen.share is None:
                raise UnfitDecision("say to whom what is disclosed")
            return [await record_share(connection, author, wearer_no, chosen.share, now_ms)]


def panel_name(on: date) -> str:
    return f"Selection panel of {on.isoformat()}"


async def _answer_nomination(
    connection: Connection, author: Author, wearer_no: int, chosen: Chosen, now_ms: int
) -> list[Entry]:
    there = await load(connection, await records_of_person(connection, wearer_no), [NOMINATION, MEMBERSHIP])
    waiting = [e for e in there if e.noun is NOMINATION and e.state in ("SCREENED", "DEFERRED")]
    if not waiting:
        raise UnfitDecision("no nomination of this person is screened and waits for a panel")
    if chosen.answer not in ("ACCEPTED", "DECLINED", "DEFERRED") or not chosen.note:
        raise UnfitDecision("say whether the nomination is accepted, declined or deferred, and why")
    entered = [await _step(connection, author, waiting[-1], chosen.answer, panel_name(chosen.on), chosen, now_ms)]
    if chosen.answer == "ACCEPTED":
        if any(e.noun is MEMBERSHIP and e.state == "OPEN" for e in there):
            raise UnfitDecision("this person is in the programme already")
        membership = chosen.membership or Membership(cohort=Cohort.FIXED)
        draft = Draft(MEMBERSHIP, wearer_no, membership, "OPEN", Span(now_ms))
        entered += await enter(connection, author, [draft], now_ms)
    return entered


async def _step(
    connection: Connection, author: Author, entry: Entry, state: str, panel: str, chosen: Chosen, now_ms: int
) -> Entry:
    assert isinstance(entry.content, Nomination), "the caller has one"
    content = msgspec.structs.replace(entry.content, panel=panel, panel_date=chosen.on, panel_reason=chosen.note)
    return (await enter(connection, author, [following(entry, content=content, state=state)], now_ms))[0]


async def screen_nomination(
    connection: Connection, author: Author, item_no: int, state: str, on: date, why: str, now_ms: int
) -> Entry:
    """SCREENED: a panel hears it; DECLINED. Raises UnfitDecision or NoTransition."""
    await take_turn(connection)
    versions = await versions_of_item(connection, item_no)
    if not versions or versions[-1].noun is not NOMINATION:
        raise UnfitDecision(f"there is no nomination {item_no}")
    if state not in ("SCREENED", "DECLINED") or not why:
        raise UnfitDecision("say whether a panel is to hear the nomination, and why")
    chosen = Chosen(Decision.NOMINATION, on, why)
    return await _step(connection, author, versions[-1], state, f"Screening by {author.name}", chosen, now_ms)


async def _remove(connection: Connection, author: Author, wearer_no: int, chosen: Chosen, now_ms: int) -> Entry:
    """The membership ends now. What is open of it (proposals, tasks) the clock closes: `iom/escalation.py`."""
    if chosen.end_reason is None:
        raise UnfitDecision("say for which of the listed reasons the person is removed")
    there = await load(connection, await records_of_person(connection, wearer_no), [MEMBERSHIP])
    entry = next((e for e in there if e.state == "OPEN"), None)
    if entry is None or entry.valid is None or not isinstance(entry.content, Membership):
        raise UnfitDecision("this person is not in the programme")
    content = msgspec.structs.replace(
        entry.content, end_reason=chosen.end_reason, panel=panel_name(chosen.on), panel_date=chosen.on
    )
    end = Span(entry.valid.begin_ms, max(now_ms, entry.valid.begin_ms + 1))
    return (await enter(connection, author, [following(entry, content=content, state="ENDED", valid=end)], now_ms))[0]
