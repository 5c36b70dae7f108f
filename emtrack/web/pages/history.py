"""Pages of location histories: a purpose first, then map and table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import asyncpg
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emtrack.db.connect import Connection
from emtrack.forms.names import unfit_text
from emtrack.people.looks import CHOSEN, LONGEST_REFERENCE, PURPOSES, Looker
from emtrack.people.roles import READERS, Caller
from emtrack.reading import band
from emtrack.reading.casefile import LEAD_MS, number_at
from emtrack.reading.found_in_view import MOST_FOUND, Found, found_in_view
from emtrack.reading.history import MOST_FIXES, UnfitView, View, events_of, record_view, view_of
from emtrack.reading.people import wearer_no_of
from emtrack.record.device_identifiers import unauthenticated_among
from emtrack.record.plans import load_assignments
from emtrack.record.requirement_names import load_names
from emtrack.web.bands import drawn_bands
from emtrack.web.curfew_days import drawn_calendars
from emtrack.web.form_times import UnfitTimes, read_times
from emtrack.web.guard import Problem, answer, door_of, guarded, read_form, read_instant, read_number
from emtrack.web.judged import (
    bands_of_view,
    calendars_of_view,
    map_of_alert,
    map_of_history,
    page_of_history,
    page_of_mechanism,
    stays_of_history,
)
from emtrack.web.maps import TableRow, drawn_stops, event_rows, history_rows, place_name, requirements_of
from emtrack.web.packed import MEDIA_TYPE
from emtrack.web.pages.wearers import person_or_problem
from emtrack.web.rendering import NO_STORE, FactSpan, Pages, known_at
from emtrack.web.wording import Words, timetable_words
from geofence import EventType, Mechanism, Requirement
from geofence.dwelling import STOP_RULES

ROWS = 250
DAY_MS = 86_400_000


async def _zones_of(connection: Connection, view: View, known_ms: int) -> list[Requirement]:
    """Requirements that were in force at some time of a view, as they were held at an instant."""
    held = requirements_of((await load_assignments(connection, known_ms, [view.wearer_no])).values())
    return [r for r in held if r.from_ms < view.end_ms and r.to_ms > view.begin_ms]


def _looker(caller: Caller, form: dict[str, str]) -> Looker:
    """Who looks, for the purpose and reference of a form. Raises UnfitView."""
    if (trouble := unfit_text(form.get("note", ""))) is not None:
        raise UnfitView(f"The note cannot be kept: {trouble}.")
    purpose, reference = form.get("purpose", ""), form.get("note", "").strip()[:LONGEST_REFERENCE] or None
    if purpose not in CHOSEN:
        raise UnfitView("Select a reason.")
    return Looker(caller.name, str(caller.role), door_of(caller), purpose, reference)


class Table(NamedTuple):
    """A part of the table of a history, from number `first` on, with what belongs to it. `total`: of all positions; `size`: of those
    of `mechanism`, if only they are wanted. `names`: of zones, by requirement."""

    view: View
    rows: list[TableRow]
    found: list[Found]
    zones: list[Requirement]
    names: dict[str, str]
    first: int
    size: int
    is_cut: bool
    total: int
    mechanism: Mechanism | None = None


class Second(NamedTuple):
    """Another person who is looked at beside the first."""

    view: View
    wearer: asyncpg.Record


async def _second(connection: Connection, request: Request, caller: Caller, now_ms: int) -> Second | None:
    """Of the query: `with`, the number of another look of the same account. Raises Problem."""
    number = read_number(request.query_params.get("with"))
    if number is None:
        return None
    view = await view_of(connection, number, caller.name, now_ms)
    if view is None:
        raise Problem(
            404, "The look at the second person is not yours, or longer ago than an hour. Ask for it again."
        )
    return Second(view, await person_or_problem(connection, view.wearer_no))


class Sought(NamedTuple):
    """The time that somebody wants to see in the table. `passes`: names of the clocks where it comes twice."""

    at_ms: int | None
    text: str
    pass_name: str
    passes: list[str]
    error: str | None


def _sought(request: Request, words: Words) -> Sought:
    """Of the query: `at`, an instant or a local time; where that comes twice, `at_pass` says which is meant."""
    text, pass_name = request.query_params.get("at", "").strip(), request.query_params.get("at_pass", "")
    if not text:
        return Sought(None, "", "", [], None)
    if text.endswith("Z"):
        at_ms = read_instant(text)
        assert at_ms is not None, "it is not empty"
        return Sought(at_ms, words.field(at_ms), words.pass_name(at_ms), words.passes(words.field(at_ms)), None)
    try:
        (at_ms,) = read_times(words, {"at": text, "at_pass": pass_name}, ("at",))
    except UnfitTimes as error:
        return Sought(None, text, pass_name, words.passes(text), str(error))
    return Sought(at_ms, text, pass_name, words.passes(text), None)


def _mechanism_of(request: Request) -> Mechanism | None:
    """Of the query: `signal`, the signal type whose positions are wanted. Raises Problem."""
    given = request.query_params.get("signal", "")
    if given and given not in list(Mechanism):
        raise Problem(422, "There is no such signal type. Choose one of the list.")
    return Mechanism(given) if given else None


async def view_or_problem(connection: Connection, request: Request, caller: Caller, now_ms: int) -> View:
    """The look that an address names, if it is the caller's and not too long ago. Raises Problem."""
    view = await view_of(connection, request.path_params["view_no"], caller.name, now_ms)
    if view is None:
        raise Problem(
            404,
            "This look at a history is not yours, or longer ago than an hour. Say again for which purpose you look.",
        )
    return view


class Opened(NamedTuple):
    """A look that was recorded, with whom it is of, words for them, and names of zones by wearer and requirement."""

    view: View
    wearer: asyncpg.Record
    words: Words
    names: dict[tuple[int, str], str]
    known_ms: int

    def shown(self, request: Request) -> dict[str, Any]:
        """For the head of each page of it."""
        return {
            "view": self.view, "wearer": self.wearer, "purpose": PURPOSES[self.view.purpose], "known_ms": self.known_ms,
            "asked": request.query_params.get("known_at") or "",
        }  # fmt: skip


class HistoryPages:
    """/wearers/…/history and /views/…"""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        route = self._pages.route
        return [
            route("/wearers/{wearer_no:number}/history", self.purpose, READERS, ["GET", "POST"]),
            route("/views/{view_no:number}", self.view, READERS),
            route("/views/{view_no:number}/rows", self.rows, READERS),
            route("/views/{view_no:number}/beside", self.beside, READERS, ["POST"]),
            route("/views/{view_no:number}/stops", self.stops, READERS),
            guarded(self._pages.pool, "/views/{view_no:number}/stops/map", self.map_of_stops, READERS),
            route("/views/{view_no:number}/curfews", self.curfews, READERS),
            guarded(self._pages.pool, "/views/{view_no:number}/map", self.map, READERS),
        ]

    async def purpose(self, request: Request, caller: Caller) -> Response:
        """Asks for which purpose and time; the answer is on record before any position is read."""
        now_ms = self._pages.clock.now_ms()
        form = await read_form(request) if request.method == "POST" else {}
        async with self._pages.pool.acquire() as connection:
            wearer = await person_or_problem(connection, request.path_params["wearer_no"])
            words = await self._pages.words(connection)
            if request.method == "GET":
                return self._ask(caller, words, wearer, {})
            try:
                view = await self._record(connection, caller, wearer["wearer_no"], form, words, now_ms)
            except UnfitView as error:
                return self._ask(caller, words, wearer, form, str(error))
        return RedirectResponse(f"/views/{view.view_no}", 303, NO_STORE)

    def _ask(
        self, caller: Caller, words: Words, wearer: asyncpg.Record, form: dict[str, str], error: str | None = None
    ) -> Response:
        now_ms = self._pages.clock.now_ms()
        usual = {"begin": now_ms - 2 * DAY_MS, "end": now_ms + 60_000}
        chosen = {name: words.field(ms) for name, ms in usual.items()} | {"purpose": "", "note": ""} | form
        if not form:  # who has chosen a time, chooses its pass as well
            chosen |= {f"{name}_pass": words.pass_name(ms) for name, ms in usual.items()}
        passes = {name: words.passes(chosen[name]) for name in ("begin", "end")}
        return self._pages.render(
            "purpose.html", caller, words, status=422 if error else 200,
            wearer=wearer, form=chosen, passes=passes, purposes=CHOSEN, error=error,
        )  # fmt: skip

    async def _record(
        self, connection: Connection, caller: Caller, wearer_no: int, form: dict[str, str], words: Words, now_ms: int
    ) -> View:
        try:
            begin_ms, end_ms = read_times(words, form, ("begin", "end"))
        except UnfitTimes as error:
            raise UnfitView(str(error)) from error
        looker = _looker(caller, form)
        return await record_view(connection, looker, wearer_no, begin_ms, end_ms, now_ms=now_ms)

    async def view(self, request: Request, caller: Caller) -> Response:
        """The history that a recorded look is for: map, and table in pages."""
        return await self._history(request, caller, "history.html")

    async def rows(self, request: Request, caller: Caller) -> Response:
        """A page of the table alone, for playback that goes beyond the one that is shown."""
        return await self._history(request, caller, "history_positions.html")

    async def _history(
        self,
        request: Request,
        caller: Caller,
        template: str,
        form: dict[str, str] | None = None,
        error: str | None = None,
    ) -> Response:
        now_ms = self._pages.clock.now_ms()
        known_ms = known_at(request, now_ms).ms
        query = request.query_params
        async with self._pages.pool.acquire() as connection:
            view = await view_or_problem(connection, request, caller, now_ms)
            second = await _second(connection, request, caller, now_ms)
            wearer = await person_or_problem(connection, view.wearer_no)
            words = await self._pages.words(connection)
            sought = _sought(request, words)
            number = None
            if sought.at_ms is not None:
                number = await number_at(connection, view, known_ms, sought.at_ms)
        first = max(1, read_number(query.get("from")) or 1)
        if number is not None:
            first = (number - 1) // ROWS * ROWS + 1
        mechanism = _mechanism_of(request)
        if mechanism is None:
            table = await self._table(caller, view, known_ms, first, words)
        else:
            table = await self._table_by(caller, view, known_ms, mechanism, first, sought.at_ms, words)
        if table.size == 0 and mechanism is None:
            return await self._without_positions(request, caller, view, words, known_ms, first)
        beside = None
        if second is not None:
            first_of_second = max(1, read_number(query.get("from2")) or 1)
            beside = await self._table(caller, second.view, known_ms, first_of_second, words)
        return self._pages.render(
            template,
            caller,
            words,
            status=422 if sought.error or error else 200,
            wearer=wearer,
            view=view,
            purpose=PURPOSES[view.purpose],
            table=table,
            found=table.found,
            timetable_words=timetable_words,
            most_found=MOST_FOUND,
            sought=sought,
            chosen=number,
            second=second,
            beside=beside,
            purposes=CHOSEN,
            purpose_words=PURPOSES,
            form=form or {},
            error=error,
            gap_ms=self._pages.history_gap_ms,
            count=table.total,
            step=ROWS,
            is_cut=table.is_cut,
            most=MOST_FIXES,
            asked=query.get("known_at") or "",
            known_ms=known_ms,
        )

    async def _table(self, caller: Caller, view: View, known_ms: int, first: int, words: Words) -> Table:
        async with self._pages.pool.acquire() as connection:
            found = await found_in_view(connection, view, known_ms)
            zones = await _zones_of(connection, view, known_ms)
            names = {r: name for (_, r), name in (await load_names(connection, [view.wearer_no])).items()}
        span = FactSpan(view, known_ms, LEAD_MS)
        page = await self._pages.judged(caller, span, page_of_history, view, known_ms, first, ROWS)
        lower = await self._unauthenticated(one.fix.position.fact_id for one in page.rows)
        rows = history_rows(page.rows, page.before_ms, found, words, self._pages.history_gap_ms, lower)
        return Table(view, rows, found, zones, names, first, page.size, page.is_cut, page.size)

    async def _unauthenticated(self, fact_ids: Iterable[int]) -> frozenset[int]:
        """Those of positions behind which nothing stands but an identifier."""
        async with self._pages.pool.acquire() as connection:
            return await unauthenticated_among(connection, fact_ids)

    async def _table_by(
        self,
        caller: Caller,
        view: View,
        known_ms: int,
        mechanism: Mechanism,
        first: int,
        at_ms: int | None,
        words: Words,
    ) -> Table:
        """Of one signal type. Between its positions there may be others, so nothing is said of gaps."""
        asked = (view, known_ms, mechanism, first, at_ms, ROWS)
        part = await self._pages.judged(caller, FactSpan(view, known_ms, LEAD_MS), page_of_mechanism, *asked)
        whole = await self._table(caller, view, known_ms, 1, words)
        lower = await self._unauthenticated(one.fix.position.fact_id for one in part.page.rows)
        rows = history_rows(part.page.rows, None, whole.found, words, view.end_ms - view.begin_ms, lower)
        return whole._replace(rows=rows, first=part.first, size=part.page.size, total=whole.size, mechanism=mechanism)

    async def beside(self, request: Request, caller: Caller) -> Response:
        """Another person over the same time: a look of its own, on record before any position of that person is read."""
        now_ms = self._pages.clock.now_ms()
        form = await read_form(request)
        try:
            async with self._pages.pool.acquire() as connection:
                view = await view_or_problem(connection, request, caller, now_ms)
                number = await wearer_no_of(connection, form.get("other", "").strip())
                if number is None or number == view.wearer_no:
                    raise UnfitView("Enter the id of another person whose history you may see.")
                looker = _looker(caller, form)
                second = await record_view(connection, looker, number, view.begin_ms, view.end_ms, now_ms=now_ms)
        except UnfitView as error:
            return await self._history(request, caller, "history.html", form, str(error))
        return RedirectResponse(f"/views/{view.view_no}?with={second.view_no}", 303, NO_STORE)

    async def stops(self, request: Request, caller: Caller) -> Response:
        """Where the person stayed, and which places that was."""
        opened = await self._opened(request, caller)
        view, names, gap_ms = opened.view, opened.names, self._pages.history_gap_ms
        span = FactSpan(view, opened.known_ms, LEAD_MS)
        stays = await self._pages.judged(caller, span, stays_of_history, view, opened.known_ms, gap_ms)
        return self._pages.render(
            "history_stops.html",
            caller,
            opened.words,
            **opened.shown(request),
            stays=stays,
            at=[[names.get((view.wearer_no, r.requirement_id), r.requirement_id) for r in at] for at in stays.at],
            place_name=place_name,
            rules=STOP_RULES,
            gap_ms=gap_ms,
        )

    async def map_of_stops(self, request: Request, caller: Caller) -> Response:
        """What the map draws of stops, when it is wanted: it takes longer than the map itself."""
        now_ms = self._pages.clock.now_ms()
        known_ms = known_at(request, now_ms).ms
        async with self._pages.pool.acquire() as connection:
            view = await view_or_problem(connection, request, caller, now_ms)
        span, gap_ms = FactSpan(view, known_ms, LEAD_MS), self._pages.history_gap_ms
        stays = await self._pages.judged(caller, span, stays_of_history, view, known_ms, gap_ms)
        return answer(drawn_stops(stays))

    async def curfews(self, request: Request, caller: Caller) -> Response:
        """How the person kept to curfews, day by day."""
        opened = await self._opened(request, caller)
        view, words = opened.view, opened.words
        span = FactSpan(view, opened.known_ms, band.LEAD_MS)
        calendars = await self._pages.judged(caller, span, calendars_of_view, view, opened.known_ms)
        drawn = drawn_calendars(calendars, opened.names, view.wearer_no, words)
        return self._pages.render("history_curfews.html", caller, words, **opened.shown(request), calendars=drawn)

    async def _opened(self, request: Request, caller: Caller) -> Opened:
        """What a look is for that was recorded. Raises Problem."""
        now_ms = self._pages.clock.now_ms()
        known_ms = known_at(request, now_ms).ms
        async with self._pages.pool.acquire() as connection:
            view = await view_or_problem(connection, request, caller, now_ms)
            wearer = await person_or_problem(connection, view.wearer_no)
            words = await self._pages.words(connection)
            names = await load_names(connection, [view.wearer_no])
        return Opened(view, wearer, words, names, known_ms)

    async def _without_positions(
        self,
        request: Request,
        caller: Caller,
        view: View,
        words: Words,
        known_ms: int,
        first: int,
    ) -> Response:
        """Somebody whom only a home unit hears: a band in place of the map, and what was said in place of positions."""
        async with self._pages.pool.acquire() as connection:
            wearer = await person_or_problem(connection, view.wearer_no)
            assignments = await load_assignments(connection, known_ms, [view.wearer_no])
            said = await events_of(connection, view, assignments, known_ms=known_ms)
        said = [stored for stored in said if stored.event.type is not EventType.HEARTBEAT]
        span = FactSpan(view, known_ms, band.LEAD_MS)
        bands = await self._pages.judged(caller, span, bands_of_view, view, known_ms, None)
        return self._pages.render(
            "history_band.html",
            caller,
            words,
            wearer=wearer,
            view=view,
            purpose=PURPOSES[view.purpose],
            bands=drawn_bands(bands, view.begin_ms, view.end_ms, words),
            rows=event_rows(said[first - 1 : first - 1 + ROWS], words),
            first=first,
            events=len(said),
            step=ROWS,
            asked=request.query_params.get("known_at") or "",
            known_ms=known_ms,
        )

    async def map(self, request: Request, caller: Caller) -> Response:
        """What the map draws: of an alert the finding with its zone, else the whole history with all zones."""
        now_ms = self._pages.clock.now_ms()
        known_ms = known_at(request, now_ms).ms
        async with self._pages.pool.acquire() as connection:
            view = await view_or_problem(connection, request, caller, self._pages.clock.now_ms())
            timezone = (await self._pages.words(connection)).timezone
        span, gap_ms = FactSpan(view, known_ms, LEAD_MS), self._pages.history_gap_ms
        if view.alert_no is None:
            drawn = await self._pages.judged(caller, span, map_of_history, view, known_ms, timezone, gap_ms)
            return Response(drawn, 200, NO_STORE, MEDIA_TYPE)
        number = read_number(request.query_params.get("finding"))
        found = await self._pages.judged(caller, span, map_of_alert, view, known_ms, timezone, gap_ms, number)
        if found is None:
            raise Problem(404, f"the alert has no finding {number} that was known then")
        return Response(found, 200, NO_STORE, MEDIA_TYPE)
