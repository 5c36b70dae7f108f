"""What if? Trials of changed settings, a drafted zone or timetable, over HTTP: begun, asked for, and called off."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import asyncpg
import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.clock import Clock
from emtrack.forms.drafts import (
    LONGEST_ZONE,
    MOST_BUFFER_M,
    Draft,
    DraftSettings,
    DraftTimetable,
    DraftZone,
    UnfitDraft,
    read_timetable_text,
    read_zone_text,
)
from emtrack.people.looks import What, look_at_everybody, look_at_people
from emtrack.people.roles import PLANNERS, Caller
from emtrack.reading.drafts import Trial, UnfitTrial, ZoneCheck, look_at_trial, slices_of, total_of
from emtrack.reading.people import person_of, wearer_no_of
from emtrack.record.draft_runs import StoredRun, draft_run
from emtrack.web.api.operation import Body, Content, IdInAddress, Instant, Number, Operation, Parameter, served
from emtrack.web.draft_runs import DraftRun, DraftRuns, RunState
from emtrack.web.guard import LARGEST_FORM, Problem, answer, looker_of, read_instant, read_json_body
from geofence import Disc, Interval, ObligationKind, Shape, format_instant

ZONE_KINDS = Literal["EXCLUSION", "INCLUSION", "CURFEW"]
Timetable = Annotated[str, Meta(max_length=4_000, description="Lines such as DAILY 21:00-06:00")]


class CircleForm(msgspec.Struct, forbid_unknown_fields=True):
    lat_deg: Annotated[float, Meta(gt=-89, lt=89)]
    lon_deg: Annotated[float, Meta(gt=-179, lt=179)]
    radius_m: Annotated[float, Meta(ge=5, le=50_000)]


class ZoneForm(msgspec.Struct, forbid_unknown_fields=True):
    """A zone that nobody has entered: a circle, or a geometry of GeoJSON. `timetable` left out: always."""

    kind: ZONE_KINDS = "EXCLUSION"
    circle: CircleForm | None = None
    geometry: dict[str, Any] | None = None
    timetable: Timetable | None = None
    buffer_m: Annotated[float, Meta(ge=0, le=MOST_BUFFER_M)] = 0.0


class TimetableForm(msgspec.Struct, forbid_unknown_fields=True):
    """`requirement_id` left out: of every curfew."""

    rows: Timetable
    requirement_id: IdInAddress | None = None


class TrialForm(msgspec.Struct, forbid_unknown_fields=True, rename={"from_": "from"}):
    """What is tried (at least one of `settings`, `zone`, `timetable`), over which time, and of whom: exactly one of `wearer_id`,
    `cohort` and `everybody`."""

    from_: Instant
    to: Instant
    wearer_id: IdInAddress | None = None
    cohort: Literal["FIXED", "FLEX", "FREE"] | None = None
    everybody: bool = False
    settings: DraftSettings | None = None
    zone: ZoneForm | None = None
    timetable: TimetableForm | None = None


class KindAnswer(msgspec.Struct, frozen=True):
    """Findings of one kind, today's and as tried. Null: fewer than 5 people, or what would tell of fewer than 5."""

    kind: str
    people_now: int | None
    people_then: int | None
    people_gained: int | None
    people_lost: int | None
    now: int | None
    then: int | None
    gained: int | None
    lost: int | None


class ChangeAnswer(msgspec.Struct, frozen=True):
    """Of one person: a finding that is gained, lost or moved."""

    what: str
    kind: str
    requirement_id: str | None
    begin: Instant
    end: Instant | None


class WayAnswer(msgspec.Struct, frozen=True):
    """By road from a home to a place of duty: CLEAR of the zone; through it, with OTHER ways or the ONLY one; UNKNOWN: no roads
    on the map. Metres are about so many."""

    from_requirement: str
    to_requirement: str
    passes: str
    shortest_m: float | None
    around_m: float | None


class HomeAnswer(msgspec.Struct, frozen=True):
    """`share`: of the address that lies in the drafted zone."""

    requirement_id: str
    share: float
    apart_m: float


class ZoneAnswer(msgspec.Struct, frozen=True):
    """A drafted zone beside one person. Of the weekdays with positions `weekdays_in` have one in the zone. Radii: of those near."""

    homes: list[HomeAnswer]
    ways: list[WayAnswer]
    weekdays: int
    weekdays_in: int
    median_radius_m: float | None
    widest_radius_m: float | None


class TrialAnswer(msgspec.Struct, frozen=True):
    """`state`: running, done, cancelled, failed (`trouble` says why), or unknown, where the service ended before it was judged.
    `percent`: how far it is. `changes`, `zone`: of one person, for an hour; `left_out`: how many more changes there are."""

    run_no: int
    state: str
    percent: int
    trouble: str | None = None
    people: int | None = None
    positions: int | None = None
    kinds: list[KindAnswer] = []
    changes: list[ChangeAnswer] = []
    left_out: int = 0
    zone: ZoneAnswer | None = None


RUN = Parameter("run_no", Number, "Number of the trial", "path")
BEGIN = Operation(
    "tryDraft", "POST", "/v1/what-if",
    "Begin to judge past positions with changed settings, a drafted zone or timetable. The purpose (header Purpose) is one that "
    "somebody chooses. Nothing is entered into orders; who tried what is on record. One trial of a caller at a time.",
    {202: Content(TrialAnswer, "It has begun")}, PLANNERS, body=Body(TrialForm), refusals=(404,),
)  # fmt: skip
READ = Operation(
    "readTrial", "GET", "/v1/what-if/{run_no:number}",
    "How far a trial of the caller is, and what came of it; that is a look again. Counts stay on record, changes for an hour.",
    {200: Content(TrialAnswer, "The trial")}, PLANNERS, (RUN,), refusals=(404,),
)  # fmt: skip
CANCEL = Operation(
    "cancelTrial", "POST", "/v1/what-if/{run_no:number}/cancel",
    "Call a trial of the caller off; the slice that is judged is the last.",
    {200: Content(TrialAnswer, "The trial")}, PLANNERS, (RUN,), refusals=(404,),
)  # fmt: skip


class WhatIfRoutes:
    """Everything under /v1/what-if. `runs`: those of the pages, too."""

    def __init__(self, pool: asyncpg.Pool[Any], clock: Clock, runs: DraftRuns) -> None:
        self._pool = pool
        self._clock = clock
        self._runs = runs

    def routes(self) -> list[Route]:
        pairs = [(BEGIN, self.begin), (READ, self.read), (CANCEL, self.cancel)]
        return [served(self._pool, operation, endpoint) for operation, endpoint in pairs]

    async def begin(self, request: Request, caller: Caller) -> Response:
        try:
            form = msgspec.convert(await read_json_body(request, LARGEST_FORM), TrialForm)
        except msgspec.ValidationError as error:
            raise Problem(422, f"{error}; expected from, to, whom, and what is tried") from error
        looker, now_ms = looker_of(caller), self._clock.now_ms()
        try:
            self._runs.refuse_another(caller)
            draft = _draft(form)
            async with self._pool.acquire() as connection:
                trial = await _trial(connection, form, draft)
                await look_at_trial(connection, looker, trial, now_ms)
                slices = await slices_of(connection, trial)
            run = await self._runs.begin(caller, looker, trial, slices)
        except (UnfitTrial, UnfitDraft) as error:
            raise Problem(422, str(error)) from error
        return answer(_of_run(run), 202)

    async def read(self, request: Request, caller: Caller) -> Response:
        number, now_ms = request.path_params["run_no"], self._clock.now_ms()
        run = self._runs.of(caller, number)
        async with self._pool.acquire() as connection:
            stored = await draft_run(connection, caller.name, number)
            if stored is None:  # of somebody who is not shown any more, too
                raise Problem(404, "there is no such trial of yours")
            told = _of_stored(stored) if run is None else _of_run(run)
            if told.kinds:
                looker = looker_of(caller)._replace(purpose=stored.purpose, reference=stored.reference)
                if stored.tried.wearer_no is None:
                    await look_at_everybody(connection, looker, What.WHAT_IF, now_ms)
                else:
                    await look_at_people(connection, looker, [stored.tried.wearer_no], What.WHAT_IF, now_ms)
        return answer(told)

    async def cancel(self, request: Request, caller: Caller) -> Response:
        run = self._runs.of(caller, request.path_params["run_no"])
        if run is None:
            raise Problem(404, "there is no trial of yours that is being judged under this number")
        self._runs.cancel(run)
        return answer(_of_run(run)) if run.state is not RunState.DONE else await self.read(request, caller)


def _draft(form: TrialForm) -> Draft:
    """Raises UnfitDraft or Problem."""
    settings = None if form.settings in (None, DraftSettings()) else form.settings
    timetable = None
    if form.timetable is not None:
        timetable = DraftTimetable(read_timetable_text(form.timetable.rows), form.timetable.requirement_id)
    draft = Draft(settings, None if form.zone is None else _zone(form.zone), timetable)
    if draft == Draft():
        raise Problem(422, "nothing is tried; give settings, zone or timetable")
    return draft


def _zone(form: ZoneForm) -> DraftZone:
    """Raises UnfitDraft or Problem."""
    if (form.circle is None) is (form.geometry is None):
        raise Problem(422, "a zone is a circle or a geometry; give one of the two")
    if form.circle is not None:
        circle = form.circle
        shape: Shape = Disc((circle.lon_deg, circle.lat_deg), circle.radius_m)
    else:
        text = msgspec.json.encode(form.geometry).decode()
        if len(text) > LONGEST_ZONE:
            raise Problem(422, f"the geometry has {len(text):,} characters; at most {LONGEST_ZONE:,} are taken")
        shape = read_zone_text(text)
    rows = None if form.timetable is None else read_timetable_text(form.timetable)
    return DraftZone(ObligationKind(form.kind), shape, rows, form.buffer_m)


async def _trial(connection: Any, form: TrialForm, draft: Draft) -> Trial:
    """Raises Problem."""
    begin_ms, end_ms = read_instant(form.from_), read_instant(form.to)
    if begin_ms is None or end_ms is None or end_ms <= begin_ms:
        raise Problem(422, "from and to are instants with a zone, to after from; correct them")
    if sum((form.wearer_id is not None, form.cohort is not None, form.everybody)) != 1:
        raise Problem(422, "say of whom: exactly one of wearer_id, cohort and everybody")
    if form.wearer_id is None:
        return Trial(draft, Interval(begin_ms, end_ms), cohort=form.cohort)
    number = await wearer_no_of(connection, form.wearer_id)
    if number is None or await person_of(connection, number) is None:
        raise Problem(404, f"there is no wearer {form.wearer_id[:60]!r}")
    return Trial(draft, Interval(begin_ms, end_ms), wearer_no=number)


def _of_run(run: DraftRun) -> TrialAnswer:
    percent = int(run.share * 100)
    if run.state is not RunState.DONE:
        return TrialAnswer(run.run_no, str(run.state), percent, run.trouble or None)
    is_one = run.trial.wearer_no is not None
    total = total_of(run.outcomes, is_one_person=is_one)
    changes = [
        ChangeAnswer(
            what,
            str(change.finding.kind),
            change.finding.requirement_id,
            format_instant(change.finding.begin_ms),
            None if change.finding.end_ms is None else format_instant(change.finding.end_ms),
        )
        for what, change in total.named
    ]
    kinds = [KindAnswer(**row._asdict()) for row in total.rows]
    return TrialAnswer(
        run.run_no,
        "done",
        100,
        None,
        total.people,
        total.positions,
        kinds,
        changes,
        total.left_out,
        _zone_of(run.check),
    )


def _zone_of(check: ZoneCheck | None) -> ZoneAnswer | None:
    if check is None:
        return None
    return ZoneAnswer(
        [HomeAnswer(**home._asdict()) for home in check.homes],
        [WayAnswer(w.from_name, w.to_name, str(w.passes), w.shortest_m, w.around_m) for w in check.ways],
        check.weekdays, check.weekdays_in, check.median_radius_m, check.widest_radius_m,
    )  # fmt: skip


def _of_stored(stored: StoredRun) -> TrialAnswer:
    ended = stored.ended
    if ended is None:
        return TrialAnswer(stored.run_no, "unknown", 0, "the service ended before it was judged; try it again")
    kinds = [KindAnswer(**row) for row in ended.kinds]
    percent = 100 if ended.state == "done" else 0
    return TrialAnswer(stored.run_no, ended.state, percent, ended.trouble, ended.people, ended.positions, kinds)
