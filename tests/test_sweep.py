"""A sweep over many wearers finds what the judgement finds of each, whatever the batches."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofence.facts import Position
from geofence.judgement.judge import judge_history
from geofence.obligations import Activation, JudgementSettings, Plan, Requirement, TimetableRow
from geofence.shapes.geojson import zone_from_geojson
from geofence.sweep.duties import Duties, duties_of
from geofence.sweep.following import BATCH, Positions, Sweep
from geofence.words import FOREVER_MS, Kind, Mechanism, ObligationKind, parse_instant
from geofence.zones import Disc, SetZone
from tests.test_geometry import box, polygon

ORDINARY = settings(max_examples=80, derandomize=True, deadline=None, print_blob=True)
START_MS = parse_instant("2026-03-02T16:00:00Z")
HOUR_MS = 3_600_000
SQUARE = zone_from_geojson(polygon(box(-2.186, 52.9964, -2.174, 53.0036)))
HOLED = zone_from_geojson(polygon(box(-2.189, 52.9946, -2.171, 53.0054), box(-2.1836, 52.9978, -2.1764, 53.0022)))
CIRCLES = np.array([(-2.195, 53.01), (-2.165, 52.99), (-2.18, 53.0), (-2.192, 53.0)])
NIGHT = (TimetableRow(0, 19 * 60, 22 * 60), TimetableRow(0, 23 * 60, 23 * 60 + 30))


def requirement(number: int, kind: ObligationKind, zone, **more) -> Requirement:
    name = f"R{number}"
    return Requirement(name, name, "W", kind, START_MS - 24 * HOUR_MS, FOREVER_MS, zone, **more)


def plan(name: str, points: int = 2, span_ms: int = 0) -> Plan:
    confirm = {"confirm_points": points, "confirm_ms": span_ms}
    return Plan(
        Activation(name, name, name, START_MS - 24 * HOUR_MS),
        (
            requirement(1, ObligationKind.EXCLUSION, Disc((-2.18, 53.0), 300.0), **confirm),
            requirement(2, ObligationKind.CURFEW, SQUARE, timetable=NIGHT, **confirm),
            requirement(3, ObligationKind.INCLUSION, HOLED, **confirm),
            requirement(4, ObligationKind.EXCLUSION, SQUARE, widen_m=150.0, timetable=NIGHT, **confirm),
        ),
    )


@st.composite
def walks(draw) -> list[Position]:
    return wandered(draw(st.integers(0, 10**6)), draw(st.integers(0, 60)))


def wandered(seed: int, count: int) -> list[Position]:
    """A walk about the zones, with gaps, radii of all sizes, and now and then two positions at one instant."""
    rng = np.random.default_rng(seed)
    at_ms, facts, place = START_MS, [], np.array([-2.18, 53.0])
    for _ in range(count):
        at_ms += int(
            rng.choice([60_000, 120_000, 300_000, 900_000, 900_001, 2_400_000], p=[0.5, 0.1, 0.2, 0.1, 0.05, 0.05])
        )
        place = np.clip(place + rng.normal(size=2) * (0.004, 0.0024), (-2.2, 52.98), (-2.16, 53.02))
        mechanisms = (Mechanism.GPS, Mechanism.WIFI) if rng.random() < 0.1 else (Mechanism.GPS,)
        if rng.random() < 0.3:  # one of a few circles, again and again
            mechanisms, place = (Mechanism.LBS,), CIRCLES[rng.integers(len(CIRCLES))]
        for mechanism in mechanisms:
            radius_m = float(rng.choice([3.0, 15.0, 60.0, 400.0], p=[0.5, 0.3, 0.1, 0.1]))
            facts.append(Position(at_ms, float(place[1]), float(place[0]), radius_m, mechanism, at_ms))
    return facts


def judged(one: Plan, facts: list[Position], now_ms: int) -> list[tuple]:
    kinds = {Kind.EXCLUSION, Kind.CURFEW, Kind.INCLUSION}
    return sorted(
        (f.requirement_id, f.begin_ms, FOREVER_MS if f.end_ms is None else f.end_ms, f.known_ms, f.period_ms)
        for f in judge_history(one, facts, now_ms)
        if f.kind in kinds
    )


def positions_of(walked: list[list[Position]]) -> Positions:
    rows = [(who, fact) for who, facts in enumerate(walked) for fact in facts]
    rows.sort(key=lambda row: row[1].fix_ms)
    return Positions(
        np.array([who for who, _ in rows], np.int32),
        np.array([fact.lon_deg for _, fact in rows], np.float64),
        np.array([fact.lat_deg for _, fact in rows], np.float64),
        np.array([fact.radius_m for _, fact in rows], np.float64),
        np.array([fact.fix_ms for _, fact in rows], np.int64),
        np.array([fact.mechanism is Mechanism.LBS for _, fact in rows], np.bool_),
    )


def swept(
    duties: Duties, positions: Positions, now_ms: int, cuts: list[int], buffer_rows: int = 1 << 14
) -> np.ndarray:
    sweep = Sweep(duties, buffer_rows=buffer_rows)
    ends = [0, *sorted(cut for cut in cuts if cut < len(positions.wearer)), len(positions.wearer)]
    parts = [sweep.feed(positions.part(a, b)) for a, b in pairwise(ends)]
    return np.concatenate([*parts, sweep.finish(now_ms)])[:, :5]


@given(
    st.lists(walks(), min_size=1, max_size=4), st.integers(1, 3), st.sampled_from([0, 60_000]),
    st.lists(st.integers(0, 100), max_size=3), st.sampled_from([1, 1 << 14]),
)  # fmt: skip
@ORDINARY
def test_a_sweep_finds_what_the_judgement_finds(walked, points, span_ms, cuts, buffer_rows):
    plans = [plan(f"W{i}", points, span_ms) for i in range(len(walked))]
    now_ms = START_MS + 10 * HOUR_MS
    walked = [[fact for fact in facts if fact.fix_ms <= now_ms] for facts in walked]
    rows = swept(duties_of(plans, now_ms), positions_of(walked), now_ms, cuts, buffer_rows)
    for who, (one, facts) in enumerate(zip(plans, walked, strict=True)):
        mine = rows[(rows[:, 0] >= 4 * who) & (rows[:, 0] < 4 * who + 4)]
        got = sorted((f"R{int(zone) - 4 * who + 1}", *(int(value) for value in rest)) for zone, *rest in mine)
        assert got == judged(one, facts, now_ms)


def test_a_sweep_of_several_batches_is_one_sweep():
    one = plan("W0")
    now_ms = START_MS + 400 * 24 * HOUR_MS
    count = BATCH + 1_000
    rng = np.random.default_rng(5)
    place = np.cumsum(rng.normal(size=(count, 2)) * (0.0004, 0.00024), axis=0)
    place = (-2.18, 53.0) + 0.008 * np.sin(place * 300)
    facts = [
        Position(START_MS + 60_000 * i, float(lat), float(lon), 8.0, Mechanism.GPS, START_MS + 60_000 * i)
        for i, (lon, lat) in enumerate(place)
    ]
    rows = swept(duties_of([one], now_ms), positions_of([facts]), now_ms, [])
    got = sorted((f"R{int(zone) + 1}", *(int(value) for value in rest)) for zone, *rest in rows)
    assert got == judged(one, facts, now_ms)
    assert len(got) > 100


def test_a_position_that_comes_before_the_last_is_refused():
    facts = [Position(START_MS + at, 53.0, -2.18, 5.0, Mechanism.GPS, START_MS + at) for at in (60_000, 0)]
    positions = positions_of([facts])
    backward = Positions(*(column[::-1].copy() for column in positions))
    with pytest.raises(ValueError, match="sort by time"):
        Sweep(duties_of([plan("W0")], START_MS)).feed(backward)


def test_a_sweep_says_what_it_does_not_know():
    shared = requirement(1, ObligationKind.EXCLUSION, SetZone("schools", "1", "abc"))
    with pytest.raises(ValueError, match="shared zone sets"):
        duties_of([msgspec.structs.replace(plan("W"), requirements=(shared,))], START_MS)
    many = tuple(requirement(i, ObligationKind.EXCLUSION, SQUARE) for i in range(65))
    with pytest.raises(ValueError, match="at most 64"):
        duties_of([msgspec.structs.replace(plan("W"), requirements=many)], START_MS)
    other = msgspec.structs.replace(plan("X"), settings=JudgementSettings(max_gap_ms=1))
    with pytest.raises(ValueError, match="one max_gap"):
        duties_of([plan("W"), other], START_MS)
