"""Who was near a place, and who was near whom: a purpose first, then those who were, with how sure that is."""

from __future__ import annotations

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emtrack.db.connect import Connection
from emtrack.forms.names import unfit_text
from emtrack.people.looks import (
    CHOSEN,
    LONGEST_REFERENCE,
    PURPOSES,
    Looker,
    What,
    look_at_each,
    look_at_everybody,
    look_at_people,
)
from emtrack.people.roles import READERS, Caller
from emtrack.reading.apart import Patience
from emtrack.reading.near import (
    Answer,
    UnfitQuestion,
    keep,
    look_at_window,
    near_each_other,
    near_place,
    person_near_place,
)
from emtrack.reading.people import wearer_no_of
from emtrack.record.near import (
    LONGEST_TEXT,
    Asked,
    Question,
    Run,
    UnfitAssessment,
    assess,
    last_runs,
    load_run,
    people_of_run,
    results_of,
)
from emtrack.web.form_times import UnfitTimes, read_times
from emtrack.web.guard import Problem, door_of, read_form
from emtrack.web.rendering import NO_STORE, Pages
from emtrack.web.wording import Words
from geofence import Interval
from geofence.nearness import NAMED, Grade, Nearness, Spot

HOUR_MS = 3_600_000
GRADES = {
    Grade.INSIDE: "Certainly inside",
    Grade.PROBABLY: "Probably",
    Grade.NOT_EXCLUDED: "Could not be excluded",
    Grade.ELSEWHERE: "Was elsewhere for certain",
    Grade.NO_DATA: "No data",
}
TOGETHER = GRADES | {Grade.INSIDE: "Certainly near", Grade.ELSEWHERE: "Were apart for certain"}


class Opened(NamedTuple):
    """One of those who are counted, by name."""

    wearer_id: str
    answer: Nearness


class NearPages:
    """/near and /near/…"""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        route = self._pages.route
        return [
            route("/near", self.place, READERS, ["GET", "POST"]),
            route("/near/together", self.together, READERS, ["GET", "POST"]),
            route("/near/{run_no:number}", self.run, READERS),
            route("/near/{run_no:number}/person", self.person, READERS, ["POST"]),
            route("/near/{run_no:number}/results/{result_no:number}", self.assess, READERS, ["POST"]),
        ]

    async def place(self, request: Request, caller: Caller) -> Response:
        """Asks for purpose, place and time; the answer is a run of its own."""
        if request.method == "GET":
            return await self._ask(caller, "near.html", {}, None)
        form = await read_form(request)
        now_ms = self._pages.clock.now_ms()
        try:
            looker = _looker(caller, form)
            async with self._pages.pool.acquire() as connection:
                question = _question_of_place(form, await self._pages.words(connection))
                await look_at_window(connection, looker, question, now_ms)
            answer = await self._pages.judged_apart(caller, Patience.PAGE, near_place, question, now_ms)
            return await self._kept(looker, question, answer, now_ms)
        except (UnfitQuestion, UnfitTimes) as error:
            return await self._ask(caller, "near.html", form, str(error))

    async def together(self, request: Request, caller: Caller) -> Response:
        """The same about people and each other: two, one and anybody, or all of them."""
        if request.method == "GET":
            return await self._ask(caller, "near_together.html", {}, None)
        form = await read_form(request)
        now_ms = self._pages.clock.now_ms()
        try:
            looker = _looker(caller, form)
            async with self._pages.pool.acquire() as connection:
                question, numbers = await _question_of_people(connection, form, await self._pages.words(connection))
                await look_at_window(connection, looker, question, now_ms)
                span = question.window.begin_ms, question.window.end_ms
                await look_at_each(connection, looker, numbers, What.NEAR, span, now_ms)
            answer = await self._pages.judged_apart(caller, Patience.PAGE, near_each_other, question, numbers, now_ms)
            if isinstance(answer, str):
                raise UnfitQuestion(answer)
            return await self._kept(looker, question, answer, now_ms)
        except (UnfitQuestion, UnfitTimes) as error:
            return await self._ask(caller, "near_together.html", form, str(error))

    async def _kept(self, looker: Looker, question: Question, answer: Answer, now_ms: int) -> Response:
        async with self._pages.pool.acquire() as connection:
            number = await keep(connection, looker, question, answer, now_ms)
        return RedirectResponse(f"/near/{number}", 303, NO_STORE)

    async def _ask(self, caller: Caller, template: str, form: dict[str, str], error: str | None) -> Response:
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            runs = await last_runs(connection, caller.name)
        usual = {"begin": now_ms - 2 * HOUR_MS, "end": now_ms}
        chosen = {name: words.field(ms) for name, ms in usual.items()} | {"radius": "100", "purpose": ""} | form
        if not form:  # who has chosen a time, chooses its pass as well
            chosen |= {f"{name}_pass": words.pass_name(ms) for name, ms in usual.items()}
        return self._pages.render(
            template, caller, words, status=422 if error else 200, form=chosen, error=error, runs=runs, purposes=CHOSEN,
            passes={name: words.passes(chosen[name]) for name in usual}, Asked=Asked,
        )  # fmt: skip

    async def run(self, request: Request, caller: Caller) -> Response:
        """Whom it named, each a look again; the others as counts."""
        return await self._run(request, caller)

    async def _run(
        self, request: Request, caller: Caller, error: str | None = None, opened: Opened | None = None
    ) -> Response:
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            run = await _run_or_problem(connection, request.path_params["run_no"])
            looker = Looker(caller.name, str(caller.role), door_of(caller), run.purpose, run.reference)
            await look_at_everybody(connection, looker, What.NEAR, now_ms)
            await look_at_people(connection, looker, await people_of_run(connection, run.run_no), What.NEAR, now_ms)
            results = await results_of(connection, run.run_no)
            words = await self._pages.words(connection)
        return self._pages.render(
            "near_run.html", caller, words, status=422 if error else 200, run=run, results=results, error=error, opened=opened,
            purpose=PURPOSES[run.purpose], grades=GRADES if run.question.spot else TOGETHER, named=NAMED, Grade=Grade,
            may_assess=run.ran_by == caller.name,
        )  # fmt: skip

    async def person(self, request: Request, caller: Caller) -> Response:
        """One of those who are counted: a look at that person, then the grade."""
        form, now_ms = await read_form(request), self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            run = await _run_or_problem(connection, request.path_params["run_no"])
            wearer_id = form.get("wearer", "").strip()
            number = await wearer_no_of(connection, wearer_id)
            if number is not None and run.question.spot is not None:
                looker = Looker(caller.name, str(caller.role), door_of(caller), run.purpose, run.reference)
                span = run.question.window.begin_ms, run.question.window.end_ms
                await look_at_each(connection, looker, [number], What.NEAR, span, now_ms)
        if number is None or run.question.spot is None:
            return await self._run(request, caller, "Enter the id of a person whom you may see.")
        answer = await self._pages.judged_apart(
            caller, Patience.PAGE, person_near_place, run.question, number, now_ms
        )
        return await self._run(request, caller, opened=Opened(wearer_id, answer))

    async def assess(self, request: Request, caller: Caller) -> Response:
        """Relevant or not, and why: who asked says so."""
        form, number = await read_form(request), request.path_params["run_no"]
        why = form.get("why", "").strip()
        try:
            if (trouble := unfit_text(why)) is not None:
                raise UnfitAssessment(f"The reason cannot be kept: {trouble}.")
            if form.get("state") not in ("relevant", "not relevant"):
                raise UnfitAssessment("Select whether it is relevant.")
            async with self._pages.pool.acquire() as connection:
                await _run_or_problem(connection, number)
                await assess(
                    connection, request.path_params["result_no"], form["state"] == "relevant", why, who=caller.name,
                    now_ms=self._pages.clock.now_ms(),
                )  # fmt: skip
        except UnfitAssessment as error:
            return await self._run(request, caller, str(error))
        return RedirectResponse(f"/near/{number}#result-{request.path_params['result_no']}", 303, NO_STORE)


async def _run_or_problem(connection: Connection, number: int) -> Run:
    run = await load_run(connection, number)
    if run is None:
        raise Problem(
            404, "There is no such question, or somebody else asked it. Ask it yourself, with your purpose."
        )
    return run


def _looker(caller: Caller, form: dict[str, str]) -> Looker:
    """Raises UnfitQuestion."""
    if form.get("purpose") not in CHOSEN:
        raise UnfitQuestion("Select a reason.")
    return Looker(
        caller.name, str(caller.role), door_of(caller), form["purpose"], _text(form, "reference", LONGEST_REFERENCE)
    )


def _text(form: dict[str, str], name: str, longest: int) -> str | None:
    text = form.get(name, "").strip()
    if len(text) > longest:
        raise UnfitQuestion(f"A text has at most {longest:,} characters.")
    if (trouble := unfit_text(text)) is not None:
        raise UnfitQuestion(f"A text cannot be kept: {trouble}.")
    return text or None


def _window(form: dict[str, str], words: Words) -> Interval:
    begin_ms, end_ms = read_times(words, form, ("begin", "end"))
    if end_ms <= begin_ms:
        raise UnfitQuestion("The end is not after the beginning. Choose a later end.")
    return Interval(begin_ms, end_ms)


def _metres(form: dict[str, str]) -> float:
    return _number(form, "radius", "Enter the radius in metres, such as 100.")


def _number(form: dict[str, str], name: str, advice: str) -> float:
    try:
        return float(form.get(name, "").strip())
    except ValueError:
        raise UnfitQuestion(advice) from None


def _question_of_place(form: dict[str, str], words: Words) -> Question:
    advice = "Enter {} in degrees, such as {}."
    lat_deg = _number(form, "lat", advice.format("the latitude", "53.0102"))
    lon_deg = _number(form, "lon", advice.format("the longitude", "-2.1797"))
    near_m = _metres(form)
    label = _text(form, "label", LONGEST_TEXT)
    return Question(Asked.PLACE, _window(form, words), near_m, Spot(lon_deg, lat_deg, near_m), label)


async def _question_of_people(
    connection: Connection, form: dict[str, str], words: Words
) -> tuple[Question, list[int]]:
    """Who is not named is anybody."""
    numbers = []
    for wearer_id in (form.get("one", "").strip(), form.get("other", "").strip()):
        if wearer_id:
            number = await wearer_no_of(connection, wearer_id)
            if number is None:
                raise UnfitQuestion(f"There is nobody with the id {wearer_id[:60]!r} whom you may see.")
            numbers.append(number)
    if len(set(numbers)) < len(numbers):
        raise UnfitQuestion("Enter two different people.")
    asked = (Asked.EVERYBODY, Asked.PERSON, Asked.PAIR)[len(numbers)]
    return Question(asked, _window(form, words), _metres(form), label=_text(form, "label", LONGEST_TEXT)), numbers
