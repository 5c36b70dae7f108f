"""Meetings of the programme: the huddle in one step, agendas that are frozen, decisions, minutes; nominations, and the letter to whom
a panel removed."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emtrack.errors import MendableError
from emtrack.forms.iom import Cohort, Pathway, RagGrade
from emtrack.iom.convening import (
    Chosen,
    Listed,
    UnfitDecision,
    decide_line,
    end_meeting,
    freeze_agenda,
    note_attendance,
    plan_meeting,
    put_on_agenda,
    screen_nomination,
)
from emtrack.iom.disclosing import NewShare
from emtrack.iom.entries import (
    Author,
    Draft,
    SomebodyWasFaster,
    enter,
    load,
    records_of_person,
    versions_of_item,
)
from emtrack.iom.grades import DAY_MS
from emtrack.iom.meetings import Decision, Line, Meeting, MeetingKind
from emtrack.iom.memberships import MEMBERSHIP, EndReason, Membership
from emtrack.iom.nominations import NOMINATION, Nomination
from emtrack.iom.planning import NewGoal, UnfitPlan
from emtrack.iom.plans import Strand
from emtrack.iom.tasking import NewTask
from emtrack.people.looks import What, look_at_everybody, look_at_people
from emtrack.people.roles import ORDER_KEEPERS, READERS, Caller
from emtrack.reading.iom import cohort, likely_scores
from emtrack.reading.iom_seldom import SeldomCache
from emtrack.reading.meetings import Agenda, agenda_of, huddle_of, meetings, nominations_waiting
from emtrack.web.form_times import UnfitTimes, read_times
from emtrack.web.guard import Problem, looker_of, read_form
from emtrack.web.pages.iom_tasks import person_found, sentence, words_of
from emtrack.web.rendering import NO_STORE, Pages
from emtrack.web.wording import Words

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

WAITING: Final = ("NEW", "SCREENED", "DEFERRED")
HEARD: Final = ("SCREENED", "DEFERRED")
ANSWERS: Final = ("ACCEPTED", "DECLINED", "DEFERRED")
TASK_DAYS: Final = 7
"""Until when a task of a meeting is due if nobody says otherwise."""


class MeetingPages:
    """/iom/meetings/…, /iom/nominations/…, and what of them is of a person."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        route = self._pages.route
        return [
            route("/iom/meetings", self.all, READERS),
            route("/iom/meetings", self.plan, ORDER_KEEPERS, ["POST"]),
            route("/iom/meetings/{item_no:number}", self.one, READERS),
            route("/iom/meetings/{item_no:number}/minutes", self.minutes, READERS),
            route("/iom/meetings/{item_no:number}/{what}", self.change, ORDER_KEEPERS, ["POST"]),
            route("/iom/lines/{item_no:number}", self.decide, ORDER_KEEPERS, ["POST"]),
            route("/iom/nominations", self.nominations, READERS),
            route("/iom/nominations/{item_no:number}", self.screen, ORDER_KEEPERS, ["POST"]),
            route("/iom/people/{reference}/nomination", self.nominate, ORDER_KEEPERS, ["POST"]),
            route("/iom/people/{reference}/letter", self.letter, READERS),
        ]

    async def all(self, _: Request, caller: Caller) -> Response:
        return await self._all(caller, None)

    async def _all(self, caller: Caller, error: str | None) -> Response:
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            found = await meetings(connection)
        return self._pages.render(
            "iom_meetings.html", caller, words, status=422 if error else 200, meetings=found, error=error,
            may_enter=caller.role in ORDER_KEEPERS, soon=words.field(now_ms + DAY_MS),
        )  # fmt: skip

    async def plan(self, request: Request, caller: Caller) -> Response:
        """A huddle has its sheet at once; of the others the agenda is frozen when everybody is on it."""
        form, now_ms = await read_form(request), self._pages.clock.now_ms()
        if form.get("kind") not in list(MeetingKind):
            raise Problem(422, "Choose which meeting it is.")
        kind, author = MeetingKind(form["kind"]), Author(caller.name, caller.agency)
        try:
            async with self._pages.pool.acquire() as connection:
                words = await self._pages.words(connection)
                at_ms = now_ms if kind is MeetingKind.HUDDLE else read_times(words, form, ["at"])[0]
                await look_at_everybody(connection, looker_of(caller), What.IOM_RECORD, now_ms)
                people = await _listed(connection, self._pages.seldom, kind, now_ms)
                content = Meeting(kind=kind, chair=words_of(form, "chair"))
                async with connection.transaction():
                    meeting = await plan_meeting(connection, author, content, at_ms, now_ms)
                    await put_on_agenda(connection, author, meeting.item_no, people, now_ms)
                    if kind is MeetingKind.HUDDLE:
                        await freeze_agenda(connection, author, meeting.item_no, now_ms)
        except UnfitTimes:
            return await self._all(caller, "Give the date and the time of the meeting.")
        return RedirectResponse(f"/iom/meetings/{meeting.item_no}", 303, NO_STORE)

    async def one(self, request: Request, caller: Caller) -> Response:
        return await self._one(caller, request.path_params["item_no"], None, None)

    async def _one(self, caller: Caller, item_no: int, error: str | None, failed: int | None) -> Response:
        now_ms = self._pages.clock.now_ms()
        words, agenda = await self._agenda(caller, item_no)
        async with self._pages.pool.acquire() as connection:
            rows = {row.wearer_no: row for row in await cohort(connection, self._pages.seldom, now_ms)}
        return self._pages.render(
            "iom_meeting.html", caller, words, status=422 if error else 200, agenda=agenda, meeting=agenda.meeting,
            content=agenda.content, rows=rows, error=error, failed=failed, may_enter=caller.role in ORDER_KEEPERS,
            due=words.field(now_ms + TASK_DAYS * DAY_MS), grades=list(RagGrade), cohorts=list(Cohort), reasons=list(EndReason),
            answers=ANSWERS, strands=list(Strand), pathways=list(Pathway),
            undecided=sum(line.state == "LISTED" for line in agenda.lines),
        )  # fmt: skip

    async def _agenda(self, caller: Caller, item_no: int) -> tuple[Words, Agenda]:
        """Whoever is on it is looked at. Raises Problem."""
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            try:
                agenda = await agenda_of(connection, item_no)
            except UnfitDecision as error:
                raise Problem(404, "There is no such meeting.") from error
            people = [line.wearer_no for line in agenda.lines]
            await look_at_people(connection, looker_of(caller), people, What.IOM_RECORD, now_ms)
        return words, agenda

    async def minutes(self, request: Request, caller: Caller) -> Response:
        """As a page; with `file`, as a file of HTML that stands by itself."""
        words, agenda = await self._agenda(caller, request.path_params["item_no"])
        is_file = "file" in request.query_params
        day = words.local(agenda.meeting.occurred_ms or 0).date().isoformat()
        name = f"minutes-{day}-{agenda.meeting.item_no}.html"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'} if is_file else {}
        return self._pages.render(
            "iom_minutes_file.html" if is_file else "iom_minutes.html", caller, words, headers=headers, agenda=agenda,
            meeting=agenda.meeting, content=agenda.content,
        )  # fmt: skip

    async def change(self, request: Request, caller: Caller) -> Response:
        """People onto the agenda, freeze it, who came, held or cancelled."""
        form, item_no, what = await read_form(request), request.path_params["item_no"], request.path_params["what"]
        if what not in ("people", "freeze", "attendance", "held", "cancel"):
            raise Problem(404, "There is no such page.")
        try:
            async with self._pages.pool.acquire() as connection, connection.transaction():
                await self._change(connection, caller, item_no, what, form)
        except SomebodyWasFaster as error:
            raise Problem(409, sentence(error)) from error
        except MendableError as error:
            return await self._one(caller, item_no, sentence(error), None)
        return RedirectResponse(f"/iom/meetings/{item_no}", 303, NO_STORE)

    async def _change(
        self, connection: Connection, caller: Caller, item_no: int, what: str, form: dict[str, str]
    ) -> None:
        author, now_ms = Author(caller.name, caller.agency), self._pages.clock.now_ms()
        match what:
            case "people":
                found = await person_found(connection, form.get("reference", "").strip())
                why = words_of(form, "because")
                if why is None:
                    raise UnfitDecision("say why the person is on the agenda")
                await put_on_agenda(connection, author, item_no, [Listed(found.wearer_no, why, now_ms)], now_ms)
            case "freeze":
                await freeze_agenda(connection, author, item_no, now_ms)
            case "attendance":
                attended, absent = read_attendance(words_of(form, "attended") or ""), words_of(form, "absent") or ""
                missing = [name for line in absent.splitlines() if (name := line.strip())]
                await note_attendance(connection, author, item_no, attended, missing, now_ms)
            case "held":
                await end_meeting(connection, author, item_no, "HELD", now_ms)
            case _:
                await end_meeting(connection, author, item_no, "CANCELLED", now_ms)

    async def decide(self, request: Request, caller: Caller) -> Response:
        """A decision on a line, with what comes of it."""
        form, item_no = await read_form(request), request.path_params["item_no"]
        author, now_ms = Author(caller.name, caller.agency), self._pages.clock.now_ms()
        meeting_no = 0
        try:
            async with self._pages.pool.acquire() as connection, connection.transaction():
                words = await self._pages.words(connection)
                versions = await versions_of_item(connection, item_no)
                if not versions or not isinstance(versions[-1].content, Line):
                    raise Problem(
                        404, "There is no such line, or it is of somebody who is not shared with your agency."
                    )
                meeting_no = versions[-1].content.meeting
                chosen = _chosen(form, words, words.local(now_ms).date())
                await decide_line(connection, author, item_no, chosen, now_ms)
        except UnfitTimes:
            return await self._one(caller, meeting_no, "Give a date and a time by when the task is due.", item_no)
        except SomebodyWasFaster as error:
            raise Problem(409, sentence(error)) from error
        except MendableError as error:
            return await self._one(caller, meeting_no, sentence(error), item_no)
        return RedirectResponse(f"/iom/meetings/{meeting_no}#line-{item_no}", 303, NO_STORE)

    async def nominations(self, _: Request, caller: Caller) -> Response:
        """Those that wait to be screened, and those that wait for a panel."""
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            found = await nominations_waiting(connection, WAITING)
            people = [one.wearer_no for one in found]
            await look_at_people(connection, looker_of(caller), people, What.IOM_RECORD, now_ms)
        may_enter = caller.role in ORDER_KEEPERS
        return self._pages.render("iom_nominations.html", caller, words, nominations=found, may_enter=may_enter)

    async def screen(self, request: Request, caller: Caller) -> Response:
        form, item_no, now_ms = await read_form(request), request.path_params["item_no"], self._pages.clock.now_ms()
        author = Author(caller.name, caller.agency)
        try:
            async with self._pages.pool.acquire() as connection, connection.transaction():
                on = (await self._pages.words(connection)).local(now_ms).date()
                why, state = words_of(form, "why") or "", form.get("answer", "")
                await screen_nomination(connection, author, item_no, state, on, why, now_ms)
        except MendableError as error:
            raise Problem(422, sentence(error)) from error
        return RedirectResponse("/iom/nominations", 303, NO_STORE)

    async def nominate(self, request: Request, caller: Caller) -> Response:
        """With the scores that are on record now."""
        form, reference = await read_form(request), request.path_params["reference"]
        author, now_ms = Author(caller.name, caller.agency), self._pages.clock.now_ms()
        reason = words_of(form, "reason")
        if reason is None:
            raise Problem(422, "Say why this person is nominated.")
        async with self._pages.pool.acquire() as connection:
            found = await person_found(connection, reference)
            await look_at_people(connection, looker_of(caller), [found.wearer_no], What.IOM_RECORD, now_ms)
            there = await load(connection, await records_of_person(connection, found.wearer_no), [NOMINATION])
            if any(entry.state in WAITING for entry in there):
                raise Problem(409, "A nomination of this person waits already.")
            scores, kind = await likely_scores(connection, found.wearer_no, now_ms), words_of(form, "offence_kind")
            content = Nomination(reason=reason, nominated_by=caller.name, offence_kind=kind, scores=scores)
            async with connection.transaction():
                draft = Draft(NOMINATION, found.wearer_no, content, "NEW", occurred_ms=now_ms)
                await enter(connection, author, [draft], now_ms)
        return RedirectResponse("/iom/nominations", 303, NO_STORE)

    async def letter(self, request: Request, caller: Caller) -> Response:
        """To whom a panel removed: when, why, and what goes on."""
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            found = await person_found(connection, request.path_params["reference"])
            await look_at_people(connection, looker_of(caller), [found.wearer_no], What.IOM_RECORD, now_ms)
            there = await load(connection, await records_of_person(connection, found.wearer_no), [MEMBERSHIP])
        ended = [entry for entry in there if entry.state == "ENDED"]
        if not ended:
            raise Problem(404, "No panel has removed this person, so there is no letter.")
        last = max(ended, key=lambda entry: entry.recorded_ms)
        return self._pages.render(
            "iom_letter.html", caller, words, person=found.person, membership=last.content, ended_ms=last.valid and last.valid.end_ms
        )  # fmt: skip


async def _listed(connection: Connection, seldom: SeldomCache, kind: MeetingKind, now_ms: int) -> list[Listed]:
    """Who is on the agenda from the start."""
    match kind:
        case MeetingKind.HUDDLE:
            return await huddle_of(connection, seldom, now_ms)
        case MeetingKind.SELECTION_PANEL:
            waiting = await nominations_waiting(connection, HEARD)
            return [Listed(n.wearer_no, f"nominated: {n.nomination.reason}", n.nominated_ms) for n in waiting]
        case MeetingKind.CASE_CONFERENCE:
            return []


def read_attendance(text: str) -> dict[str, list[str]]:
    """A line an agency: "Police: A. Oak, B. Ash"."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        agency, _, names = line.partition(":")
        if agency.strip():
            found[agency.strip()] = [name for one in names.split(",") if (name := one.strip())]
    return found


def _chosen(form: dict[str, str], words: Words, on: date) -> Chosen:
    """Raises UnfitDecision, UnfitTimes or Problem."""
    if form.get("decision") not in list(Decision):
        raise UnfitDecision("choose what was decided")
    decision, note = Decision(form["decision"]), words_of(form, "note") or ""
    task = None
    if decision is Decision.TASK:
        (due_ms,) = read_times(words, form, ["due"])
        task = NewTask(note, due_ms, words_of(form, "agency"))
    return Chosen(
        decision, on, note, _one_of(RagGrade, form.get("grade")), task, form.get("answer"), _membership(form),
        _one_of(EndReason, form.get("end_reason")),
        read_goal(form) if decision is Decision.PLAN else None,
        read_share(form) if decision is Decision.DISCLOSURE else None,
    )  # fmt: skip


def read_goal(form: dict[str, str]) -> NewGoal:
    """Raises UnfitPlan or Problem."""
    strand, due = _one_of(Strand, form.get("strand")), form.get("step_due", "").strip()
    if strand is None:
        raise UnfitPlan("choose control, change or divert")
    try:
        by = date.fromisoformat(due) if due else None
    except ValueError as error:
        raise UnfitPlan("give the day by when the step is done") from error
    what, step, agency = words_of(form, "note") or "", words_of(form, "step"), words_of(form, "agency")
    return NewGoal(what, strand, _one_of(Pathway, form.get("pathway")), step, agency, by)


def read_share(form: dict[str, str]) -> NewShare:
    """Raises Problem."""
    recipient, purpose, basis, who = (
        words_of(form, name) or "" for name in ("recipient", "note", "basis", "released_by")
    )
    fields = [one for part in (words_of(form, "fields") or "").split(",") if (one := part.strip())]
    return NewShare(recipient, purpose, basis, tuple(fields), who)


def _membership(form: dict[str, str]) -> Membership | None:
    cohort_of = _one_of(Cohort, form.get("cohort"))
    if cohort_of is None:
        return None
    agency, officer = words_of(form, "lead_agency"), words_of(form, "lead_officer")
    return Membership(cohort=cohort_of, lead_agency=agency, lead_officer=officer)


def _one_of(kind: Any, text: str | None) -> Any:
    return kind(text) if text in list(kind) else None
