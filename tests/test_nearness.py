"""Who was near: the probability against other ways to find it, the grades at their borders, and who may be cleared unseen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from geofence import Interval, Mechanism, Position
from geofence.nearness import (
    NAMED,
    RULES,
    Grade,
    Nearness,
    Spot,
    Trail,
    distances_m,
    evident,
    graded,
    graded_all,
    graded_together,
    probability_within,
    sigma_of,
    trail_of,
)
from geofence.nearness.grading import _between, _by_person, _seen, _without_sight
from geofence.shapes.kernels_near import at_least, at_most, cosine_near

GEOD = Geod(ellps="WGS84")
LON, LAT = -2.18, 53.01
SPOT = Spot(LON, LAT, 100.0)
MINUTE = 60_000
WINDOW = Interval(60 * MINUTE, 120 * MINUTE)


def trail(*fixes: tuple[float, float, float]) -> Trail:
    """(minute, metres north of the spot, radius), in the order of time."""
    lats = [GEOD.fwd(LON, LAT, 0.0, metres)[1] for _, metres, _ in fixes]
    return Trail(
        np.array([round(minute * MINUTE) for minute, _, _ in fixes], np.int64),
        np.full(len(fixes), LON),
        np.array(lats, np.float64),
        np.array([radius for _, _, radius in fixes], np.float64),
        np.arange(len(fixes), dtype=np.int64),
    )


def grade_of(*fixes: tuple[float, float, float]) -> Grade:
    return graded(SPOT, WINDOW, trail(*fixes)).grade


# ---------------------------------------------------------------------------------------------- the probability


def by_series(distance_m: float, radius_m: float, within_m: float) -> float:
    """1 - Q1 as a sum: a noncentral chi-square is a Poisson mixture of central ones."""
    sigma = radius_m / math.sqrt(-2 * math.log(0.05))
    a, b = (distance_m / sigma) ** 2 / 2, (within_m / sigma) ** 2 / 2
    total, poisson = 0.0, math.exp(-a)
    term = math.exp(-b)
    outside = term
    for k in range(400):
        total += poisson * (1 - outside)
        poisson *= a / (k + 1)
        term *= b / (k + 1)
        outside += term
    return total


@pytest.mark.parametrize("distance_m", [0.0, 20.0, 80.0, 100.0, 130.0, 250.0])
@pytest.mark.parametrize("radius_m", [30.0, 60.0, 200.0, 900.0])
def test_the_probability_is_the_series_of_marcums_q(distance_m: float, radius_m: float) -> None:
    found = probability_within([distance_m], [radius_m], 100.0)[0]
    assert found == pytest.approx(by_series(distance_m, radius_m, 100.0), abs=2e-6)


@pytest.mark.parametrize(("distance_m", "radius_m"), [(0, 100), (90, 20), (99, 4), (150, 90), (400, 700)])
def test_the_probability_is_what_a_million_throws_say(distance_m: float, radius_m: float) -> None:
    chance = np.random.default_rng(16)
    thrown = chance.normal(size=(1_000_000, 2)) * sigma_of(radius_m) + (distance_m, 0)
    frequency = (np.hypot(*thrown.T) <= 100).mean()
    assert probability_within([distance_m], [radius_m], 100.0)[0] == pytest.approx(frequency, abs=0.002)


def test_a_circle_on_its_own_radius_holds_95_in_100() -> None:
    assert probability_within([0.0], [100.0], 100.0)[0] == pytest.approx(0.95, abs=1e-6)


@given(st.floats(0, 3_000), st.floats(0.5, 2_000), st.floats(5, 2_000), st.floats(1.001, 3))
@settings(max_examples=300, deadline=None)
def test_nearer_is_likelier_and_so_is_a_larger_place(d: float, r: float, within: float, more: float) -> None:
    p = probability_within([d], [r], within)[0]
    assert 0 <= p <= 1
    assert probability_within([d * more], [r], within)[0] <= p + 1e-6
    assert probability_within([d], [r], within * more)[0] >= p - 1e-6


@given(st.floats(-5, 2), st.floats(50, 60), st.floats(-0.4, 0.4), st.floats(-0.4, 0.4))
def test_distances_are_those_of_the_ellipsoid(lon: float, lat: float, east: float, north: float) -> None:
    exact = GEOD.inv(lon, lat, lon + east, lat + north)[2]
    assert distances_m(lon, lat, lon + east, lat + north) == pytest.approx(exact, rel=2e-4, abs=0.01)


@given(st.floats(-7, 2), st.floats(50, 60), st.floats(-7, 2), st.floats(50, 60))
def test_far_distances_are_within_a_hundredth(lon_a: float, lat_a: float, lon_b: float, lat_b: float) -> None:
    exact = GEOD.inv(lon_a, lat_a, lon_b, lat_b)[2]
    assert distances_m(lon_a, lat_a, lon_b, lat_b) == pytest.approx(exact, rel=0.01, abs=0.01)


# ---------------------------------------------------------------------------------------------- grades


def test_a_whole_circle_in_the_place_is_inside_and_half_of_one_is_probable() -> None:
    assert grade_of((50, 90, 6), (90, 90, 6), (130, 90, 6)) is Grade.INSIDE
    assert grade_of((50, 97, 6), (90, 97, 6), (130, 97, 6)) is Grade.PROBABLY
    assert grade_of((89, 5_000, 6), (90, 101, 6), (91, 5_000, 6)) is Grade.NOT_EXCLUDED


def test_a_circle_as_large_as_the_place_is_not_certain() -> None:
    """It lies whole in the place, and one in twenty true places does not."""
    answer = graded(SPOT, WINDOW, trail((90, 0, 100)))
    assert (answer.grade, round(answer.probability, 3)) == (Grade.PROBABLY, 0.95)


def test_a_mobile_network_position_over_the_place_excludes_nothing() -> None:
    answer = graded(SPOT, WINDOW, trail((59, 20_000, 6), (90, 300, 1_000), (121, 20_000, 6)))
    assert answer.grade is Grade.NOT_EXCLUDED
    assert 0 < answer.probability < 0.1


def test_the_time_begins_with_its_first_instant_and_ends_before_its_last() -> None:
    far = [(60 - 1, 4_000.0, 6.0), (121, 4_000.0, 6.0)]
    for minute, expected in ((60, Grade.INSIDE), (119.99, Grade.INSIDE), (120, Grade.NOT_EXCLUDED)):
        fixes = sorted([*far, (float(minute), 0.0, 6.0)])
        assert grade_of(*fixes) in (
            {expected} if expected is Grade.INSIDE else NAMED | {Grade.NO_DATA} - {Grade.INSIDE}
        )


def test_who_was_ten_kilometres_away_each_two_minutes_was_elsewhere() -> None:
    answer = graded(SPOT, WINDOW, trail(*[(minute, 10_000, 6) for minute in range(50, 131, 2)]))
    assert answer.grade is Grade.ELSEWHERE
    assert answer.distance_m == pytest.approx(10_000, rel=1e-3)


def test_a_gap_in_which_there_was_time_is_no_data_and_a_short_one_excludes_nothing() -> None:
    """10 km at 40 m/s take 250 s each way."""
    steps = [float(minute) for minute in range(50, 131, 2)]

    def without(first: int, last: int) -> Trail:
        return trail(*[(minute, 10_000, 6) for minute in steps if not first < minute < last])

    assert graded(SPOT, WINDOW, without(80, 88)).grade is Grade.ELSEWHERE  # 480 s
    assert graded(SPOT, WINDOW, without(80, 90)).grade is Grade.NOT_EXCLUDED  # 600 s
    answer = graded(SPOT, WINDOW, without(80, 100))
    assert answer.grade is Grade.NO_DATA
    assert answer.gap == Interval(80 * MINUTE, 100 * MINUTE)
    assert answer.possible is not None
    assert answer.possible.begin_ms > 84 * MINUTE
    assert answer.possible.end_ms < 96 * MINUTE


def test_nothing_at_all_is_no_data_and_so_is_what_was_heard_hours_before() -> None:
    assert graded(SPOT, WINDOW, trail()).grade is Grade.NO_DATA
    assert grade_of((1, 10_000, 6)) is Grade.NO_DATA


def test_one_position_far_away_a_moment_before_and_after_is_enough() -> None:
    short = Interval(60 * MINUTE, 61 * MINUTE)
    assert graded(SPOT, short, trail((59, 300_000, 6))).grade is Grade.ELSEWHERE
    assert graded(SPOT, short, trail((62, 300_000, 6))).grade is Grade.ELSEWHERE


def test_who_was_faster_than_the_limit_is_not_cleared_on_the_way() -> None:
    """A train at 60 m/s passes the place between two positions 5 minutes apart."""
    answer = grade_of((58, 9_000, 10), (63, -9_000, 10), *[(m, -90_000.0, 10.0) for m in range(90, 125, 5)])
    assert answer is Grade.NOT_EXCLUDED


def position(minute: float, north_m: float, **more: object) -> Position:
    lat = float(GEOD.fwd(LON, LAT, 0.0, north_m)[1])
    at_ms = round(minute * MINUTE)
    fields = {"precision_m": 6.0, "mechanism": Mechanism.GPS} | more
    return Position(at_ms, lat, LON, fields["precision_m"], fields["mechanism"], at_ms, 7)  # type: ignore[arg-type]


def test_a_jump_a_conflict_and_zero_zero_are_no_evidence() -> None:
    walk = [position(minute, 30_000) for minute in range(50, 131)]
    jump = position(90.5, 0)
    assert graded(SPOT, WINDOW, trail_of([sorted([*walk, jump], key=lambda p: p.key)])).grade is Grade.ELSEWHERE
    nowhere = position(90.5, 0)
    nowhere = Position(nowhere.fix_ms, 0.0, 0.0, 6.0, Mechanism.GPS, nowhere.fix_ms, 7)
    kept = trail_of([sorted([*walk, nowhere], key=lambda p: p.key)])
    assert len(kept.fix_ms) == len(walk)
    conflict = position(90, 0, precision_m=9.0)
    assert len(trail_of([sorted([*walk, conflict], key=lambda p: p.key)]).fix_ms) == len(walk)


def test_what_is_told_to_be_evidence_at_once_is_evidence_one_by_one() -> None:
    chance = np.random.default_rng(5)
    for _ in range(200):
        way = np.cumsum(chance.normal(0, 300, 30)) + np.where(chance.random(30) < 0.03, 9_000, 0)
        positions = [position(minute, metres) for minute, metres in enumerate(way)]
        one = trail(*[(minute, metres, 6.0) for minute, metres in enumerate(way)])
        if evident(np.zeros(30, np.int64), one)[0]:
            assert len(trail_of([positions]).fix_ms) == 30


def test_a_precision_that_is_not_known_is_that_of_the_mechanism() -> None:
    positions = [position(90, 0, precision_m=None, mechanism=Mechanism.LBS)]
    assert trail_of([positions]).radius_m.tolist() == [1_000.0]
    assert graded(SPOT, WINDOW, trail_of([positions])).grade is Grade.NOT_EXCLUDED


def test_positions_of_two_devices_of_a_person_are_taken_together() -> None:
    one = [position(minute, 30_000) for minute in range(50, 131, 40)]
    other = [position(minute, 30_000) for minute in range(50, 131, 5)]
    assert graded(SPOT, WINDOW, trail_of([one])).grade is Grade.NO_DATA
    assert graded(SPOT, WINDOW, trail_of([one, other])).grade is Grade.ELSEWHERE


# ---------------------------------------------------------------------------------------------- true ways


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_nobody_who_was_there_was_elsewhere_for_certain(seed: int) -> None:
    """A true way that passes the place at up to 30 m/s, seen with errors as they are said to be, with gaps."""
    chance = np.random.default_rng(seed)
    minutes = np.sort(chance.choice(np.arange(40, 140), chance.integers(2, 60), replace=False)).astype(float)
    there = chance.uniform(61, 119)
    speed_m_min = chance.uniform(0, 30) * 60
    true_m = np.minimum(np.abs(minutes - there) * speed_m_min, 60_000)
    radius = chance.choice([6.0, 30.0, 500.0], len(minutes))
    seen = chance.normal(size=len(minutes)) * sigma_of(radius) * 0.999 + true_m
    answer = graded(SPOT, WINDOW, trail(*zip(minutes, seen, radius, strict=True)))
    assert answer.grade is not Grade.ELSEWHERE


def somebody(chance: np.random.Generator) -> Trail:
    """Anybody: near or far, at rest or fast, with gaps, or with nothing at all."""
    minutes = np.sort(chance.choice(np.arange(40, 140), chance.integers(0, 40), replace=False)).astype(float)
    way = np.cumsum(chance.normal(0, chance.choice([5, 100, 3_000]), len(minutes))) + chance.choice(
        [0, 500, 9_000, 80_000]
    )
    return trail(*zip(minutes, way, chance.choice([6.0, 40.0, 800.0], len(minutes)), strict=True))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_many_people_in_one_go_are_graded_as_each_by_itself(seed: int) -> None:
    chance = np.random.default_rng(seed)
    people = [somebody(chance) for _ in range(chance.integers(1, 7))]
    first = np.cumsum([0, *(len(one.fix_ms) for one in people)])
    together = graded_all(SPOT, WINDOW, first, Trail(*(np.concatenate(parts) for parts in zip(*people, strict=True))))
    for begin, one, answer in zip(first, people, together, strict=False):
        moved = answer._replace(at=None if answer.at is None else answer.at - int(begin))
        assert moved == graded(SPOT, WINDOW, one)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_time_to_go_there_is_found_as_by_trying_each_second(seed: int) -> None:
    """The plain way: at each second of the window, can they have been there?"""
    chance = np.random.default_rng(seed)
    one = somebody(chance)
    answer = graded(SPOT, WINDOW, one)
    away = distances_m(LON, LAT, one.lon_deg, one.lat_deg) * 0.99 - 2 * one.radius_m - 100
    speeds = [70.0]
    for k in range(len(one.fix_ms) - 1):
        apart = GEOD.inv(one.lon_deg[k], one.lat_deg[k], one.lon_deg[k + 1], one.lat_deg[k + 1])[2]
        went = (apart - 2 * (one.radius_m[k] + one.radius_m[k + 1])) / ((one.fix_ms[k + 1] - one.fix_ms[k]) / 1000)
        speeds.append(40.0 if went <= 40 else max(went, 70.0))
    speeds.append(70.0)

    def possible(at_ms: int) -> bool:
        k = int(np.searchsorted(one.fix_ms, at_ms, "right"))
        before = k == 0 or max(away[k - 1], 0) / speeds[k] * 1000 <= at_ms - one.fix_ms[k - 1] + 1
        after = k == len(one.fix_ms) or max(away[k], 0) / speeds[k] * 1000 <= one.fix_ms[k] - at_ms + 1
        return bool(before and after)

    some = any(possible(at_ms) for at_ms in range(WINDOW.begin_ms, WINDOW.end_ms, 1_000))
    if some:
        assert answer.grade is not Grade.ELSEWHERE
    elif (
        answer.grade in (Grade.NOT_EXCLUDED, Grade.NO_DATA)
        and answer.probability == 0
        and answer.possible is not None
    ):
        assert answer.possible.end_ms - answer.possible.begin_ms < 2_000


# ---------------------------------------------------------------------------------------------- what is left out


@given(st.floats(0, 6_000), st.floats(0.5, 3_000), st.floats(5, 5_000))
@settings(max_examples=500)
def test_the_bounds_of_the_probability_hold(distance_m: float, radius_m: float, within_m: float) -> None:
    sigma = float(sigma_of(radius_m))
    chance = float(probability_within(distance_m, radius_m, within_m)[0])
    assert at_least(distance_m, sigma, within_m) <= chance <= at_most(distance_m, sigma, within_m)


@given(st.floats(-85, 85), st.floats(-3, 3))
def test_the_cosine_beside_a_known_one_is_the_cosine(lat_deg: float, north_deg: float) -> None:
    here = math.radians(lat_deg)
    found = cosine_near(math.cos(here), math.sin(here), lat_deg, lat_deg + north_deg)
    assert found == pytest.approx(math.cos(math.radians(lat_deg + north_deg / 2)), rel=1e-13)


def unscreened(spot: Spot, one: Trail) -> Nearness:
    """With every position weighed and every gap looked at."""
    first, owner = np.array([0, len(one.fix_ms)]), np.zeros(len(one.fix_ms), np.int64)
    inside = np.flatnonzero((one.fix_ms >= WINDOW.begin_ms) & (one.fix_ms < WINDOW.end_ms))
    seen = _by_person(_seen(spot, inside, owner, one, RULES), 1)[0]
    if seen.grade in NAMED:
        return seen
    between = _between(spot, WINDOW, first, np.arange(len(one.fix_ms)), owner, one, RULES)
    return _without_sight(seen, between.get(0))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=400, deadline=None)
def test_what_is_screened_out_would_not_have_counted(seed: int) -> None:
    chance = np.random.default_rng(seed)
    spot = Spot(LON, LAT, float(chance.choice([20.0, 100.0, 2_000.0])))
    one = somebody(chance)
    if len(one.fix_ms) > 3 and chance.random() < 0.3:  # at rest, where many positions say nearly the same
        one = one._replace(lat_deg=np.full(len(one.fix_ms), LAT + chance.choice([0, 0.0009, 0.02])))
    assert graded(spot, WINDOW, one) == unscreened(spot, one)


# ---------------------------------------------------------------------------------------------- together


def test_two_who_walk_together_were_together_and_two_in_two_towns_were_not() -> None:
    one = trail(*[(minute, minute * 50.0, 6.0) for minute in range(60, 120)])
    beside = trail(*[(minute + 0.2, minute * 50.0 + 10, 6.0) for minute in range(60, 120)])
    away = trail(*[(minute + 0.2, minute * 50.0 + 30_000, 6.0) for minute in range(60, 120)])
    answer = graded_together(one, beside, WINDOW, 100.0)
    assert (answer.grade, answer.pairs) == (Grade.INSIDE, 60)
    assert graded_together(beside, one, WINDOW, 100.0).grade is Grade.INSIDE
    assert graded_together(one, away, WINDOW, 100.0).grade is Grade.ELSEWHERE
    assert graded_together(one, trail(), WINDOW, 100.0).grade is Grade.NO_DATA
    assert graded_together(one, trail((90, 4_500, 900)), WINDOW, 100.0).grade is Grade.NOT_EXCLUDED


def test_the_rules_have_a_version() -> None:
    assert RULES.version == 1
