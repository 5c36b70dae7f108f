"""The diary of releases and what is ready on the day; breaches and recalls, from finding to outcome on one line."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emtrack.errors import MendableError
from emtrack.iom.breaching import BreachStep, begin_breach, step_breach
from emtrack.iom.entries import Author, Draft, enter, following, take_turn, versions_of_item
from emtrack.iom.grades import DAY_MS
from emtrack.iom.transitions import TRANSITION, Transition, TransitionKind
from emtrack.people.looks import What, look_at_everybody, look_at_people
from emtrack.people.roles import ORDER_KEEPERS, READERS, Caller
from emtrack.reading.breach_pack import pack_of
from emtrack.reading.transitions import breach_row, breaches, lines_of, releases
from emtrack.web.form_times import UnfitTimes, read_times
from emtrack.web.guard import Problem, looker_of, read_form, read_number
from emtrack.web.pages.iom_tasks import person_found, sentence, words_of
from emtrack.web.rendering import NO_STORE, Pages

NO_DAY: Final = "Give a date and a time."
DECIDE_DAYS: Final = 1
"""In which a breach is decided, and its next step taken, if nobody says otherwise (ours)."""


class TransitionPages:
    """/iom/releases and /iom/breaches"""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        route = self._pages.route
        return [
            route("/iom/releases", self.diary, READERS),
            route("/iom/releases/{item_no:number}", self.ready, ORDER_KEEPERS, ["POST"]),
            route("/iom/people/{reference}/release", self.plan, ORDER_KEEPERS, ["POST"]),
            route("/iom/breaches", self.breaches, READERS),
            route("/iom/breaches/{item_no:number}", self.step, ORDER_KEEPERS, ["POST"]),
            route("/iom/breaches/{item_no:number}/{kind}", self.file, READERS),
            route("/iom/people/{reference}/breach", self.begin, ORDER_KEEPERS, ["POST"]),
        ]

    async def diary(self, _: Request, caller: Caller) -> Response:
        """By day, for all agencies: who is released, and what is ready."""
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            await look_at_everybody(connection, looker_of(caller), What.IOM_RECORD, now_ms)
            words = await self._pages.words(connection)
            found = await releases(connection, now_ms)
        return self._pages.render(
            "iom_releases.html", caller, words, releases=found, today=words.local(now_ms).date(),
            may_enter=caller.role in ORDER_KEEPERS,
        )  # fmt: skip

    async def plan(self, request: Request, caller: Caller) -> Response:
        form, reference, now_ms = (
            await read_form(request),
            request.path_params["reference"],
            self._pages.clock.now_ms(),
        )
        try:
            async with self._pages.pool.acquire() as connection, connection.transaction():
                words = await self._pages.words(connection)
                found = await person_found(connection, reference)
                (at_ms,) = read_times(words, form, ["day"])
                content = Transition(
                    kind=TransitionKind.RELEASE, prison=words_of(form, "prison"), address=words_of(form, "address")
                )
                draft = Draft(TRANSITION, found.wearer_no, content, "PLANNED", occurred_ms=at_ms)
                await enter(connection, Author(caller.name, caller.agency), [draft], now_ms)
        except UnfitTimes as error:
            raise Problem(422, NO_DAY) from error
        return RedirectResponse("/iom/releases", 303, NO_STORE)

    async def ready(self, request: Request, caller: Caller) -> Response:
        """What is ready, or that it took place or was called off."""
        form, item_no, now_ms = await read_form(request), request.path_params["item_no"], self._pages.clock.now_ms()
        given = {name: words for name in ("address", "appointment", "medicine") if (words := words_of(form, name))}
        state = {"done": "DONE", "cancel": "CANCELLED"}.get(form.get("what", ""))
        try:
            async with self._pages.pool.acquire() as connection, connection.transaction():
                await take_turn(connection)
                versions = await versions_of_item(connection, item_no)
                if not versions or not isinstance(versions[-1].content, Transition):
                    raise Problem(
                        404, "There is no such release, or it is of somebody who is not shared with your agency."
                    )
                last = versions[-1]
                content = msgspec.structs.replace(last.content, **given)
                draft = following(last, content=content, state=state or last.state)
                await enter(connection, Author(caller.name, caller.agency), [draft], now_ms)
        except MendableError as error:
            raise Problem(422, sentence(error)) from error
        return RedirectResponse(f"/iom/releases#release-{item_no}", 303, NO_STORE)

    async def breaches(self, _: Request, caller: Caller) -> Response:
        """Each on one line, from finding to outcome; the first deadline first."""
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            rows = await breaches(connection, now_ms)
            people, looker = [row["wearer_no"] for row in rows], looker_of(caller)
            for what in (What.IOM_RECORD, What.FINDINGS):
                await look_at_people(connection, looker, people, what, now_ms)
            found = await lines_of(connection, rows)
        return self._pages.render(
            "iom_breaches.html", caller, words, breaches=found, due=words.field(now_ms + DECIDE_DAYS * DAY_MS),
            may_enter=caller.role in ORDER_KEEPERS,
        )  # fmt: skip

    async def file(self, request: Request, caller: Caller) -> Response:
        """The warning to the person, or the pack for the court, as known now."""
        kind, now_ms = request.path_params["kind"], self._pages.clock.now_ms()
        if kind not in ("warning", "pack"):
            raise Problem(404, "There is no such page.")
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            row = await breach_row(connection, request.path_params["item_no"])
            if row is None:
                raise Problem(
                    404, "There is no such breach, or it is of somebody who is not shared with your agency."
                )
            for what in (What.IOM_RECORD, What.FINDINGS):
                await look_at_people(connection, looker_of(caller), [row["wearer_no"]], what, now_ms)
            pack = await pack_of(connection, row, now_ms)
        return self._pages.render("iom_breach_file.html", caller, words, pack=pack, kind=kind)

    async def begin(self, request: Request, caller: Caller) -> Response:
        form, reference, now_ms = (
            await read_form(request),
            request.path_params["reference"],
            self._pages.clock.now_ms(),
        )
        author, due_ms = Author(caller.name, caller.agency), now_ms + DECIDE_DAYS * DAY_MS
        try:
            async with self._pages.pool.acquire() as connection, connection.transaction():
                found = await person_found(connection, reference)
                number, why = read_number(form.get("finding") or None), words_of(form, "why") or ""
                entry = await begin_breach(connection, author, found.wearer_no, number, why, due_ms, now_ms)
        except MendableError as error:
            raise Problem(422, sentence(error)) from error
        return RedirectResponse(f"/iom/breaches#breach-{entry.item_no}", 303, NO_STORE)

    async def step(self, request: Request, caller: Caller) -> Response:
        """The next step, with its words and the next deadline."""
        form, item_no, now_ms = await read_form(request), request.path_params["item_no"], self._pages.clock.now_ms()
        try:
            async with self._pages.pool.acquire() as connection, connection.transaction():
                words = await self._pages.words(connection)
                due_ms = read_times(words, form, ["due"])[0] if form.get("due") else None
                step = BreachStep(form.get("state", ""), words_of(form, "words"), due_ms)
                await step_breach(connection, Author(caller.name, caller.agency), item_no, step, now_ms)
        except UnfitTimes as error:
            raise Problem(422, NO_DAY) from error
        except MendableError as error:
            raise Problem(422, sentence(error)) from error
        return RedirectResponse(f"/iom/breaches#breach-{item_no}", 303, NO_STORE)
