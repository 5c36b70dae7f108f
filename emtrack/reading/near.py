"""Who was near a place, and who was near whom.

Two steps, so that a hundred million stored positions answer at once. Hours that are over are packed, a row for each device, with
bounds of where it was: people who cannot have been there by those bounds alone are done with. Of what is not packed yet one minute of
each five has an index of its own (`positions_sampled`), which does the same. All positions of the others are read, packed or as they
are stored, and graded (docs/near.md). The look at everybody comes before the question; the looks at those whom it names before
anybody sees them.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emtrack.db.connect import Connection
from emtrack.errors import MendableError
from emtrack.people.looks import Looker, What, enter_look, enter_look_at_each, refuse_transaction
from emtrack.reading.history import EARLIEST_MS
from emtrack.record.deployment_settings import load_settings
from emtrack.record.near import Asked, Named, Question, store_run
from emtrack.record.packed_positions import PackedSpan, bodies_in, heads_in, packed_span, trail_in
from emtrack.record.position_columns import in_order, positions_of
from emtrack.record.zone_sets import ZoneSetCache
from geofence import FOREVER_MS, Interval, Mechanism, Position, datetime_of
from geofence.nearness import (
    HEAD,
    HOUR_MS,
    MAX_MPS,
    NAMED,
    RULES,
    Grade,
    Heads,
    Nearness,
    NearRules,
    Spot,
    Togetherness,
    Trail,
    Unpacked,
    away_devices,
    evident,
    graded,
    graded_all,
    graded_together,
    joined,
    trail_of,
)
from geofence.shapes import Bools, Int64s

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


NO_HEADS: Heads = np.empty(0, HEAD)


class UnfitQuestion(MendableError):
    """What cannot be asked. The message says what to change."""


class Answer(NamedTuple):
    """Whom a question names, and how many came under which grade. `rules`: by which it was graded."""

    named: list[Named]
    counts: dict[Grade, int]
    rules: NearRules


class Worn(NamedTuple):
    """A device while it is a wearer's."""

    device_no: int
    wearer_no: int
    begin_ms: int
    end_ms: int


class AllWorn(NamedTuple):
    """Of very many: arrays of one length. `tells_places`: whether it has positions at all."""

    device_no: Int64s
    wearer_no: Int64s
    begin_ms: Int64s
    end_ms: Int64s
    tells_places: Bools

    def telling(self) -> AllWorn:
        return self._taken(self.tells_places)

    def during(self, window: Interval) -> AllWorn:
        return self._taken((self.begin_ms < window.end_ms) & (self.end_ms > window.begin_ms))

    def _taken(self, which: Bools) -> AllWorn:
        return AllWorn(*(column[which] for column in self))  # type: ignore[arg-type]

    def of_people(self, numbers: set[int]) -> list[Worn]:
        chosen = np.isin(self.wearer_no, np.array(sorted(numbers), np.int64))
        columns = (column[chosen].tolist() for column in self[:4])
        return [Worn(*one) for one in zip(*columns, strict=True)]

    def people(self) -> set[int]:
        return set(self.wearer_no.tolist())


# As arrays: a row for each costs five times as much on the way.
WORN = """
SELECT array_agg(v.device_no) AS device_no, array_agg(v.wearer_no) AS wearer_no, array_agg(epoch_ms(lower(v.during))) AS begin_ms,
       array_agg(coalesce(epoch_ms(upper(v.during)), $4::bigint)) AS end_ms, array_agg('POSITION' = ANY (v.evidence)) AS tells_places
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
# Of positions that are one at an instant of their device.
FACTS = """
SELECT t.device_no, epoch_ms(t.fix_time) AS fix_ms, p.fact_id
FROM unnest($1::bigint[], $2::timestamptz[]) AS t (device_no, fix_time)
JOIN positions p ON p.device_no = t.device_no AND p.fix_time = t.fix_time
WHERE p.fix_time >= $3 AND p.fix_time < $4
"""
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
    """The look at everybody, committed before the question is put. Raises UnfitQuestion."""
    await look_at_windows(connection, looker, [question], now_ms)


async def look_at_windows(connection: Connection, looker: Looker, questions: Sequence[Question], now_ms: int) -> None:
    """A look at everybody for each question; committed together, before any is put. Raises UnfitQuestion."""
    for question in questions:
        refuse_unfit(question, now_ms)
    refuse_transaction(connection)
    async with connection.transaction():
        for question in questions:
            span = question.window.begin_ms, question.window.end_ms
            await enter_look(connection, looker, What.NEAR, None, span, now_ms=now_ms)


async def keep(connection: Connection, looker: Looker, question: Question, answer: Answer, now_ms: int) -> int:
    """Looks at those who are named, committed; then the run with its results. Its number."""
    return (await keep_all(connection, looker, [(question, answer)], now_ms))[0]


async def keep_all(
    connection: Connection, looker: Looker, answered: Sequence[tuple[Question, Answer]], now_ms: int
) -> list[int]:
    """The same of some: all looks, committed; then all runs. Their numbers."""
    refuse_transaction(connection)
    async with connection.transaction():
        for question, answer in answered:
            others = {named.other_wearer_no for named in answer.named if named.other_wearer_no is not None}
            numbers = {named.wearer_no for named in answer.named} | others
            span = question.window.begin_ms, question.window.end_ms
            await enter_look_at_each(connection, looker, numbers, What.NEAR, span, now_ms)
    async with connection.transaction():
        return [
            await store_run(connection, looker, question, answer.named, answer.counts, answer.rules, now_ms)
            for question, answer in answered
        ]


async def near_place(connection: Connection, zone_sets: ZoneSetCache, question: Question, now_ms: int) -> Answer:
    """Everybody whom the asker sees, graded. For `emtrack.reading.apart`, after `look_at_window`."""
    del zone_sets
    return await _near_place(connection, await _frame_of(connection, question.window, now_ms), question)


async def near_places(connection: Connection, questions: Sequence[Question], now_ms: int) -> list[Answer]:
    """The same of some questions, at least one, that are not far from each other in time, in one snapshot: what all of them ask for
    is read once."""
    windows = [question.window for question in questions]
    whole = Interval(min(window.begin_ms for window in windows), max(window.end_ms for window in windows))
    frame = await _frame_of(connection, whole, now_ms)
    return [await _near_place(connection, frame, question) for question in questions]


class Frame(NamedTuple):
    """What every question about a time asks for, whatever the place: who wears what, what is packed (as far around as anybody is
    read) and the heads of the hours that are."""

    rules: NearRules
    worn: AllWorn
    packed: PackedSpan
    heads: Heads


async def _frame_of(connection: Connection, window: Interval, now_ms: int) -> Frame:
    packed = await _packed_around(connection, window, FAR_AROUND_MS)
    before = Interval(window.begin_ms - HOUR_MS, window.end_ms)
    heads = await heads_in(connection, before) if packed.part(before).hours_ms else NO_HEADS
    return Frame(await rules_now(connection, now_ms), await _worn(connection, window, None), packed, heads)


async def _near_place(connection: Connection, frame: Frame, question: Question) -> Answer:
    assert question.spot is not None, "it is about a place"
    worn, rules = frame.worn.during(question.window), frame.rules
    telling = worn.telling()
    away = await _away(connection, frame, question.spot, question.window)
    open_ = _open_people(telling, question.window, away)
    known = await _trails(connection, frame.packed, telling, open_, question.window, AROUND_MS)
    answers = _graded(known, question, rules)
    unheard = {number for number, found in answers.items() if found.answer.grade is Grade.NO_DATA}
    if unheard:
        answers |= _graded(
            await _trails(connection, frame.packed, telling, unheard, question.window, FAR_AROUND_MS), question, rules
        )
    named = await _named(connection, answers)
    return _answer(answers, named, worn.people(), telling.people(), rules)


async def person_near_place(
    connection: Connection, zone_sets: ZoneSetCache, question: Question, wearer_no: int, now_ms: int
) -> Nearness:
    """One of those who are counted, by name: after a look at that person."""
    del zone_sets
    assert question.spot is not None, "it is about a place"
    rules = await rules_now(connection, now_ms)
    worn = (await _worn(connection, question.window, [wearer_no])).telling()
    packed = await _packed_around(connection, question.window, FAR_AROUND_MS)
    known = await _trails(connection, packed, worn, {wearer_no}, question.window, FAR_AROUND_MS)
    return graded(question.spot, question.window, known.trail, rules)


async def rules_now(connection: Connection, now_ms: int) -> NearRules:
    """With the gap after which positions no longer hold, as it is set."""
    _, settings = await load_settings(connection, now_ms)
    return RULES._replace(max_gap_ms=settings.max_gap_ms)


async def _worn(connection: Connection, window: Interval, numbers: Sequence[int] | None) -> AllWorn:
    row = await connection.fetchrow(
        WORN, datetime_of(window.begin_ms), datetime_of(window.end_ms), numbers, FOREVER_MS
    )
    assert row is not None, "it is one of sums"
    device_no, wearer_no, begin_ms, end_ms = (
        np.array(row[name] or [], np.int64) for name in ("device_no", "wearer_no", "begin_ms", "end_ms")
    )
    return AllWorn(device_no, wearer_no, begin_ms, end_ms, np.array(row["tells_places"] or [], np.bool_))


async def _packed_around(connection: Connection, window: Interval, around_ms: int) -> PackedSpan:
    return await packed_span(connection, Interval(window.begin_ms - around_ms, window.end_ms + around_ms))


async def _away(connection: Connection, frame: Frame, spot: Spot, window: Interval) -> set[int]:
    """Devices that were elsewhere for certain all through the window: by what is packed of it, and by samples of what is not."""
    around = frame.packed.part(Interval(window.begin_ms - HOUR_MS, window.end_ms))
    ready = set(around.hours_ms)
    usable = around._replace(hours_ms=[at for at in around.hours_ms if at - HOUR_MS in ready])
    by_heads, by_samples = usable.stretches(window)
    parts = []
    for part in by_heads:
        parts.append(set(away_devices(frame.heads, spot, part, frame.rules).tolist()) - around.late)
    for part in by_samples:
        parts.append(await _far_away(connection, spot, part))
    return set.intersection(*parts)


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


def _open_people(telling: AllWorn, window: Interval, away: set[int]) -> set[int]:
    """Who wears a device that is not cleared, or wore one for a part of the time only."""
    is_away = np.isin(telling.device_no, np.array(sorted(away), np.int64))
    in_part = (telling.begin_ms > window.begin_ms) | (telling.end_ms < window.end_ms)
    return set(telling.wearer_no[~is_away | in_part].tolist())


class Known(NamedTuple):
    """Evidence of some people: of person `people[k]` the positions `first[k]:first[k + 1]` of the trail."""

    people: list[int]
    first: Int64s
    trail: Trail
    devices: Mapping[int, int]
    """Of people whose trail has no ids of facts: the device that they wore all the time."""

    def of(self, place: int) -> Trail:
        return self.trail.taken(slice(int(self.first[place]), int(self.first[place + 1])))


async def _trails(
    connection: Connection, packed: PackedSpan, worn: AllWorn, numbers: set[int], window: Interval, around_ms: int
) -> Known:
    """Evidence around a time; of somebody without positions none. Of most, who wear one device all the time, it can be told at
    once that all positions are evidence; the others are looked at one by one."""
    span = Interval(window.begin_ms - around_ms, window.end_ms + around_ms)
    of_person: dict[int, list[Worn]] = defaultdict(list)
    for one in worn.of_people(numbers):
        of_person[one.wearer_no].append(one)
    plain = {
        wearings[0].device_no: number
        for number, wearings in of_person.items()
        if len(wearings) == 1 and wearings[0].begin_ms <= span.begin_ms and wearings[0].end_ms >= span.end_ms
    }
    whole_time = [of_person[number][0] for number in plain.values()]
    known_columns = await _columns(connection, packed.part(span), whole_time, span)
    device, trail = known_columns.device, trail_in(known_columns)
    starts = np.flatnonzero(
        np.diff(device, prepend=device[:1] - 1)
    )  # they are in order: to sort them again takes 20 ms
    names, counts = device[starts], np.diff(starts, append=len(device))
    is_evident = evident(device, trail)
    kept = trail if is_evident.all() else trail.taken(np.repeat(is_evident, counts))
    people = [plain[name] for name in names[is_evident].tolist()]
    sizes = counts[is_evident].tolist()
    others = {number: of_person[number] for number in sorted(numbers - set(people))}
    one_by_one = await _one_by_one(connection, others, span)
    whole = joined([kept, *one_by_one.values()]) if one_by_one else kept
    sizes += [len(part.fix_ms) for part in one_by_one.values()]
    devices = {number: of_person[number][0].device_no for number in people}
    return Known([*people, *one_by_one], np.cumsum([0, *sizes]), whole, devices)


async def _columns(connection: Connection, hours: PackedSpan, worn: Sequence[Worn], span: Interval) -> Unpacked:
    """All positions of devices that were with one person all through a span, by device and time. Packed hours are read of those who
    were with that person for all of each."""
    packed_parts, stored_parts = hours.stretches(span)
    whole = Interval(span.begin_ms // HOUR_MS * HOUR_MS, -(-span.end_ms // HOUR_MS) * HOUR_MS)
    devices = {one.device_no for one in worn}
    fit = {
        one.device_no for one in worn if one.begin_ms <= whole.begin_ms and one.end_ms >= whole.end_ms
    } - hours.late
    parts = [await bodies_in(connection, fit, hours.hours_ms, span)]
    parts += [await positions_of(connection, devices, part) for part in stored_parts]
    parts += [await positions_of(connection, devices - fit, part) for part in packed_parts]
    return in_order([part for part in parts if len(part.device)])


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


class Graded(NamedTuple):
    """The answer for one person, out of which trail. `device_no`: of a trail without ids of facts."""

    answer: Nearness
    trail: Trail
    device_no: int | None


def _graded(known: Known, question: Question, rules: NearRules) -> dict[int, Graded]:
    assert question.spot is not None, "it is about a place"
    answers = graded_all(question.spot, question.window, known.first, known.trail, rules)
    return {
        number: Graded(answer, known.trail, known.devices.get(number))
        for number, answer in zip(known.people, answers, strict=True)
    }


def _answer(
    answers: Mapping[int, Graded], named: list[Named], everybody: set[int], telling: set[int], rules: NearRules
) -> Answer:
    """Who has no positions at all is of those of whom there is no data."""
    counts = Counter(found.answer.grade for found in answers.values())
    counts[Grade.ELSEWHERE] += len(telling) - len(answers)
    counts[Grade.NO_DATA] += len(everybody) - len(telling)
    return Answer(named, dict(counts), rules)


async def _named(connection: Connection, answers: Mapping[int, Graded]) -> list[Named]:
    found = {number: one for number, one in answers.items() if one.answer.grade in NAMED}
    facts = await _facts(
        connection,
        [(one.device_no, int(one.trail.fix_ms[one.answer.at])) for one in found.values()
         if one.device_no is not None and one.answer.at is not None],
    )  # fmt: skip
    return [_of_person(number, one, facts) for number, one in found.items()]


async def _facts(connection: Connection, asked: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Ids of the facts of positions, each by device and instant."""
    if not asked:
        return {}
    instants = [fix_ms for _, fix_ms in asked]
    rows = await connection.fetch(
        FACTS, [device_no for device_no, _ in asked], [datetime_of(fix_ms) for fix_ms in instants],
        datetime_of(min(instants)), datetime_of(max(instants) + 1),
    )  # fmt: skip
    return {(row["device_no"], row["fix_ms"]): row["fact_id"] for row in rows}


def _of_person(wearer_no: int, one: Graded, facts: Mapping[tuple[int, int], int]) -> Named:
    answer, trail, at = one.answer, one.trail, one.answer.at
    if at is None:
        return Named(wearer_no, answer.grade, answer.probability, possible=answer.possible)
    fix_ms = int(trail.fix_ms[at])
    fact_id = int(trail.fact_id[at]) if one.device_no is None else facts[one.device_no, fix_ms]
    return Named(
        wearer_no, answer.grade, answer.probability, fact_id, fix_ms, answer.distance_m, float(trail.radius_m[at]),
        answer.possible,
    )  # fmt: skip


async def near_each_other(
    connection: Connection, zone_sets: ZoneSetCache, question: Question, numbers: Sequence[int], now_ms: int
) -> Answer | str:
    """Pairs of people. Of a pair both are given; of one person that one; of everybody nobody. For `emtrack.reading.apart`. A
    text: what to change, where there are more people than can be set beside each other."""
    del zone_sets
    rules = await rules_now(connection, now_ms)
    worn = await _worn(connection, question.window, numbers if question.asked is Asked.PAIR else None)
    telling = worn.telling()
    people = telling.people() | set(numbers)
    if question.asked is Asked.EVERYBODY and len(people) > MOST_TOGETHER:
        return f"{len(people):,} people are too many to set beside each other. Ask for one person."
    packed = await _packed_around(connection, question.window, 0)
    known = await _trails(connection, packed, telling, people, question.window, 0)
    trails = {number: known.of(place) for place, number in enumerate(known.people)}
    counts: Counter[Grade] = Counter()
    found: list[tuple[int, int, Togetherness]] = []
    for one, other in _pairs(question.asked, numbers, people):
        answer = graded_together(trails[one], trails[other], question.window, question.near_m, rules)
        counts[answer.grade] += 1
        if answer.grade in NAMED:
            found.append((one, other, answer))
    places = [
        (known.devices[one], int(trails[one].fix_ms[answer.ours]))
        for one, _, answer in found
        if answer.ours is not None and one in known.devices
    ]
    facts = await _facts(connection, places)
    named = [_of_pair(one, other, answer, trails[one], known.devices.get(one), facts) for one, other, answer in found]
    return Answer(named, dict(counts), rules)


def _of_pair(
    one: int, other: int, answer: Togetherness, trail: Trail, device_no: int | None,
    facts: Mapping[tuple[int, int], int],
) -> Named:  # fmt: skip
    at = answer.ours
    fix_ms = None if at is None else int(trail.fix_ms[at])
    fact_id = None
    if at is not None and fix_ms is not None:
        fact_id = int(trail.fact_id[at]) if device_no is None else facts[device_no, fix_ms]
    when = (
        None if answer.first_ms is None or answer.last_ms is None else Interval(answer.first_ms, answer.last_ms + 1)
    )
    return Named(
        one, answer.grade, answer.probability, fact_id, fix_ms, answer.distance_m, answer.radius_m, when, other
    )


def _pairs(asked: Asked, numbers: Sequence[int], people: set[int]) -> Iterator[tuple[int, int]]:
    if asked is Asked.EVERYBODY:
        yield from combinations(sorted(people), 2)
    elif asked is Asked.PAIR:
        yield numbers[0], numbers[1]
    else:
        yield from ((numbers[0], other) for other in sorted(people - {numbers[0]}))
