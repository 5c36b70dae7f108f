"""The daily view of the programme, proposals that are answered in its rows, and a person's chronology."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emtrack.forms.iom import Cohort, RagGrade
from emtrack.iom.entries import Author, last_entry, moved_since, records_of_person
from emtrack.iom.grading import Answer, decide_against, give_grade, open_proposal
from emtrack.iom.proposals import Proposal
from emtrack.iom.record import IomRecord, load_iom
from emtrack.iom.statuses import StatusKind
from emtrack.people.looks import What, look_at_everybody, look_at_people
from emtrack.people.roles import ORDER_KEEPERS, READERS, Caller
from emtrack.reading.compliance import compliance_of, progress_of
from emtrack.reading.iom import CohortRow, Wanted, chronology, cohort, records_by_person
from emtrack.reading.iom_plan import plan_of
from emtrack.reading.people import person_of, wearer_no_of
from emtrack.reading.person_card import person_card
from emtrack.reading.registrations import registrations_of
from emtrack.web.api.iom import mending
from emtrack.web.areas import read_area
from emtrack.web.guard import LATEST_MS, Problem, answer, guarded, looker_of, read_form, read_number
from emtrack.web.rendering import NO_STORE, Pages, known_at
from emtrack.web.wording import NOUNS
from geofence import format_instant

LONGEST_WHY: Final = 2_000
PAGE: Final = 50
"""People on one page of the daily view."""
LINES: Final = frozenset(NOUNS)
MOST_NEWS: Final = 2_000
"""Entries among which a page that is open looks for news."""


class IomPages:
    """/iom and /iom/…"""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        route = self._pages.route
        return [
            route("/iom", self.daily, READERS),
            guarded(self._pages.pool, "/iom/news", self.news, READERS, is_used=False),
            route("/iom/people/{reference}", self.person, READERS),
            route("/iom/proposals/{item_no:number}", self.answer, ORDER_KEEPERS, ["POST"]),
        ]

    async def daily(self, request: Request, caller: Caller) -> Response:
        """Who needs somebody today, and why."""
        query = request.query_params
        asked = Wanted(**{name: query.get(name, "").strip() or None for name in Wanted._fields if name != "area"})
        asked = asked._replace(area=read_area(query.get("area")))
        looker, now_ms = looker_of(caller), self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            await look_at_everybody(connection, looker, What.IOM_RECORD, now_ms)
            words = await self._pages.words(connection)
            seen_to = await last_entry(connection)  # before the rows: what comes meanwhile is news
            people = await cohort(connection, self._pages.seldom, now_ms, asked)
            first = min(read_number(query.get("first")) or 0, len(people))
            shown = people[first : first + PAGE]
            if asked.area is not None:  # who is listed lives there: that is asked about an address
                listed = [row.wearer_no for row in people]
                await look_at_people(connection, looker, listed, What.DETAILS, now_ms)
            records = await records_by_person(connection, [row.wearer_no for row in shown])
            progress = await progress_of(connection, records, now_ms)
        return self._pages.render(
            "iom.html",
            caller,
            words,
            people=shown,
            seen_to=seen_to,
            progress=progress,
            count=len(people),
            following=first + PAGE if first + PAGE < len(people) else None,
            asked=asked,
            is_filtered=any(asked),
            may_answer=caller.role in ORDER_KEEPERS,
            proposals=sum(row.proposal is not None for row in people),
            choices={"cohort": list(Cohort), "grade": list(RagGrade), "status": list(StatusKind)},
            agencies=_named(people, "lead_agency"),
            officers=_named(people, "lead_officer"),
        )

    async def person(self, request: Request, caller: Caller) -> Response:
        """Everything that is known, the newest first, as known at an instant."""
        looker, now_ms = looker_of(caller), self._pages.clock.now_ms()
        chosen = frozenset(request.query_params.getlist("noun")) & LINES
        before_ms = min(read_number(request.query_params.get("before_ms")) or LATEST_MS, LATEST_MS)
        reference = request.path_params["reference"]
        async with self._pages.pool.acquire() as connection:
            wearer_no = await wearer_no_of(connection, reference)
            person = None if wearer_no is None else await person_of(connection, wearer_no)
            if person is None or wearer_no is None:
                raise Problem(
                    404, "Nobody with this reference is on record, or they are not shared with your agency."
                )
            for what in (What.IOM_RECORD, What.FINDINGS):
                await look_at_people(connection, looker, [wearer_no], what, now_ms)
            words = await self._pages.words(connection)
            seen_to = await last_entry(connection)
            asked_ms, known_ms = known_at(request, now_ms, words)
            found = await chronology(connection, wearer_no, before_ms, known_ms if asked_ms else None, chosen or None)
            row = next(iter(await cohort(connection, self._pages.seldom, now_ms, only=wearer_no)), None)
            plan = await plan_of(connection, wearer_no, known_ms if asked_ms else None)
            registrations = await registrations_of(connection, wearer_no, known_ms if asked_ms else None)
            compliance = await compliance_of(connection, wearer_no, known_ms)
            card = None if asked_ms else await person_card(connection, wearer_no, now_ms)
            summary = (await load_iom(connection, [wearer_no])).get(wearer_no, IomRecord())
        return self._pages.render(
            "iom_person.html",
            caller,
            words,
            person=person,
            seen_to=seen_to,
            row=row,
            found=found,
            chosen=chosen,
            asked_ms=asked_ms,
            plan=plan,
            registrations=registrations,
            compliance=compliance,
            card=card,
            summary=summary,
            may_enter=caller.role in ORDER_KEEPERS and not person["is_closed"],
            asked=None if asked_ms is None else format_instant(asked_ms),
        )

    async def news(self, request: Request, _: Caller) -> Response:
        """Of how many people something was entered since a page was made. A count, for those who have looked: no row."""
        after, reference = read_number(request.query_params.get("after")), request.query_params.get("person")
        async with self._pages.pool.acquire() as connection:
            wearer_no = None if reference is None else await wearer_no_of(connection, reference)
            only = None if wearer_no is None else await records_of_person(connection, wearer_no)
            is_nobody = reference is not None and wearer_no is None
            count = 0 if after is None or is_nobody else await moved_since(connection, after, only, MOST_NEWS)
        return answer({"people": count})

    async def answer(self, request: Request, caller: Caller) -> Response:
        """A proposal is accepted as it is, or decided against with a reason."""
        form = await read_form(request)
        item_no = request.path_params["item_no"]
        why = form.get("why", "").strip()[:LONGEST_WHY] or None
        author, now_ms = Author(caller.name, caller.agency), self._pages.clock.now_ms()
        if form.get("answer") not in ("accept", "against"):
            raise Problem(422, "Choose whether you accept the proposal or decide against it.")
        with mending():
            async with self._pages.pool.acquire() as connection, connection.transaction():
                if form["answer"] == "against":
                    await decide_against(connection, author, item_no, why or "", now_ms)
                else:
                    await _accept(connection, author, item_no, why, now_ms)
        return RedirectResponse("/iom", 303, NO_STORE)


async def _accept(connection: Any, author: Author, item_no: int, why: str | None, now_ms: int) -> None:
    proposal = await open_proposal(connection, item_no)
    content = proposal.content
    assert isinstance(content, Proposal), "only proposals are found"
    assert proposal.wearer_no is not None, "a proposal is of a person"
    given = Answer(content.grade, why, item_no, at_review=content.grade_before is not None)
    await give_grade(connection, author, proposal.wearer_no, given, now_ms)


def _named(people: list[CohortRow], field: str) -> list[str]:
    return sorted({name for row in people if (name := getattr(row, field))})
