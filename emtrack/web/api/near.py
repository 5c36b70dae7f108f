"""Who was near a place, over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

import asyncpg
import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.clock import Clock
from emtrack.forms.names import unfit_text
from emtrack.people.roles import READERS, Caller
from emtrack.reading.apart import Judges, Patience
from emtrack.reading.near import UnfitQuestion, keep, look_at_window, near_place
from emtrack.record.near import Asked, Question, Result, load_run, results_of
from emtrack.web.api.operation import Body, Content, Instant, Operation, served
from emtrack.web.guard import LARGEST_FORM, Problem, answer, asked, looker_of, read_instant, read_json_body
from geofence import Interval, format_instant
from geofence.nearness import Grade, Spot


class NearForm(msgspec.Struct, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A place and a time of at most 12 hours."""

    lat_deg: Annotated[float, Meta(gt=-89, lt=89)]
    lon_deg: Annotated[float, Meta(gt=-179, lt=179)]
    from_: Instant
    to: Instant
    radius_m: Annotated[float, Meta(ge=5, le=5000)] = 100.0
    label: Annotated[str, Meta(max_length=1000)] | None = None


class PersonAnswer(msgspec.Struct, frozen=True):
    """Somebody who is named, and on what that rests: a position in the time, or time to go there between two. `authenticated` false:
    nothing but an identifier stands behind it, or behind a position around that time."""

    result_no: int
    wearer_id: str
    name: str | None
    grade: Grade
    probability: float
    fix_time: Instant | None
    distance_m: float | None
    fix_radius_m: float | None
    possible_from: Instant | None
    possible_to: Instant | None
    authenticated: bool


class NearAnswer(msgspec.Struct, frozen=True):
    """`counts`: everybody by grade; those who are not named stay counts."""

    run_no: int
    counts: dict[str, int]
    people: list[PersonAnswer]
    rules: dict[str, float]


NEAR = Operation(
    "whoWasNear", "POST", "/v1/near",
    "Who was near a place in a time, graded: INSIDE, PROBABLY, NOT_EXCLUDED are named, ELSEWHERE and NO_DATA counted. Question and "
    "answer are kept; a person must assess each result. One question of a caller at a time.",
    {200: Content(NearAnswer, "The likeliest first")},
    READERS,
    body=Body(NearForm),
    refusals=(429,),
)  # fmt: skip


def near_routes(pool: asyncpg.Pool[Any], clock: Clock, judges: Judges) -> list[Route]:
    """POST /v1/near."""

    async def near(request: Request, caller: Caller) -> Response:
        try:
            form = msgspec.convert(await read_json_body(request, LARGEST_FORM), NearForm)
        except msgspec.ValidationError as error:
            raise Problem(422, f"{error}; expected lat_deg, lon_deg, from, to and radius_m") from error
        question, looker, now_ms = _question(form), looker_of(caller), clock.now_ms()
        try:
            async with pool.acquire() as connection:  # given back before the question: the look is committed by then
                await look_at_window(connection, looker, question, now_ms)
        except UnfitQuestion as error:
            raise Problem(422, str(error)) from error
        found = await asked(judges, caller, Patience.PROGRAM, near_place, question, now_ms)
        async with pool.acquire() as connection:
            number = await keep(connection, looker, question, found, now_ms)
            run = await load_run(connection, number)
            results = await results_of(connection, number)
        assert run is not None, "it was stored just now, by this caller"
        return answer(NearAnswer(number, run.counts, [_person(one) for one in results], run.rules))

    return [served(pool, NEAR, near)]


def _question(form: NearForm) -> Question:
    begin_ms, end_ms = read_instant(form.from_), read_instant(form.to)
    if begin_ms is None or end_ms is None or end_ms <= begin_ms:
        raise Problem(422, "from and to are instants with a zone, to after from; correct them")
    if form.label is not None and (trouble := unfit_text(form.label)) is not None:
        raise Problem(422, f"the label cannot be kept: {trouble}")
    spot = Spot(form.lon_deg, form.lat_deg, form.radius_m)
    return Question(Asked.PLACE, Interval(begin_ms, end_ms), form.radius_m, spot, form.label)


def _person(result: Result) -> PersonAnswer:
    named = result.named
    possible = named.possible
    return PersonAnswer(
        result_no=result.result_no,
        wearer_id=result.wearer_id,
        name=result.name,
        grade=named.grade,
        probability=named.probability,
        fix_time=None if named.fix_ms is None else format_instant(named.fix_ms),
        distance_m=named.distance_m,
        fix_radius_m=named.fix_radius_m,
        possible_from=None if possible is None else format_instant(possible.begin_ms),
        possible_to=None if possible is None else format_instant(possible.end_ms),
        authenticated=result.is_authenticated,
    )
