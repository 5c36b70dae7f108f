"""Visits and tag stock: what is to be done at whose door, what came of it, and where tags are."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emtrack.forms.names import unfit_id, unfit_text
from emtrack.people.looks import What, look_at_people
from emtrack.people.roles import READERS, STAFF, Caller
from emtrack.record.visits import (
    GIVES,
    TAKES,
    Place,
    Result,
    UnfitVisit,
    VisitKind,
    book_visit,
    end_visit,
    move_tag,
    not_worn,
    past_visits,
    stock,
    visits_to_come,
)
from emtrack.record.wearer_details import load_details
from emtrack.web.form_times import UnfitTimes, read_times
from emtrack.web.guard import looker_of, read_form
from emtrack.web.looking import look_at_queue
from emtrack.web.pages.wearers import person_or_problem
from emtrack.web.rendering import NO_STORE, Pages

DAY_MS = 86_400_000


class VisitPages:
    """/visits, those of a person, and the stock."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        route = self._pages.route
        return [
            route("/visits", self.all, READERS),
            route("/visits/{visit_no:number}/result", self.end, STAFF, ["POST"]),
            route("/visits/stock", self.move, STAFF, ["POST"]),
            route("/wearers/{wearer_no:number}/visits", self.of_person, READERS),
            route("/wearers/{wearer_no:number}/visits/new", self.book, STAFF, ["POST"]),
        ]

    async def all(self, _: Request, caller: Caller) -> Response:
        """What is to come, with addresses; what came of the last ones; the stock."""
        return await self._all(caller)

    async def _all(self, caller: Caller, error: str | None = None, at: str = "#main-content") -> Response:
        now_ms, looker = self._pages.clock.now_ms(), looker_of(caller)
        async with self._pages.pool.acquire() as connection:
            await look_at_queue(connection, looker, now_ms)
            waiting, past = await visits_to_come(connection), await past_visits(connection)
            people = list({visit.wearer_no: None for visit in (*waiting, *past)})
            await look_at_people(connection, looker, people, What.DETAILS, now_ms)
            details = await load_details(connection, people)
            words = await self._pages.words(connection)
            places, tags = await stock(connection), await not_worn(connection)
        return self._pages.render(
            "visits.html", caller, words, status=422 if error else 200, waiting=waiting, past=past, details=details, places=places,
            tags=tags, error=error, at=at, may_act=caller.role in STAFF, gives=GIVES, takes=TAKES, all_places=Place,
        )  # fmt: skip

    async def of_person(self, request: Request, caller: Caller) -> Response:
        return await self._of_person(caller, request.path_params["wearer_no"], {}, None)

    async def _of_person(self, caller: Caller, wearer_no: int, form: dict[str, str], error: str | None) -> Response:
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            wearer = await person_or_problem(connection, wearer_no)
            await look_at_people(connection, looker_of(caller), [wearer_no], What.DETAILS, now_ms)
            words = await self._pages.words(connection)
            waiting, past = await visits_to_come(connection, wearer_no), await past_visits(connection, wearer_no)
        chosen = {"due": words.field(now_ms + DAY_MS), "kind": "inspect"} | form
        return self._pages.render(
            "visits_of_person.html", caller, words, status=422 if error else 200, wearer=wearer, waiting=waiting, past=past,
            form=chosen, passes={"due": words.passes(chosen["due"])}, error=error, kinds=VisitKind, may_act=caller.role in STAFF,
        )  # fmt: skip

    async def book(self, request: Request, caller: Caller) -> Response:
        form, number = await read_form(request), request.path_params["wearer_no"]
        now_ms = self._pages.clock.now_ms()
        try:
            async with self._pages.pool.acquire() as connection:
                await person_or_problem(connection, number)
                due_ms = read_times(await self._pages.words(connection), form, ("due",))[0]
                if form.get("kind") not in list(VisitKind):
                    raise UnfitVisit("Select what is to be done.")
                kind, why = VisitKind(form["kind"]), _fit(form.get("why", ""))
                await book_visit(connection, number, kind, due_ms, why, who=caller.name, now_ms=now_ms)
        except (UnfitVisit, UnfitTimes) as error:
            return await self._of_person(caller, number, form, str(error))
        return RedirectResponse(f"/wearers/{number}/visits", 303, NO_STORE)

    async def end(self, request: Request, caller: Caller) -> Response:
        form, number = await read_form(request), request.path_params["visit_no"]
        now_ms = self._pages.clock.now_ms()
        try:
            if form.get("result") not in list(Result):
                raise UnfitVisit("Select what came of the visit.")
            fitted, taken = (_tag(form.get(name, "")) for name in ("fitted", "taken"))
            async with self._pages.pool.acquire() as connection, connection.transaction():
                await end_visit(
                    connection, number, Result(form["result"]), fitted=fitted, taken=taken, note=_fit(form.get("note", "")),
                    who=caller.name, now_ms=now_ms,
                )  # fmt: skip
        except UnfitVisit as error:
            return await self._all(caller, str(error), f"#note-{number}")
        return RedirectResponse("/visits", 303, NO_STORE)

    async def move(self, request: Request, caller: Caller) -> Response:
        """A tag is somewhere else."""
        form = await read_form(request)
        try:
            device_id = _tag(form.get("device", ""))
            if device_id is None or form.get("place") not in list(Place):
                raise UnfitVisit("Enter the tag, and where it is.")
            async with self._pages.pool.acquire() as connection:
                await move_tag(
                    connection, device_id, Place(form["place"]), _fit(form.get("note", "")) or None, who=caller.name,
                    now_ms=self._pages.clock.now_ms(),
                )  # fmt: skip
        except UnfitVisit as error:
            return await self._all(caller, str(error), "#device")
        return RedirectResponse("/visits#stock", 303, NO_STORE)


def _fit(text: str) -> str:
    """Raises UnfitVisit."""
    if (trouble := unfit_text(text)) is not None:
        raise UnfitVisit(f"A text cannot be kept: {trouble}.")
    if len(text) > 1_000:
        raise UnfitVisit("A text has at most 1,000 characters.")
    return text.strip()


def _tag(text: str) -> str | None:
    """The id of a tag; None where nothing is typed. Raises UnfitVisit."""
    if not text.strip():
        return None
    if (trouble := unfit_id(text.strip())) is not None:
        raise UnfitVisit(f"That is no id of a tag: {trouble}.")
    return text.strip()
