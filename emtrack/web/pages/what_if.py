"""What if? Changed settings, a drafted zone or timetable over past positions: a purpose first, then how far it is, then what would
change. Nothing is entered."""

from __future__ import annotations

from math import isfinite
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emtrack.db.connect import Connection
from emtrack.forms.drafts import (
    KINDS_OF_ZONES,
    MOST_BUFFER_M,
    NUMBERS,
    Draft,
    DraftSettings,
    DraftTimetable,
    DraftZone,
    UnfitDraft,
    read_settings,
    read_timetable_text,
    read_zone_text,
)
from emtrack.people.looks import CHOSEN, PURPOSES, What, look_at_everybody, look_at_people
from emtrack.people.roles import PLANNERS, Caller
from emtrack.reading.drafts import Trial, UnfitTrial, look_at_trial, slices_of, total_of
from emtrack.reading.exports import UnfitExport
from emtrack.reading.people import person_of, wearer_no_of
from emtrack.record.draft_runs import draft_run, last_draft_runs
from emtrack.web.draft_runs import DraftRun, DraftRuns, RunState
from emtrack.web.form_times import UnfitTimes, read_times
from emtrack.web.guard import Problem, answer, guarded, read_form, read_number
from emtrack.web.pages.exports import looker_of_form
from emtrack.web.rendering import NO_STORE, Pages
from emtrack.web.wording import DRAFT_NUMBERS, Words, draft_words
from geofence import Disc, Interval, ObligationKind

DAY_MS = 86_400_000
COHORT_NAMES = {"FIXED": "Fixed", "FLEX": "Flex", "FREE": "Free"}
LONGEST_ID = 200
MOST_SHOWN = 20
NO_SUCH_TRIAL = "There is no such trial of yours."
TROUBLES = (UnfitTrial, UnfitDraft, UnfitExport, UnfitTimes)


class WhatIfPages:
    """/what-if and /what-if/…"""

    def __init__(self, pages: Pages, runs: DraftRuns) -> None:
        self._pages = pages
        self._runs = runs

    def routes(self) -> list[Route]:
        route = self._pages.route
        return [
            route("/what-if", self.ask, PLANNERS, ["GET", "POST"]),
            route("/what-if/{run_no:number}", self.run, PLANNERS),
            route("/what-if/{run_no:number}/cancel", self.cancel, PLANNERS, ["POST"]),
            guarded(self._pages.pool, "/what-if/{run_no:number}/state", self.state, PLANNERS, is_used=False),
        ]

    async def ask(self, request: Request, caller: Caller) -> Response:
        """Asks for purpose, people, time and draft; the look is on record, then it begins."""
        if request.method == "GET":
            return await self._form(caller, await self._prefilled(request), None)
        form = await read_form(request)
        now_ms = self._pages.clock.now_ms()
        try:
            self._runs.refuse_another(caller)
            looker = looker_of_form(caller, form)
            draft = draft_of(form)
            async with self._pages.pool.acquire() as connection:
                trial = await _trial(connection, form, await self._pages.words(connection), draft)
                await look_at_trial(connection, looker, trial, now_ms)
                slices = await slices_of(connection, trial)
            run = await self._runs.begin(caller, looker, trial, slices)
        except TROUBLES as error:
            return await self._form(caller, form, str(error))
        return RedirectResponse(f"/what-if/{run.run_no}", 303, NO_STORE)

    async def _prefilled(self, request: Request) -> dict[str, str]:
        number = read_number(request.query_params.get("person"))
        if number is None:
            return {}
        async with self._pages.pool.acquire() as connection:
            row = await person_of(connection, number)
        return {} if row is None else {"who": "person", "wearer": row["wearer_id"]}

    async def _form(self, caller: Caller, form: dict[str, str], error: str | None) -> Response:
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            runs = await last_draft_runs(connection, caller.name, MOST_SHOWN)
        usual = {"begin": now_ms - 28 * DAY_MS, "end": now_ms}
        chosen = {name: words.field(ms) for name, ms in usual.items()} | {
            "purpose": "", "who": "person", "zone_kind": "EXCLUSION", "radius": "", "cohort": "FIXED",
        } | form  # fmt: skip
        if "begin" not in form:  # who has chosen a time, chooses its pass as well
            chosen |= {f"{name}_pass": words.pass_name(ms) for name, ms in usual.items()}
        return self._pages.render(
            "what_if.html", caller, words, status=422 if error else 200, form=chosen, error=error, purposes=CHOSEN,
            passes={name: words.passes(chosen[name]) for name in usual}, numbers=DRAFT_NUMBERS, cohorts=COHORT_NAMES,
            kinds=KINDS_OF_ZONES, runs=runs,
        )  # fmt: skip

    def _run_or_problem(self, request: Request, caller: Caller) -> DraftRun:
        run = self._runs.of(caller, request.path_params["run_no"])
        if run is None:
            raise Problem(404, NO_SUCH_TRIAL)
        return run

    async def run(self, request: Request, caller: Caller) -> Response:
        """How far it is; when it is done, what would change, which is a look again. Later the counts that are on record."""
        run = self._runs.of(caller, request.path_params["run_no"])
        if run is None:
            return await self._stored(request, caller)
        now_ms = self._pages.clock.now_ms()
        is_one = run.trial.wearer_no is not None
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            person = None if run.trial.wearer_no is None else await person_of(connection, run.trial.wearer_no)
            if is_one and person is None:
                raise Problem(404, "This person is not shown to you any more.")
            if run.state is RunState.DONE and run.trial.wearer_no is not None:
                await look_at_people(connection, run.looker, [run.trial.wearer_no], What.WHAT_IF, now_ms)
            elif run.state is RunState.DONE:
                await look_at_everybody(connection, run.looker, What.WHAT_IF, now_ms)
        total = total_of(run.outcomes, is_one_person=is_one) if run.state is RunState.DONE else None
        return self._pages.render(
            "what_if_run.html", caller, words, run=run, total=total, person=person, RunState=RunState,
            purpose=PURPOSES[run.looker.purpose],
            said=draft_words(run.trial.draft), cohorts=COHORT_NAMES,
        )  # fmt: skip

    async def _stored(self, request: Request, caller: Caller) -> Response:
        """A trial of more than an hour ago, or from before the service began."""
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            stored = await draft_run(connection, caller.name, request.path_params["run_no"])
            if stored is None:
                raise Problem(404, NO_SUCH_TRIAL)
            number = stored.tried.wearer_no
            person = None if number is None else await person_of(connection, number)
            if number is not None and person is None:
                raise Problem(404, "This person is not shown to you any more.")
            if stored.ended is not None and stored.ended.kinds:
                looker = looker_of_form(caller, {"purpose": stored.purpose, "note": stored.reference or ""})
                if number is not None:
                    await look_at_people(connection, looker, [number], What.WHAT_IF, now_ms)
                else:
                    await look_at_everybody(connection, looker, What.WHAT_IF, now_ms)
        return self._pages.render(
            "what_if_stored.html", caller, words, run=stored, tried=stored.tried, ended=stored.ended, person=person,
            purpose=PURPOSES[stored.purpose], cohorts=COHORT_NAMES,
        )  # fmt: skip

    async def state(self, request: Request, caller: Caller) -> Response:
        """How far it is, for the page that waits."""
        run = self._run_or_problem(request, caller)
        return answer({"state": run.state, "percent": int(run.share * 100)})

    async def cancel(self, request: Request, caller: Caller) -> Response:
        run = self._run_or_problem(request, caller)
        self._runs.cancel(run)
        return RedirectResponse(f"/what-if/{run.run_no}", 303, NO_STORE)


async def _trial(connection: Connection, form: dict[str, str], words: Words, draft: Draft) -> Trial:
    """Raises UnfitTrial or UnfitTimes."""
    begin_ms, end_ms = read_times(words, form, ("begin", "end"))
    window, who = Interval(begin_ms, end_ms), form.get("who")
    if who == "everybody":
        return Trial(draft, window)
    if who == "cohort":
        if form.get("cohort") not in COHORT_NAMES:
            raise UnfitTrial("Select a cohort.")
        return Trial(draft, window, cohort=form["cohort"])
    wearer_id = form.get("wearer", "").strip()
    number = await wearer_no_of(connection, wearer_id)
    if number is None:
        raise UnfitTrial(
            f"There is nobody with the id {wearer_id[:60]!r} whom you may see. Enter the id of a person."
        )
    row = await person_of(connection, number)
    if row is None:
        raise UnfitTrial(
            f"There is nobody with the id {wearer_id[:60]!r} whom you may see. Enter the id of a person."
        )
    return Trial(draft, window, wearer_no=number)


def draft_of(form: dict[str, str]) -> Draft:
    """Of the fields of the form; what is empty changes nothing. Raises UnfitDraft."""
    fields: dict[str, Any] = {}
    for name in NUMBERS:
        if text := form.get(name, "").strip():
            fields[name] = _setting(name, text)
    settings = read_settings(fields)
    rows = form.get("timetable", "").strip()
    requirement_id = form.get("requirement", "").strip()[:LONGEST_ID] or None
    timetable = DraftTimetable(read_timetable_text(rows), requirement_id) if rows else None
    return Draft(None if settings == DraftSettings() else settings, _zone(form), timetable)


def _setting(name: str, text: str) -> float | int:
    """One that may be tried. Raises UnfitDraft in the words of the form."""
    value = _number(text)
    whole = int(value) if value.is_integer() else value
    try:
        read_settings({name: whole})
    except UnfitDraft:
        what, _, allowed = DRAFT_NUMBERS[name]
        raise UnfitDraft(f"{what}: {text[:40]} does not fit. Allowed: {allowed}.") from None
    return whole


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise UnfitDraft(f"{text[:40]!r} is no number. Enter a number, or leave the field empty.") from None
    if not isfinite(value):
        raise UnfitDraft(f"{text[:40]!r} is no number. Enter a number, or leave the field empty.")
    return value


def _zone(form: dict[str, str]) -> DraftZone | None:
    """A circle, or GeoJSON; neither: no zone is drafted. Raises UnfitDraft."""
    drawn = form.get("geojson", "").strip()
    circle = [form.get(name, "").strip() for name in ("lat", "lon", "radius")]
    if not drawn and not any(circle):
        return None
    if drawn and any(circle):
        raise UnfitDraft("Enter a circle or GeoJSON, not both.")
    kind = form.get("zone_kind")
    if kind not in KINDS_OF_ZONES:
        raise UnfitDraft("Select what kind of zone it is.")
    buffer_m = _number(form.get("zone_buffer", "").strip() or "0")
    if not 0 <= buffer_m <= MOST_BUFFER_M:
        raise UnfitDraft(f"The warning distance is from 0 to {MOST_BUFFER_M:,.0f} m.")
    rows = form.get("zone_times", "").strip()
    shape = read_zone_text(drawn) if drawn else _disc(circle)
    return DraftZone(ObligationKind(kind), shape, read_timetable_text(rows) if rows else None, buffer_m)


def _disc(circle: list[str]) -> Disc:
    if not all(circle):
        raise UnfitDraft("A circle needs latitude, longitude and radius.")
    lat_deg, lon_deg, radius_m = map(_number, circle)
    if not (-89 < lat_deg < 89 and -179 < lon_deg < 179):
        raise UnfitDraft("Latitude and longitude are in degrees. Check that they are not interchanged.")
    if not 5 <= radius_m <= 50_000:
        raise UnfitDraft("The radius of a drafted circle is from 5 m to 50 km.")
    return Disc((lon_deg, lat_deg), radius_m)
