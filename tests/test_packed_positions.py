"""Hours of positions that are packed say what is stored: whatever is packed, came late or was deleted, the answer is the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.stored import pack_all
from emtrack.clock import Clock
from emtrack.db.connect import connect
from emtrack.db.locks import PACKING_LOCK, UNPACKING_LOCK, shared_lock, try_lock
from emtrack.metrics import Metrics
from emtrack.people.roles import Role
from emtrack.reading.near import Answer, near_each_other, near_place, near_places, person_near_place
from emtrack.record.near import Asked, Question
from emtrack.record.packed_positions import (
    enter_hours,
    fence_now,
    has_passed,
    hours_to_enter,
    hours_to_pack,
    last_mark,
    pack_devices,
    pack_late,
    packed_span,
)
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.service.packer import SETTLED_MS, OtherPacker, Packer
from geofence import Interval, Mechanism, Position, parse_instant
from geofence.nearness import (
    FORM,
    HEAD,
    HOUR_MS,
    RULES,
    Grade,
    Spot,
    Trail,
    away_devices,
    graded,
    packed,
    trail_of,
    unpacked,
)
from tests.office import Office, open_office
from tests.test_near import AT_NIGHT, DAY, POSITION, SPOT, somebody
from tests.test_near import question as question_of

SETS = ZoneSetCache(None)
END_MS = parse_instant("2026-03-03T00:00:00Z")
EVENING_MS = parse_instant("2026-03-02T19:00:00Z")
PEOPLE = 40
WAITS = "SELECT wait_event = 'advisory' FROM pg_stat_activity WHERE pid = $1"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await connect(database_url)
    yield connection
    await connection.close()


async def a_town(connection: asyncpg.Connection[Any]) -> None:
    for day in ("2026-03-01", "2026-03-02", "2026-03-03"):
        await connection.execute("SELECT make_positions_day($1::text::date)", day)
    chance = np.random.default_rng(16)
    for number in range(1, PEOPLE + 1):
        await somebody(connection, number, chance)


QUESTIONS = [
    question_of(hours, lat_deg)
    for hours, lat_deg in ((0.02, 53.01), (0.5, 53.01), (1.5, 53.02), (0.5, 53.3), (2, 52))
] + [Question(Asked.PLACE, Interval(EVENING_MS, EVENING_MS + HOUR_MS), 100.0, Spot(-2.1753, 53.05, 100.0))]


async def answers(connection: asyncpg.Connection[Any]) -> list[Answer]:
    """Each question by itself, and again all of them together, which is the same to the letter."""
    found = [await near_place(connection, SETS, asked, 0) for asked in QUESTIONS]
    assert await near_places(connection, QUESTIONS, 0) == found
    pairs = replace_asked(QUESTIONS[1])
    together = await near_each_other(connection, SETS, pairs, [], 0)
    assert isinstance(together, Answer)
    return [answer._replace(named=sorted(answer.named, key=str)) for answer in [*found, together]]


def replace_asked(asked: Question) -> Question:
    return asked._replace(asked=Asked.EVERYBODY, spot=None, near_m=500.0)


async def stored_answers(connection: asyncpg.Connection[Any]) -> list[Answer]:
    """As if nothing were packed."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("DELETE FROM packed_hours")
        return await answers(connection)
    finally:
        await transaction.rollback()


async def late(connection: asyncpg.Connection[Any], number: int, minutes: float, lat_deg: float = 53.01) -> None:
    at = DAY + timedelta(hours=19, minutes=minutes)
    await connection.execute(
        POSITION, 900_000 + round(minutes * 60), number, at, "GPS", lat_deg, SPOT["lon_deg"], 5.0, at, b"0" * 16
    )


async def marks(connection: asyncpg.Connection[Any]) -> list[tuple[int, int]]:
    rows = await connection.fetch("SELECT device_no, extract(hour FROM hour)::bigint FROM packed_late ORDER BY 1, 2")
    return [(row[0], row[1]) for row in rows]


# ---------------------------------------------------------------------------------------------- the same answer


async def test_packed_and_not_packed_give_the_same_answer_to_the_letter(
    connection: asyncpg.Connection[Any],
) -> None:
    await a_town(connection)
    plain = await answers(connection)
    assert {grade for answer in plain for grade, count in answer.counts.items() if count} >= set(Grade) - {
        Grade.PROBABLY
    }
    assert await pack_all(connection, END_MS) == 48
    assert await answers(connection) == plain
    for hidden in (19, 20, 21):  # some hours of a window are packed, others are not
        await connection.execute(
            "UPDATE packed_hours SET is_ready = extract(hour FROM hour) <> $1 WHERE is_ready OR true", hidden
        )
        assert await answers(connection) == plain, hidden


async def test_packed_bounds_clear_people_of_whom_nothing_more_is_read(connection: asyncpg.Connection[Any]) -> None:
    await a_town(connection)
    await pack_all(connection, END_MS)
    await connection.execute("DROP INDEX positions_sampled")
    far = question_of(1.5, 50.0)
    heads = await connection.fetchval("SELECT string_agg(head, ''::bytea) FROM packed_positions")
    away = away_devices(np.frombuffer(heads, HEAD), far.spot, far.window, RULES)  # type: ignore[arg-type]
    assert len(away) > 5
    for number in away.tolist():
        assert (await person_near_place(connection, SETS, far, number, 0)).grade is Grade.ELSEWHERE


async def test_what_comes_late_and_what_is_deleted_is_in_the_answer_at_once_and_packed_again(
    connection: asyncpg.Connection[Any],
) -> None:
    await a_town(connection)
    await pack_all(connection, END_MS)
    for number, minutes in ((3, 50.0), (4, 50.5), (7, 62.0), (8, 10.0)):
        await late(connection, number, minutes)
    await connection.execute("DELETE FROM positions WHERE device_no = 5 AND fix_time >= '2026-03-02T19:30Z'")
    gone = "SELECT count(*) FROM packed_positions WHERE device_no = 5 AND hour >= '2026-03-02T19:00Z'"
    assert await connection.fetchval(gone) == 0, "deleted is deleted"
    expected = await stored_answers(connection)
    assert {(3, 19), (4, 19), (7, 20), (8, 19), (5, 19)} <= set(await marks(connection))
    assert await answers(connection) == expected
    while await pack_late(connection, await last_mark(connection)):
        pass
    assert await marks(connection) == []
    assert await answers(connection) == expected
    await late(connection, 3, 50.0)
    assert await marks(connection) == [], "a duplicate is not stored"


async def test_somebody_who_was_far_away_is_named_by_a_position_that_comes_late(
    connection: asyncpg.Connection[Any],
) -> None:
    await a_town(connection)
    await pack_all(connection, END_MS)
    asked = QUESTIONS[1]
    heads = await connection.fetchval("SELECT string_agg(head, ''::bytea) FROM packed_positions")
    assert asked.spot is not None
    away = away_devices(np.frombuffer(heads, HEAD), asked.spot, asked.window, RULES)
    named = {one.wearer_no for one in (await near_place(connection, SETS, asked, 0)).named}
    number = int(away[0])
    assert number not in named
    for minutes in np.arange(46.1, 46.9, 0.1):  # more than can be jumps in a row
        await late(connection, number, float(minutes))
    answer = await near_place(connection, SETS, asked, 0)
    assert number in {one.wearer_no for one in answer.named}


async def test_what_is_live_leaves_no_mark(connection: asyncpg.Connection[Any]) -> None:
    await a_town(connection)
    await enter_hours(connection, await hours_to_enter(connection, EVENING_MS, 100))
    await late(connection, 3, 1.0)
    assert await marks(connection) == []


# ---------------------------------------------------------------------------------------------- who writes meanwhile


async def test_hours_are_packed_when_all_who_wrote_before_they_were_entered_have_ended(
    database_url: str, connection: asyncpg.Connection[Any]
) -> None:
    await a_town(connection)
    writer = await connect(database_url)
    try:
        transaction = writer.transaction()
        await transaction.start()
        await late(writer, 3, 50.0)
        await enter_hours(connection, await hours_to_enter(connection, END_MS, 100))
        fence = await fence_now(connection)
        assert not await has_passed(connection, fence), "one that wrote without a mark is not seen yet"
        await transaction.commit()
        assert await has_passed(connection, fence)
        assert await marks(connection) == []
        await pack_all(connection, END_MS)
        assert await answers(connection) == await stored_answers(connection)
    finally:
        await writer.close()


async def test_one_that_wrote_while_the_entry_committed_is_waited_for_too(
    database_url: str, connection: asyncpg.Connection[Any]
) -> None:
    """It has a higher number than the entry, does not see it, and leaves no mark."""
    await a_town(connection)
    writer = await connect(database_url)
    try:
        hours = await hours_to_enter(connection, END_MS, 100)
        entering, writing = connection.transaction(), writer.transaction()
        await entering.start()
        await enter_hours(connection, hours)
        await writing.start()
        await late(writer, 3, 50.0)
        await entering.commit()
        fence = await fence_now(connection)
        assert not await has_passed(connection, fence)
        await writing.commit()
        assert await has_passed(connection, fence)
    finally:
        await writer.close()


async def test_what_is_deleted_while_a_slice_is_packed_does_not_stand_there_afterwards(
    database_url: str, connection: asyncpg.Connection[Any]
) -> None:
    await a_town(connection)
    await enter_hours(connection, await hours_to_enter(connection, END_MS, 100))
    deleter = await connect(database_url)
    try:
        async with shared_lock(connection, UNPACKING_LOCK), connection.transaction(isolation="repeatable_read"):
            await connection.fetchval("SELECT count(*) FROM positions")  # what the slice sees
            deleting = asyncio.create_task(deleter.execute("DELETE FROM positions WHERE device_no = 3"))
            await until_it_waits(database_url, deleter)
            assert await pack_devices(connection, EVENING_MS, 0) == PEOPLE
        await deleting
        assert await connection.fetchval("SELECT count(*) FROM packed_positions WHERE device_no = 3") == 0
    finally:
        await deleter.close()


async def until_it_waits(database_url: str, session: asyncpg.Connection[Any]) -> None:
    watcher = await connect(database_url)
    try:
        async with asyncio.timeout(10):
            while not await watcher.fetchval(WAITS, session.get_server_pid()):  # noqa: ASYNC110  another program
                await asyncio.sleep(0.01)
    finally:
        await watcher.close()


async def test_a_mark_that_comes_while_an_hour_is_packed_stays(
    database_url: str, connection: asyncpg.Connection[Any]
) -> None:
    await a_town(connection)
    await enter_hours(connection, await hours_to_enter(connection, END_MS, 100))
    writer = await connect(database_url)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            await connection.fetchval("SELECT count(*) FROM packed_late")
            await late(writer, 3, 50.0)
            assert await pack_devices(connection, EVENING_MS, 0) == PEOPLE
        assert await marks(connection) == [(3, 19)]
        assert await pack_devices(connection, EVENING_MS, PEOPLE) is None
        assert (await packed_span(connection, QUESTIONS[1].window)).late == {3}
        expected = await stored_answers(connection)
        assert await answers(connection) == expected
        assert await pack_late(connection, await last_mark(connection))
        assert await answers(connection) == expected
    finally:
        await writer.close()


async def test_an_hour_that_was_left_half_packed_is_packed_anew(connection: asyncpg.Connection[Any]) -> None:
    await a_town(connection)
    await enter_hours(connection, await hours_to_enter(connection, END_MS, 100))
    await pack_devices(connection, EVENING_MS, 0)  # and the program ends
    await late(connection, 3, 50.0)
    assert EVENING_MS in await hours_to_pack(connection)
    expected = await stored_answers(connection)
    assert await answers(connection) == expected, "nothing is ready yet"
    await pack_all(connection, END_MS)
    assert await answers(connection) == expected
    assert await hours_to_pack(connection) == []


async def test_hours_of_an_older_form_are_not_read_and_are_packed_anew(connection: asyncpg.Connection[Any]) -> None:
    """As after an upgrade."""
    await a_town(connection)
    expected = await answers(connection)
    await pack_all(connection, END_MS)
    await connection.execute("UPDATE packed_hours SET form = $1", FORM - 1)
    await connection.execute("UPDATE packed_positions SET head = '\\x00', body = '\\x00'")
    assert await answers(connection) == expected
    assert await pack_all(connection, END_MS) == 48
    assert await answers(connection) == expected
    assert await connection.fetchval("SELECT count(*) FROM packed_positions WHERE octet_length(body) < 16") == 0


# ---------------------------------------------------------------------------------------------- the service


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    async with open_office(database_url, data_dir) as office:
        yield office


async def test_officers_see_packed_hours_of_people_whom_their_agency_shares(office: Office) -> None:
    await office.two_are_out()
    callers = [
        "operator",
        await office.token_of(Role.OFFICER, "Police"),
        await office.token_of(Role.OFFICER, "Housing"),
    ]
    before = [(await office.post("/v1/near", SPOT | AT_NIGHT, who))[1] for who in callers]
    await pack_hours(office.connection, EVENING_MS - HOUR_MS, EVENING_MS)
    assert await office.connection.fetchval("SELECT count(*) FROM packed_positions") == 2
    after = [(await office.post("/v1/near", SPOT | AT_NIGHT, who))[1] for who in callers]
    for one, again in zip(before, after, strict=True):
        assert one["counts"] == again["counts"]
        assert [people | {"result_no": 0} for people in one["people"]] == [
            people | {"result_no": 0} for people in again["people"]
        ]


async def pack_hours(connection: asyncpg.Connection[Any], *hours_ms: int) -> None:
    await enter_hours(connection, hours_ms)
    for hour_ms in hours_ms:
        after: int | None = 0
        while after is not None:
            after = await pack_devices(connection, hour_ms, after)


async def test_the_service_packs_hours_that_are_over_for_a_while_and_what_came_late(
    database_url: str, connection: asyncpg.Connection[Any]
) -> None:
    await a_town(connection)
    clock = Clock(start_ms=EVENING_MS + HOUR_MS + SETTLED_MS, rate=0.0, emulated=True)
    metrics = Metrics()
    packer, stop = Packer(database_url, clock, metrics), asyncio.Event()
    while await packer.pass_once(connection, stop):
        pass
    ready = await connection.fetchval("SELECT epoch_ms(max(hour)) FROM packed_hours WHERE is_ready")
    assert ready == EVENING_MS, "the hour of now is left alone"
    assert metrics.registry.get_sample_value("emtrack_hours_unpacked") == 0
    await late(connection, 1, 30.0)
    assert await marks(connection) == [(1, 19)]
    await packer.pass_once(connection, stop)
    assert await marks(connection) == []
    assert await answers(connection) == await stored_answers(connection)


async def test_one_program_packs_at_a_time(database_url: str, connection: asyncpg.Connection[Any]) -> None:
    packer = Packer(database_url, Clock(), Metrics())
    other = await connect(database_url)
    try:
        assert await try_lock(other, PACKING_LOCK)
        with pytest.raises(OtherPacker):
            await packer.pass_once(connection, asyncio.Event())
    finally:
        await other.close()


# ---------------------------------------------------------------------------------------------- bounds


def walked(chance: np.random.Generator, lat_deg: float) -> list[Position]:
    """Four hours of somebody: at rest, walking or driving, with gaps, and with steps that are no evidence."""
    seconds = np.sort(chance.choice(np.arange(4 * 3_600), chance.integers(20, 300), replace=False))
    way = np.cumsum(chance.normal(0, float(chance.choice([5, 200, 2_000])), len(seconds)))
    jumps = np.where(chance.random(len(seconds)) < chance.choice([0, 0.02, 0.2]), 60_000.0, 0.0)
    lat = lat_deg + (way + np.cumsum(jumps) if chance.random() < 0.5 else way + jumps) / 111_000
    radius = chance.choice([6.0, 40.0, 900.0], len(seconds))
    return [
        Position(int(s) * 1_000, float(y), -2.0, float(r), Mechanism.GPS, int(s) * 1_000, k)
        for k, (s, y, r) in enumerate(zip(seconds, lat, radius, strict=True))
    ]


def in_columns(positions: list[Position], hour: int) -> Trail:
    kept = [p for p in positions if hour * HOUR_MS <= p.fix_ms < (hour + 1) * HOUR_MS]
    return Trail(
        np.array([p.fix_ms for p in kept], np.int64), np.array([p.lon_deg for p in kept]), np.array([p.lat_deg for p in kept]),
        np.array([p.radius_m for p in kept]), np.array([p.fact_id for p in kept], np.int64),
    )  # fmt: skip


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=400, deadline=None)
def test_whoever_is_away_by_bounds_was_elsewhere_by_all_positions(seed: int) -> None:
    chance = np.random.default_rng(seed)
    positions = walked(chance, 53.0)
    spot = Spot(-2.0, 53.0 + float(chance.choice([0.02, 0.05, 0.1, 0.5, -0.3])), 100.0)
    begin = int(chance.integers(3_600, 3 * 3_600)) * 1_000
    window = Interval(begin, min(begin + int(chance.integers(1, 7_200)) * 1_000, 4 * HOUR_MS))
    heads = b""
    for hour in range(4):
        trail = in_columns(positions, hour)
        heads += b"".join(one.head for one in packed(hour * HOUR_MS, np.ones(len(trail.fix_ms), np.int64), trail))
    if len(away_devices(np.frombuffer(heads, HEAD), spot, window, RULES)):
        assert graded(spot, window, trail_of([positions])).grade is Grade.ELSEWHERE


def test_somebody_far_away_with_a_position_each_minute_is_away_by_bounds_and_who_was_silent_is_not() -> None:
    spot, window = Spot(-2.0, 53.2, 100.0), Interval(HOUR_MS + 600_000, 3 * HOUR_MS - 600_000)

    def away(times_s: range) -> bool:
        heads = b""
        everything = [Position(s * 1_000, 53.0, -2.0, 6.0, Mechanism.GPS, s * 1_000, s) for s in times_s]
        for hour in range(4):
            trail = in_columns(everything, hour)
            heads += b"".join(one.head for one in packed(hour * HOUR_MS, np.ones(len(trail.fix_ms), np.int64), trail))
        return bool(len(away_devices(np.frombuffer(heads, HEAD), spot, window, RULES)))

    assert away(range(0, 4 * 3_600, 60))
    assert away(range(0, 4 * 3_600, 240))
    assert not away(range(0, 4 * 3_600, 1_200)), "there was time to go there and back"
    assert not away(range(3_600, 4 * 3_600, 60)), "what was before is not known"
    assert not away(range(0, 2 * 3_600, 60)), "silent for an hour"


def test_whoever_was_elsewhere_at_once_when_an_hour_began_is_not_away_by_bounds() -> None:
    """60 km in a minute: the first positions there are jumps, and meanwhile one can have been 6 km away."""
    places = [(s, 53.0 if s < 7_200 else 53.54) for s in range(0, 4 * 3_600, 60)]
    positions = [Position(s * 1_000, lat, -2.0, 6.0, Mechanism.GPS, s * 1_000, s) for s, lat in places]
    spot, window = Spot(-2.0, 53.054, 100.0), Interval(HOUR_MS + 600_000, 3 * HOUR_MS - 600_000)
    heads = b""
    for hour in range(4):
        trail = in_columns(positions, hour)
        heads += b"".join(one.head for one in packed(hour * HOUR_MS, np.ones(len(trail.fix_ms), np.int64), trail))
    assert graded(spot, window, trail_of([positions])).grade is Grade.NOT_EXCLUDED
    assert len(away_devices(np.frombuffer(heads, HEAD), spot, window, RULES)) == 0


def rounded(trail: Trail, digits: int) -> Trail:
    return trail._replace(
        lon_deg=trail.lon_deg.round(digits),
        lat_deg=trail.lat_deg.round(digits),
        radius_m=trail.radius_m.round(digits - 4),
    )


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_bodies_give_back_what_was_packed_to_the_last_bit(seed: int) -> None:
    """Of devices that send as many digits as devices do, and of others, in any order and of a part of the time."""
    chance = np.random.default_rng(seed)
    bodies, known = [], []
    for device, hour in ((9, 1), (3, 2), (9, 2), (3, 1)):
        trail = in_columns(walked(chance, 53.0), hour)
        trail = trail.taken(slice(0, int(chance.integers(0, len(trail.fix_ms) + 1))))
        if not len(trail.fix_ms):
            continue
        digits = int(chance.choice([5, 7, 8, 15]))
        trail = rounded(trail, digits)
        (one,) = packed(hour * HOUR_MS, np.full(len(trail.fix_ms), device, np.int64), trail)
        assert digits > 7 or len(one.body) == 16 * len(trail.fix_ms)
        assert len(one.body) % 8 == 0
        bodies.append((device, hour * HOUR_MS, one.body))
        known += [(device, *place) for place in zip(*(column.tolist() for column in trail[:4]), strict=True)]
    if not bodies:
        return
    devices, hours, sizes = (
        np.array(column, np.int64) for column in zip(*((d, h, len(body)) for d, h, body in bodies), strict=True)
    )
    span = Interval(HOUR_MS + int(chance.integers(0, HOUR_MS)), 2 * HOUR_MS + int(chance.integers(0, HOUR_MS)))
    back = unpacked(devices, hours, sizes, b"".join(body for *_, body in bodies), span)
    kept = sorted(place for place in known if span.begin_ms <= place[1] < span.end_ms)
    assert list(zip(*(column.tolist() for column in back), strict=True)) == kept


def test_a_number_that_is_too_large_for_a_short_body_is_kept_all_the_same() -> None:
    trail = Trail(
        np.array([HOUR_MS]),
        np.array([-179.9999999]),
        np.array([89.5]),
        np.array([3_000_000.5]),
        np.zeros(1, np.int64),
    )
    (one,) = packed(HOUR_MS, np.array([7]), trail)
    sizes = np.array([len(one.body)])
    back = unpacked(np.array([7]), np.array([HOUR_MS]), sizes, one.body, Interval(0, 2 * HOUR_MS))
    assert [column.tolist() for column in back] == [[7], [HOUR_MS], [-179.9999999], [89.5], [3_000_000.5]]
