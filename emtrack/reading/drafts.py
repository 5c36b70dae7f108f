"""What would have been found, had settings, a zone or a timetable been others: past positions judged twice, by the rules and orders
of today and by the draft, by the same judge as findings. Nothing is entered.

It is judged in slices of so many activations, each by `emtrack.reading.apart` as the caller, so that it can be cancelled between two
of them, and what is live goes first. The look is on record before the first slice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from msgspec.structs import replace

from emtrack.errors import MendableError
from emtrack.forms.drafts import Draft, DraftZone
from emtrack.people.looks import CHOSEN, What, record_look
from emtrack.reading.history import EARLIEST_MS
from emtrack.reading.ways import Place, Way, ways_past
from emtrack.record.fact_columns import received_of, said_of
from emtrack.record.plans import Assignment, load_judged
from emtrack.record.zone_sets import ZoneSetCache
from geofence import (
    Activation,
    Disc,
    Interval,
    Kind,
    ObligationKind,
    Plan,
    SetZone,
    Shape,
    datetime_of,
)
from geofence.judgement import Finding, amendments
from geofence.shapes import margins_m, packed
from geofence.sweep import evidence_of, judge_columns

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.people.looks import Looker

DAY_MS = 86_400_000
LONGEST_MS = 31 * DAY_MS
LEAD_MS = DAY_MS
"""Judged from so long before the time that is asked about, and to so long after it: what holds at its edges is known by then."""
MOST_PERSON_DAYS = 25_000
A_SLICE_DAYS = 240
"""So many days of activations are judged in one go: some 350,000 positions at one a minute, a second or less."""
LEAST_PEOPLE = 5
"""Fewer are not counted to anybody."""
MOST_NAMED = 200
NEAR_M = 500.0
MOST_WAYS = 4
WORK_FROM_H, WORK_TO_H = 5, 20


class UnfitTrial(MendableError):
    """What cannot be tried as it was asked for. The message says what to change."""


class Trial(NamedTuple):
    """What is tried, on which time, of whom: one person, a cohort, or (both None) everybody whom the asker sees."""

    draft: Draft
    window: Interval
    wearer_no: int | None = None
    cohort: str | None = None


class Slice(NamedTuple):
    """Activations that are judged in one go. `days`: how many of the window."""

    activation_nos: tuple[int, ...]
    wearer_nos: tuple[int, ...]
    days: float


class Change(NamedTuple):
    """A finding that the draft would bring, or take away. `was`: of one that would begin or end otherwise, as it is today."""

    finding: Finding
    was: Finding | None = None


class Outcome(NamedTuple):
    """Of one activation, findings by kind. `now`, `then`: today and by the draft. `changes`: each of them, of a trial of one person
    only: those of a whole programme would fill the memory, and nobody may read them."""

    wearer_no: int
    positions: int
    now: Counter[str]
    then: Counter[str]
    gained: Counter[str]
    lost: Counter[str]
    changes: list[tuple[str, Change]]


class Home(NamedTuple):
    """A curfew address and a drafted zone. `share`: of the address that lies in the zone. `apart_m`: from edge to edge."""

    requirement_id: str
    share: float
    apart_m: float


class ZoneCheck(NamedTuple):
    """A drafted zone beside the life of one person. Weekdays are those on which there are positions between 5 and 20 o'clock; of
    them `weekdays_in` have one in the zone. Radii of the positions within 500 m of it (`near`), or of all. `ways`: by road from each
    home to each place where the person must be."""

    homes: list[Home]
    weekdays: int
    weekdays_in: int
    near: int
    median_radius_m: float | None
    widest_radius_m: float | None
    ways: list[Way]


PEOPLE = """
SELECT v.activation_no, v.wearer_no, epoch_ms(lower(v.during)) AS from_ms, epoch_ms(upper(v.during)) AS to_ms
FROM activation_versions v
WHERE upper_inf(v.recorded) AND v.during && tstzrange($1, $2) AND v.wearer_no NOT IN (SELECT canary_wearers())
  AND ($3::bigint IS NULL OR v.wearer_no = $3)
  AND ($4::text IS NULL OR v.wearer_no IN (SELECT wearer_no FROM iom_versions WHERE upper_inf(recorded) AND cohort = $4))
ORDER BY v.wearer_no, v.activation_no
"""


def refuse_unfit(trial: Trial, looker: Looker, now_ms: int) -> None:
    """Raises UnfitTrial."""
    begin_ms, end_ms = trial.window
    if end_ms <= begin_ms:
        raise UnfitTrial("The end is not after the beginning. Choose a later end.")
    if begin_ms < EARLIEST_MS or end_ms > now_ms + 60_000:
        raise UnfitTrial("Only a time that is past can be tried. Choose another time.")
    if end_ms - begin_ms > LONGEST_MS:
        raise UnfitTrial("At most 31 days can be tried at a time. Choose a shorter time.")
    if trial.draft == Draft():
        raise UnfitTrial("Change a setting, draft a zone or enter a timetable.")
    if looker.purpose not in CHOSEN:
        raise UnfitTrial(f"A purpose is needed. Say one of {', '.join(CHOSEN)}.")
    timetable = trial.draft.timetable
    if timetable is not None and timetable.requirement_id is not None and trial.wearer_no is None:
        raise UnfitTrial("A requirement is one of a person. Name the person, or leave the requirement out.")


async def look_at_trial(connection: Connection, looker: Looker, trial: Trial, now_ms: int) -> None:
    """A look at the person, or at everybody; committed when this returns. Raises UnfitTrial."""
    refuse_unfit(trial, looker, now_ms)
    await record_look(
        connection, looker, What.WHAT_IF, trial.wearer_no, (trial.window.begin_ms, trial.window.end_ms), now_ms=now_ms
    )


async def slices_of(connection: Connection, trial: Trial) -> list[Slice]:
    """All that is judged, of those whom the session sees. No position is read. Raises UnfitTrial for too much, or too few people."""
    window = trial.window
    rows = await connection.fetch(
        PEOPLE, datetime_of(window.begin_ms), datetime_of(window.end_ms), trial.wearer_no, trial.cohort
    )
    if trial.wearer_no is None and len({row["wearer_no"] for row in rows}) < LEAST_PEOPLE:
        raise UnfitTrial("Fewer than 5 people are among them. Ask about each person by name.")
    slices = list(_slices(rows, window))
    if (days := sum(one.days for one in slices)) > MOST_PERSON_DAYS:
        raise UnfitTrial(
            f"This is {days:,.0f} days of people, and {MOST_PERSON_DAYS:,} can be tried at a time. Choose a shorter time or fewer "
            "people."
        )
    return slices


def _slices(rows: Iterable[Any], window: Interval) -> Iterator[Slice]:
    activations: list[int] = []
    wearers: list[int] = []
    days = 0.0
    for row in rows:
        to_ms = window.end_ms if row["to_ms"] is None else min(window.end_ms, row["to_ms"])
        own_days = (to_ms - max(window.begin_ms, row["from_ms"]) + 2 * LEAD_MS) / DAY_MS
        if activations and days + own_days > A_SLICE_DAYS:
            yield Slice(tuple(activations), tuple(wearers), days)
            activations, wearers, days = [], [], 0.0
        activations.append(row["activation_no"])
        wearers.append(row["wearer_no"])
        days += own_days
    if activations:
        yield Slice(tuple(activations), tuple(wearers), days)


async def slice_outcomes(
    connection: Connection, zone_sets: ZoneSetCache, trial: Trial, part: Slice, now_ms: int
) -> list[Outcome]:
    """Each activation of a slice judged twice. For `emtrack.reading.apart`, after the look."""
    judged = await load_judged(connection, now_ms, sorted(set(part.wearer_nos)))
    assignments = [narrowed(judged[number], trial.window) for number in part.activation_nos if number in judged]
    received = await received_of(connection, assignments)
    events = await said_of(connection, assignments)
    sets = await zone_sets.sets_of(connection, (r for a in assignments for r in a.plan.requirements))
    outcomes = []
    for place, assignment in enumerate(assignments):
        own = received.taken(received.wearer == place)
        plan, said = assignment.plan, events[assignment.activation_no]
        drafted = trial.draft.applied(plan)
        now = judge_columns(plan, own, said, now_ms, sets)
        then = now if drafted == plan else judge_columns(drafted, own, said, now_ms, sets)
        outcomes.append(outcome_of(assignment.wearer_no, len(own.fix_ms), now, then, trial))
    return outcomes


def narrowed(assignment: Assignment, window: Interval) -> Assignment:
    """As if the tag had been worn in the window and a day around it only."""
    plan = assignment.plan
    from_ms = max(plan.activation.from_ms, window.begin_ms - LEAD_MS)
    to_ms = min(plan.activation.to_ms, window.end_ms + LEAD_MS)
    activation: Activation = replace(plan.activation, from_ms=from_ms, to_ms=to_ms)
    if activation.entered_ms is not None:
        activation = replace(activation, entered_ms=max(activation.entered_ms, from_ms))
    narrow: Plan = replace(plan, activation=activation)
    return replace(assignment, plan=narrow)


def outcome_of(
    wearer_no: int, positions: int, now: Sequence[Finding], then: Sequence[Finding], trial: Trial
) -> Outcome:
    """Of findings that begin in the window."""
    window = trial.window
    before, after = ([f for f in some if window.begin_ms <= f.begin_ms < window.end_ms] for some in (now, then))
    found = amendments(list(enumerate(before)), after)
    changes: list[tuple[str, Change]] = []
    if trial.wearer_no is not None:
        changes += [("gained", Change(finding)) for finding in found.new]
        changes += [("lost", Change(before[at])) for at in found.withdrawn]
        changes += [("moved", Change(finding, before[at])) for at, finding in found.amended]
    return Outcome(
        wearer_no, positions, _kinds(before), _kinds(after), _kinds(found.new), _kinds(before[at] for at in found.withdrawn), changes
    )  # fmt: skip


def _kinds(findings: Iterable[Finding]) -> Counter[str]:
    return Counter(str(finding.kind) for finding in findings)


# ------------------------------------------------------------------------------------------ a drafted zone and one life


async def zone_check(
    connection: Connection, zone_sets: ZoneSetCache, trial: Trial, part: Slice, now_ms: int, basemap: Path | None
) -> ZoneCheck:
    """Beside the home and the ways of one person. For `emtrack.reading.apart`, after the look. `basemap`: the file whose roads are
    asked; None: none."""
    del zone_sets
    zone = trial.draft.zone
    assert zone is not None, "it is asked of a drafted zone"
    judged = await load_judged(connection, now_ms, sorted(set(part.wearer_nos)))
    assignments = [narrowed(judged[number], trial.window) for number in part.activation_nos if number in judged]
    positions = evidence_of(await received_of(connection, assignments), now_ms)
    timezone = assignments[0].plan.timezone if assignments else "Europe/London"
    margins = margins_m(packed([zone.shape]), positions.lon_deg, positions.lat_deg)[:, 0]
    weekdays = _days_of(positions.fix_ms, timezone)
    inside = _days_of(positions.fix_ms[margins >= 0], timezone)
    near = positions.radius_m[margins >= -NEAR_M]
    radii = near if len(near) else positions.radius_m
    return ZoneCheck(
        homes_of(assignments, zone, trial.window), len(weekdays), len(inside), len(near),
        float(np.median(radii)) if len(radii) else None, float(np.quantile(radii, 0.9)) if len(radii) else None,
        ways_past(basemap, zone.shape, _places_of(assignments, trial.window)),
    )  # fmt: skip


def _days_of(fix_ms: Any, timezone: str) -> set[int]:
    """Weekdays on which one of the instants lies between 5 and 20 o'clock, as numbers; told by quarters of an hour."""
    zone, days = ZoneInfo(timezone), set()
    for quarter in np.unique(fix_ms // 900_000).tolist():
        moment: datetime = datetime_of(quarter * 900_000).astimezone(zone)
        if moment.weekday() < 5 and WORK_FROM_H <= moment.hour < WORK_TO_H:
            days.add(moment.toordinal())
    return days


def homes_of(assignments: Sequence[Assignment], zone: DraftZone, window: Interval) -> list[Home]:
    """Curfew addresses in force in the window, each once."""
    homes = _shapes_of(assignments, [ObligationKind.CURFEW], window)
    return [_home(requirement_id, shape, zone.shape) for requirement_id, shape in homes]


def _places_of(assignments: Sequence[Assignment], window: Interval) -> list[tuple[Place, Place]]:
    """From each home to each place where the person must be: work, treatment and such."""
    homes = _shapes_of(assignments, [ObligationKind.CURFEW], window)
    duties = _shapes_of(assignments, [ObligationKind.INCLUSION, ObligationKind.ATTENDANCE], window)
    pairs = [
        (Place(home, *_middle(at)), Place(duty, *_middle(there))) for home, at in homes for duty, there in duties
    ]
    return pairs[:MOST_WAYS]


def _shapes_of(
    assignments: Sequence[Assignment], kinds: Sequence[ObligationKind], window: Interval
) -> list[tuple[str, Shape]]:
    """Places of some kinds in force in the window, each once; sets of zones are left out."""
    found = {
        requirement.entry_id: (requirement.requirement_id, requirement.zone)
        for assignment in assignments
        for requirement in assignment.plan.requirements
        if requirement.kind in kinds
        and not isinstance(requirement.zone, SetZone)
        and requirement.from_ms < window.end_ms
        and requirement.to_ms > window.begin_ms
    }
    return list(found.values())


def _home(requirement_id: str, home: Shape, zone: Shape) -> Home:
    lon_deg, lat_deg = _middle(home)
    at_home, drafted = (_on_plane(shape, lon_deg, lat_deg) for shape in (home, zone))
    return Home(requirement_id, at_home.intersection(drafted).area / at_home.area, at_home.distance(drafted))


def _middle(shape: Shape) -> tuple[float, float]:
    return shape.centre if isinstance(shape, Disc) else shape.polygons[0][0][0]


def _on_plane(shape: Shape, lon_deg: float, lat_deg: float) -> Any:
    """In metres around a place."""
    import shapely

    east, north = 111_320.0 * np.cos(np.radians(lat_deg)), 111_320.0
    if isinstance(shape, Disc):
        at = shapely.Point((shape.centre[0] - lon_deg) * east, (shape.centre[1] - lat_deg) * north)
        return at.buffer(shape.radius_m)
    rings = [
        [[((x - lon_deg) * east, (y - lat_deg) * north) for x, y in ring] for ring in part] for part in shape.polygons
    ]
    return shapely.unary_union([shapely.Polygon(part[0], part[1:]) for part in rings])


# ------------------------------------------------------------------------------------------ all of it together


class KindRow(NamedTuple):
    """Findings of one kind. People are counts of 5 and more, or None; findings are counted where people are."""

    kind: str
    people_now: int | None
    people_then: int | None
    people_gained: int | None
    people_lost: int | None
    now: int | None
    then: int | None
    gained: int | None
    lost: int | None


class Total(NamedTuple):
    """Of everybody who was judged. `named`: of one person, what would change, in order of time."""

    people: int
    positions: int
    rows: list[KindRow]
    named: list[tuple[str, Change]]
    left_out: int


def refuse_few(trial: Trial, outcomes: Sequence[Outcome]) -> None:
    """Raises UnfitTrial where so few could be judged that a count would be of them."""
    if trial.wearer_no is None and len({one.wearer_no for one in outcomes}) < LEAST_PEOPLE:
        raise UnfitTrial("Fewer than 5 people could be judged. Ask about each person by name.")


def total_of(outcomes: Sequence[Outcome], *, is_one_person: bool) -> Total:
    """Of many people no count below 5 is given; of one person everything, by name."""
    found = {kind for one in outcomes for kind in (*one.now, *one.then)}
    kinds = sorted(found if is_one_person else map(str, Kind))  # which kinds are not there would tell 0 from 1
    rows = [_row(kind, outcomes, 1 if is_one_person else LEAST_PEOPLE) for kind in kinds]
    named = [change for one in outcomes for change in one.changes] if is_one_person else []
    named.sort(key=lambda pair: pair[1].finding.begin_ms)
    people = len({one.wearer_no for one in outcomes})
    return Total(
        people, sum(one.positions for one in outcomes), rows, named[:MOST_NAMED], max(0, len(named) - MOST_NAMED)
    )


def _row(kind: str, outcomes: Sequence[Outcome], least: int) -> KindRow:
    now = _counted(((one.wearer_no, one.now[kind]) for one in outcomes), least)
    then = _counted(((one.wearer_no, one.then[kind]) for one in outcomes), least)
    gained = _counted(((one.wearer_no, one.gained[kind]) for one in outcomes), least)
    lost = _counted(((one.wearer_no, one.lost[kind]) for one in outcomes), least)
    if least > 1 and _tells_few(now[0], then[0]):
        then = None, None
    if (
        least > 1 and None in (gained[0], lost[0]) and now[1] != then[1]
    ):  # what is held back would follow from the others
        then = then[0], None
    return KindRow(kind, now[0], then[0], gained[0], lost[0], now[1], then[1], gained[1], lost[1])


def _tells_few(now: int | None, then: int | None) -> bool:
    """Whether two counts of people differ by so few that the difference is a count of few."""
    return now is not None and then is not None and 0 < abs(now - then) < LEAST_PEOPLE


def _counted(of_people: Iterable[tuple[int, int]], least: int) -> tuple[int | None, int | None]:
    """How many people have any, and how many all have; neither where these are fewer than `least`."""
    counts: Counter[int] = Counter()
    for wearer_no, count in of_people:
        counts[wearer_no] += count
    people = sum(1 for count in counts.values() if count)
    if least > 1 and people < least:
        return None, None
    return people, counts.total()
