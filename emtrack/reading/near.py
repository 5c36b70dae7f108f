"""Who was near a place, and who was near whom.

Two steps, so that a hundred million stored positions answer at once. One minute of each five has an index of its own
(`positions_sampled`): people who cannot have been there by those alone are done with. All positions of the others are read by device
and graded (docs/near.md). The look at everybody comes before the question; the looks at those whom it names before anybody sees them.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emtrack.db.connect import Connection
from emtrack.errors import MendableError
from emtrack.people.looks import Looker, What, look_at_each, record_look
from emtrack.reading.history import EARLIEST_MS
from emtrack.record.deployment_settings import load_settings
from emtrack.record.near import Asked, Named, Question, store_run
from emtrack.record.zone_sets import ZoneSetCache
from geofence import DEFAULT_RADIUS_M, FOREVER_MS, Interval, Mechanism, Position, datetime_of
from geofence.nearness import (
    MAX_MPS,
    NAMED,
    RULES,
    Grade,
    Nearness,
    NearRules,
    Spot,
    Trail,
    evident,
    graded,
    graded_all,
    graded_together,
    joined,
    trail_of,
)
from geofence.shapes import Int64s

if TYPE_CHECKING:
    import asyncpg

LONGEST_MS = 12 * 3_600_000
SMALLEST_M, LARGEST_M = 5.0, 5_000.0
SLOT_S = 300
"""Of each, the first minute is sampled."""
WITHOUT_ONE_S = 660
"""So long there is no sample at most, if there is one in each slot and any one of them, which may be a jump, is left out."""
LARGEST_CIRCLE_M = 2_500.0
AROUND_MS = 15 * 60_000
FAR_AROUND_MS = 6 * 3_600_000
"""For people of whom nothing is known there: since when, and until when."""
MOST_TOGETHER = 300
"""So many people may be set beside each other, each with each."""


class UnfitQuestion(MendableError):
    """What cannot be asked. The message says what to change."""


class Answer(NamedTuple):
    """Whom a question names, and how many came under which grade. `rules`: by which it was graded."""

    named: list[Named]
    counts: dict[Grade, int]
    rules: NearRules


class Worn(NamedTuple):
    """A device while it is a wearer's. `tells_places`: it has positions at all."""

    device_no: int
    wearer_no: int
    begin_ms: int
    end_ms: int
    tells_places: bool


WORN = """
SELECT v.device_no, v.wearer_no, epoch_ms(lower(v.during)) AS begin_ms, epoch_ms(upper(v.during)) AS end_ms,
       'POSITION' = ANY (v.evidence) AS tells_places
FROM activation_versions v
WHERE upper_inf(v.recorded) AND v.during && tstzrange($1, $2) AND v.wearer_no NOT IN (SELECT canary_wearers())
  AND ($3::bigint[] IS NULL OR v.wearer_no = ANY ($3))
"""
# Sorting and hashing the samples of hours takes more than the 4 MB that a session has, and would go by way of the disk.
ROOMY = "SELECT set_config('work_mem', '64MB', false)"
# Devices whose samples all lie outside of a box, with one in each of $4 slots of 5 minutes from slot $3 on. Slots are bits of a
# number: to count different ones costs three times as much. More than 60 take three numbers.
SAMPLES_OF = """-- of which a statement is made
SELECT device_no FROM (
    SELECT device_no, (date_part('epoch', fix_time - '1970-01-01 00:00:00+00'::timestamptz)::bigint / 300 - $3::bigint)::int AS slot,
           (lat_deg < $5 OR lat_deg > $6 OR lon_deg < $7 OR lon_deg > $8) AND coalesce(precision_m, 0) <= $9 AS is_far
    FROM positions WHERE fix_time >= $1 AND fix_time < $2
      AND date_part('epoch', fix_time - '1970-01-01 00:00:00+00'::timestamptz)::bigint % 300 < 60) sampled
GROUP BY device_no
"""
FAR_AWAY = f"{SAMPLES_OF} HAVING bool_and(is_far) AND bit_count(bit_or(1::bigint << slot)::bit(64)) = $4"
FAR_AWAY_LONG = f"""{SAMPLES_OF}
HAVING bool_and(is_far) AND bit_count(
    (coalesce(bit_or(1::bigint << slot) FILTER (WHERE slot < 60), 0))::bit(64)
    || (coalesce(bit_or(1::bigint << (slot - 60)) FILTER (WHERE slot >= 60 AND slot < 120), 0))::bit(64)
    || (coalesce(bit_or(1::bigint << (slot - 120)) FILTER (WHERE slot >= 120), 0))::bit(64)) = $4
"""
# As arrays: a row for each position costs four times as much on the way.
COLUMNS = """
SELECT array_agg(device_no) AS device, array_agg(date_part('epoch', fix_time)) AS fix_s, array_agg(lon_deg) AS lon_deg,
       array_agg(lat_deg) AS lat_deg, array_agg(fact_id) AS fact_id,
       array_agg(CASE WHEN precision_m > 0 THEN precision_m WHEN mechanism = 'GPS' THEN $4::float8
                 WHEN mechanism = 'LBS' THEN $5::float8 WHEN mechanism = 'WIFI' THEN $6::float8 ELSE $7::float8 END) AS radius_m
FROM positions WHERE device_no = ANY ($1::bigint[]) AND fix_time >= $2 AND fix_time < $3
"""
USUAL_RADII_M = [DEFAULT_RADIUS_M[kind] for kind in (Mechanism.GPS, Mechanism.LBS, Mechanism.WIFI, Mechanism.RF)]
ROWS = """
SELECT device_no, fact_id, epoch_ms(fix_time) AS fix_ms, lat_deg, lon_deg, precision_m, mechanism,
       epoch_ms(received_at) AS received_ms
FROM positions WHERE device_no = ANY ($1::bigint[]) AND fix_time >= $2 AND fix_time < $3
"""


def refuse_unfit(question: Question, now_ms: int) -> None:
    """Raises UnfitQuestion."""
    begin, end = question.window.begin_ms, question.window.end_ms
    if end <= begin:
        raise UnfitQuestion("The end is not after the beginning. Choose a later end.")
    if end - begin > LONGEST_MS:
        raise UnfitQuestion("At most 12 hours can be asked about at a time. Choose a shorter time.")
    if begin < EARLIEST_MS or end > now_ms + 3_600_000:
        raise UnfitQuestion("The time lies in the future, or before 1990. Choose another time.")
    if not SMALLEST_M <= question.near_m <= LARGEST_M:
        raise UnfitQuestion("The radius is from 5 m to 5,000 m. Choose another radius.")
    if question.spot is not None and not (-89 < question.spot.lat_deg < 89 and -179 < question.spot.lon_deg < 179):
        raise UnfitQuestion("Latitude and longitude are in degrees. Check that they are not interchanged.")


async def look_at_window(connection: Connection, looker: Looker, question: Question, now_ms: int) -> None:
    """The look at everybody, before the question is put. Raises UnfitQuestion."""
    refuse_unfit(question, now_ms)
    span = question.window.begin_ms, question.window.end_ms
    await record_look(connection, looker, What.NEAR, None, span, now_ms=now_ms)


async def keep(connection: Connection, looker: Looker, question: Question, answer: Answer, now_ms: int) -> int:
    """Looks at those who are named, committed; then the run with its results. Its number."""
    numbers = {n.wearer_no for n in answer.named} | {n.other_wearer_no for n in answer.named if n.other_wearer_no}
    span = question.window.begin_ms, question.window.end_ms
    await look_at_each(connection, looker, numbers, What.NEAR, span, now_ms)
    async with connection.transaction():
        return await store_run(connection, looker, question, answer.named, answer.counts, answer.rules, now_ms)


async def near_place(connection: Connection, zone_sets: ZoneSetCache, question: Question, now_ms: int) -> Answer:
    """Everybody whom the asker sees, graded. For `emtrack.reading.apart`, after `look_at_window`."""
    del zone_sets
    assert question.spot is not None, "it is about a place"
    rules = await rules_now(connection, now_ms)
    worn = await _worn(connection, question.window, None)
    telling = [one for one in worn if one.tells_places]
    far = await _far_away(connection, question.spot, question.window)
    open_ = _open_people(telling, question.window, far)
    known = await _trails(connection, telling, open_, question.window, AROUND_MS)
    answers = _graded(known, question, rules)
    unheard = {number for number, (answer, _) in answers.items() if answer.grade is Grade.NO_DATA}
    answers |= _graded(await _trails(connection, telling, unheard, question.window, FAR_AROUND_MS), question, rules)
    return _answer(answers, {one.wearer_no for one in worn}, {one.wearer_no for one in telling}, rules)


async def person_near_place(
    connection: Connection, zone_sets: ZoneSetCache, question: Question, wearer_no: int, now_ms: int
) -> Nearness:
    """One of those who are counted, by name: after a look at that person."""
    del zone_sets
    assert question.spot is not None, "it is about a place"
    rules = await rules_now(connection, now_ms)
    worn = [one for one in await _worn(connection, question.window, [wearer_no]) if one.tells_places]
    known = await _trails(connection, worn, {wearer_no}, question.window, FAR_AROUND_MS)
    return graded(question.spot, question.window, known.trail, rules)


async def rules_now(connection: Connection, now_ms: int) -> NearRules:
    """With the gap after which positions no longer hold, as it is set."""
    _, settings = await load_settings(connection, now_ms)
    return RULES._replace(max_gap_ms=settings.max_gap_ms)


async def _worn(connection: Connection, window: Interval, numbers: Sequence[int] | None) -> list[Worn]:
    rows = await connection.fetch(WORN, datetime_of(window.begin_ms), datetime_of(window.end_ms), numbers)
    return [
        Worn(
            row["device_no"], row["wearer_no"], row["begin_ms"], FOREVER_MS if row["end_ms"] is None else row["end_ms"],
            row["tells_places"],
        )
        for row in rows
    ]  # fmt: skip


async def _far_away(connection: Connection, spot: Spot, window: Interval) -> set[int]:
    """Devices that were elsewhere for certain by their samples alone: with one in each slot of the window and two beyond on each
    side, so far from the place that nobody gets there and back, at the speed of evidence, while one is left out."""
    first = window.begin_ms // 1000 // SLOT_S - 2
    slots = window.end_ms // 1000 // SLOT_S + 2 - first + 1
    far_m = (MAX_MPS * WITHOUT_ONE_S / 2 + 2 * LARGEST_CIRCLE_M + spot.radius_m) / 0.99
    north_deg = far_m / 110_500
    east_deg = far_m / (111_300 * math.cos(math.radians(min(89.0, abs(spot.lat_deg) + north_deg))))
    await connection.fetchval(ROOMY)
    begin, end = datetime_of(first * SLOT_S * 1000), datetime_of((first + slots) * SLOT_S * 1000)
    rows = await connection.fetch(
        FAR_AWAY if slots <= 60 else FAR_AWAY_LONG, begin, end, first, slots,
        spot.lat_deg - north_deg, spot.lat_deg + north_deg, spot.lon_deg - east_deg, spot.lon_deg + east_deg, LARGEST_CIRCLE_M,
    )  # fmt: skip
    return {row["device_no"] for row in rows}


def _open_people(telling: Iterable[Worn], window: Interval, away: set[int]) -> set[int]:
    """Who wears a device that is not cleared, or wore one for a part of the time only."""
    return {
        one.wearer_no
        for one in telling
        if one.device_no not in away or one.begin_ms > window.begin_ms or one.end_ms < window.end_ms
    }


class Known(NamedTuple):
    """Evidence of some people: of person `people[k]` the positions `first[k]:first[k + 1]` of the trail."""

    people: list[int]
    first: Int64s
    trail: Trail

    def of(self, place: int) -> Trail:
        return self.trail.taken(slice(int(self.first[place]), int(self.first[place + 1])))


async def _trails(
    connection: Connection, worn: Sequence[Worn], numbers: set[int], window: Interval, around_ms: int
) -> Known:
    """Evidence around a time; of somebody without positions none. Of most, who wear one device all the time, it can be told at
    once that all positions are evidence; the others are looked at one by one."""
    span = Interval(window.begin_ms - around_ms, window.end_ms + around_ms)
    of_person: dict[int, list[Worn]] = defaultdict(list)
    for one in worn:
        if one.wearer_no in numbers:
            of_person[one.wearer_no].append(one)
    plain = {
        wearings[0].device_no: number
        for number, wearings in of_person.items()
        if len(wearings) == 1 and wearings[0].begin_ms <= span.begin_ms and wearings[0].end_ms >= span.end_ms
    }
    device, trail = await _columns(connection, plain, span)
    names, counts = np.unique(device, return_counts=True)
    is_evident = evident(device, trail)
    kept = trail.taken(np.repeat(is_evident, counts))
    people = [plain[name] for name in names[is_evident].tolist()]
    sizes = counts[is_evident].tolist()
    others = {number: of_person[number] for number in sorted(numbers - set(people))}
    one_by_one = await _one_by_one(connection, others, span)
    whole = joined([kept, *one_by_one.values()])
    sizes += [len(part.fix_ms) for part in one_by_one.values()]
    return Known([*people, *one_by_one], np.cumsum([0, *sizes]), whole)


async def _columns(connection: Connection, devices: Iterable[int], span: Interval) -> tuple[Int64s, Trail]:
    """All positions of devices, by device and time."""
    row = await connection.fetchrow(
        COLUMNS, sorted(devices), datetime_of(span.begin_ms), datetime_of(span.end_ms), *USUAL_RADII_M
    )
    if row is None or row["device"] is None:
        nothing, none = np.empty(0, np.int64), np.empty(0, np.float64)
        return nothing, Trail(nothing, none, none, none, nothing)
    device = np.array(row["device"], np.int64)
    fix_ms = np.round(np.array(row["fix_s"], np.float64) * 1000).astype(np.int64)
    order = np.lexsort((fix_ms, device))
    lon, lat, radius = (np.array(row[name], np.float64)[order] for name in ("lon_deg", "lat_deg", "radius_m"))
    return device[order], Trail(fix_ms[order], lon, lat, radius, np.array(row["fact_id"], np.int64)[order])


async def _one_by_one(
    connection: Connection, people: Mapping[int, Sequence[Worn]], span: Interval
) -> dict[int, Trail]:
    devices = sorted({one.device_no for wearings in people.values() for one in wearings})
    sent: dict[int, list[Position]] = defaultdict(list)
    if devices:
        for row in await connection.fetch(ROWS, devices, datetime_of(span.begin_ms), datetime_of(span.end_ms)):
            sent[row["device_no"]].append(_position(row))
    for positions in sent.values():
        positions.sort(key=lambda position: position.key)
    return {
        number: trail_of(
            [p for p in sent[one.device_no] if one.begin_ms <= p.fix_ms < one.end_ms] for one in wearings
        )
        for number, wearings in people.items()
    }


def _position(row: asyncpg.Record) -> Position:
    return Position(
        row["fix_ms"], row["lat_deg"], row["lon_deg"], row["precision_m"], Mechanism(row["mechanism"]), row["received_ms"],
        row["fact_id"],
    )  # fmt: skip


def _graded(known: Known, question: Question, rules: NearRules) -> dict[int, tuple[Nearness, Trail]]:
    assert question.spot is not None, "it is about a place"
    answers = graded_all(question.spot, question.window, known.first, known.trail, rules)
    return {number: (answer, known.trail) for number, answer in zip(known.people, answers, strict=True)}


def _answer(
    answers: Mapping[int, tuple[Nearness, Trail]], everybody: set[int], telling: set[int], rules: NearRules
) -> Answer:
    """Who has no positions at all is of those of whom there is no data."""
    counts = Counter(answer.grade for answer, _ in answers.values())
    counts[Grade.ELSEWHERE] += len(telling) - len(answers)
    counts[Grade.NO_DATA] += len(everybody) - len(telling)
    named = [_named(number, *found) for number, found in answers.items() if found[0].grade in NAMED]
    return Answer(named, dict(counts), rules)


def _named(wearer_no: int, answer: Nearness, trail: Trail) -> Named:
    at = answer.at
    if at is None:
        return Named(wearer_no, answer.grade, answer.probability, possible=answer.possible)
    return Named(
        wearer_no, answer.grade, answer.probability, int(trail.fact_id[at]), int(trail.fix_ms[at]), answer.distance_m,
        float(trail.radius_m[at]), answer.possible,
    )  # fmt: skip


async def near_each_other(
    connection: Connection, zone_sets: ZoneSetCache, question: Question, numbers: Sequence[int], now_ms: int
) -> Answer | str:
    """Pairs of people. Of a pair both are given; of one person that one; of everybody nobody. For `emtrack.reading.apart`. A
    text: what to change, where there are more people than can be set beside each other."""
    del zone_sets
    rules = await rules_now(connection, now_ms)
    worn = await _worn(connection, question.window, numbers if question.asked is Asked.PAIR else None)
    telling = [one for one in worn if one.tells_places]
    people = {one.wearer_no for one in telling} | set(numbers)
    if question.asked is Asked.EVERYBODY and len(people) > MOST_TOGETHER:
        return f"{len(people):,} people are too many to set beside each other. Ask for one person."
    known = await _trails(connection, telling, people, question.window, 0)
    trails = {number: known.of(place) for place, number in enumerate(known.people)}
    counts: Counter[Grade] = Counter()
    named = []
    for one, other in _pairs(question.asked, numbers, people):
        answer = graded_together(trails[one], trails[other], question.window, question.near_m, rules)
        counts[answer.grade] += 1
        if answer.grade in NAMED:
            at = answer.ours
            when = (
                None
                if answer.first_ms is None or answer.last_ms is None
                else Interval(answer.first_ms, answer.last_ms + 1)
            )
            named.append(
                Named(
                    one, answer.grade, answer.probability, None if at is None else int(trails[one].fact_id[at]),
                    None if at is None else int(trails[one].fix_ms[at]), answer.distance_m, answer.radius_m, when, other,
                )
            )  # fmt: skip
    return Answer(named, dict(counts), rules)


def _pairs(asked: Asked, numbers: Sequence[int], people: set[int]) -> Iterator[tuple[int, int]]:
    if asked is Asked.EVERYBODY:
        yield from combinations(sorted(people), 2)
    elif asked is Asked.PAIR:
        yield numbers[0], numbers[1]
    else:
        yield from ((numbers[0], other) for other in sorted(people - {numbers[0]}))
