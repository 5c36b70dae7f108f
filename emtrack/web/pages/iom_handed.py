"""What a person may be handed about themselves, how the order of people comes about, a challenge; and the plan, as it is changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emtrack.errors import MendableError
from emtrack.iom.disclosing import HANDED, HANDED_BASIS, TO_THE_PERSON, NewShare, record_share
from emtrack.iom.entries import Author, Draft, enter, versions_of_item
from emtrack.iom.grades import DAY_MS
from emtrack.iom.notes import NOTE, Note
from emtrack.iom.planning import add_goal, move_step
from emtrack.iom.programme_settings import load_settings
from emtrack.iom.shares import Share
from emtrack.iom.tasking import LONGEST_TITLE, NewTask, enter_task
from emtrack.people.looks import What, look_at_people
from emtrack.people.roles import ORDER_KEEPERS, READERS, Caller
from emtrack.reading.handed import handed_of
from emtrack.web.guard import Problem, looker_of, read_form
from emtrack.web.pages.iom_meetings import read_goal
from emtrack.web.pages.iom_tasks import Found, person_found, sentence, words_of
from emtrack.web.rendering import NO_STORE, Pages
from emtrack.web.wording import timetable_words

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

PURPOSE: Final = "the person is told what is held about them, and how it is used"
ANSWER_DAYS: Final = 28
"""In which a challenge is answered: within the month that the law gives."""
CHALLENGE_BASIS: Final = "Data Protection Act 2018, sections 46 to 48"

Change = Callable[["Connection", Author, int, int], Awaitable[None]]
"""Of the plan of a person (by number) at an instant."""


class HandedPages:
    """/iom/how, /iom/people/…/handed, …/challenge, …/plan"""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        route = self._pages.route
        return [
            route("/iom/how", self.how, READERS),
            route("/iom/people/{reference}/handed", self.preview, READERS),
            route("/iom/people/{reference}/handed", self.release, ORDER_KEEPERS, ["POST"]),
            route("/iom/people/{reference}/handed/{item_no:number}", self.handed, READERS),
            route("/iom/people/{reference}/challenge", self.challenge, ORDER_KEEPERS, ["POST"]),
            route("/iom/people/{reference}/goal", self.goal, ORDER_KEEPERS, ["POST"]),
            route("/iom/people/{reference}/step", self.step, ORDER_KEEPERS, ["POST"]),
        ]

    async def how(self, _: Request, caller: Caller) -> Response:
        """The record of how the order and the proposals come about, in the fields of the standard for such records."""
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            in_force = await load_settings(connection)
        return self._pages.render(
            "iom_how.html", caller, words, rules=in_force.settings.rules, version=in_force.version,
            settings=in_force.settings,
        )  # fmt: skip

    async def preview(self, request: Request, caller: Caller) -> Response:
        """As it would be handed now; it is not released by that."""
        now_ms = self._pages.clock.now_ms()
        return await self._page(request, caller, now_ms, None, None)

    async def release(self, request: Request, caller: Caller) -> Response:
        """Recorded as a disclosure before it is shown as released."""
        form, now_ms = await read_form(request), self._pages.clock.now_ms()
        who = words_of(form, "released_by")
        if who is None:
            raise Problem(422, "Enter the name of the person who releases this page.")
        new = NewShare(TO_THE_PERSON, words_of(form, "purpose") or PURPOSE, HANDED_BASIS, HANDED, who)
        author = Author(caller.name, caller.agency)
        async with self._pages.pool.acquire() as connection:
            found = await self._found(connection, request, caller, now_ms)
            async with connection.transaction():
                entry = await record_share(connection, author, found.wearer_no, new, now_ms)
        return RedirectResponse(f"{_address(found)}/handed/{entry.item_no}", 303, NO_STORE)

    async def handed(self, request: Request, caller: Caller) -> Response:
        """What was released, as it was known then."""
        async with self._pages.pool.acquire() as connection:
            versions = await versions_of_item(connection, request.path_params["item_no"])
        if (
            not versions
            or not isinstance(versions[0].content, Share)
            or versions[0].content.recipient != TO_THE_PERSON
        ):
            raise Problem(404, "No page was released under this number.")
        return await self._page(request, caller, versions[0].recorded_ms, versions[0].content, versions[0].wearer_no)

    async def _page(
        self, request: Request, caller: Caller, known_ms: int, share: Share | None, of: int | None
    ) -> Response:
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            found = await self._found(connection, request, caller, now_ms)
            if of not in (None, found.wearer_no):
                raise Problem(404, "No page about this person was released under this number.")
            held = await handed_of(connection, found.wearer_no, known_ms)
        return self._pages.render(
            "iom_handed.html", caller, words, person=found.person, held=held, share=share, known_ms=known_ms,
            may_release=caller.role in ORDER_KEEPERS and share is None, timetable=timetable_words, purpose=PURPOSE,
            basis=HANDED_BASIS,
        )  # fmt: skip

    async def _found(self, connection: Connection, request: Request, caller: Caller, now_ms: int) -> Found:
        """With the look on record. Raises Problem."""
        found = await person_found(connection, request.path_params["reference"])
        await look_at_people(connection, looker_of(caller), [found.wearer_no], What.IOM_RECORD, now_ms)
        return found

    async def challenge(self, request: Request, caller: Caller) -> Response:
        """What a person says is wrong stands in their record, and somebody has to answer it."""
        form, now_ms = await read_form(request), self._pages.clock.now_ms()
        text = words_of(form, "challenge")
        if text is None:
            raise Problem(422, "Enter what the person says is wrong.")
        author, due_ms = Author(caller.name, caller.agency), now_ms + ANSWER_DAYS * DAY_MS
        note = Note(text=text, kind="challenge", lawful_basis=CHALLENGE_BASIS)
        title = f"Answer what the person challenges: {text}"[:LONGEST_TITLE]
        async with self._pages.pool.acquire() as connection:
            found = await self._found(connection, request, caller, now_ms)
            async with connection.transaction():
                await enter(connection, author, [Draft(NOTE, found.wearer_no, note, occurred_ms=now_ms)], now_ms)
                await enter_task(connection, author, found.wearer_no, NewTask(title, due_ms), now_ms)
        return RedirectResponse(f"{_address(found)}#chronology", 303, NO_STORE)

    async def goal(self, request: Request, caller: Caller) -> Response:
        """A goal into the plan, with its first step."""
        form = await read_form(request)

        async def change(connection: Connection, author: Author, wearer_no: int, now_ms: int) -> None:
            await add_goal(connection, author, wearer_no, read_goal(form), now_ms)

        return await self._change_plan(request, caller, change)

    async def step(self, request: Request, caller: Caller) -> Response:
        form = await read_form(request)

        async def change(connection: Connection, author: Author, wearer_no: int, now_ms: int) -> None:
            name, state, evidence = form.get("step", ""), form.get("state", ""), words_of(form, "evidence")
            await move_step(connection, author, wearer_no, name, state, evidence, now_ms)

        return await self._change_plan(request, caller, change)

    async def _change_plan(self, request: Request, caller: Caller, change: Change) -> Response:
        now_ms = self._pages.clock.now_ms()
        try:
            async with self._pages.pool.acquire() as connection:
                found = await self._found(connection, request, caller, now_ms)
                async with connection.transaction():
                    await change(connection, Author(caller.name, caller.agency), found.wearer_no, now_ms)
        except MendableError as error:
            raise Problem(422, sentence(error)) from error
        return RedirectResponse(f"{_address(found)}#plan", 303, NO_STORE)


def _address(found: Found) -> str:
    return f"/iom/people/{quote(found.person['wearer_id'], safe='')}"
