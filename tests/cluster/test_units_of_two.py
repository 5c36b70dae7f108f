"""A home unit that stands, or stood, with people of two shards: who looks whether it calls in, and what another worker heard."""

from __future__ import annotations

from typing import Any

from emtrack.record.home_units import load_unit_calls, store_unit_calls
from emtrack.record.liveness import record_shard_outages_since
from tests.cluster.test_shards import MANY, Part, of, two_workers
from tests.service_world import World, deployed, event, iso, ms, orders

CALL_IN_S = 3_600
SILENCES = "SELECT home_unit, end_at IS NULL AS lasts FROM unit_silences ORDER BY silence_no"


def unit(number: int, since: str, until: str | None = None) -> dict[str, Any]:
    entry = {
        "hmu_id": "H1",
        "wearer_id": f"W{number}",
        "requirement_id": f"C{number}",
        "from": iso(since),
        "call_in_s": CALL_IN_S,
    }
    return entry if until is None else entry | {"to": iso(until)}


async def numbers_apart(world: World, first: Part, second: Part) -> tuple[int, int]:
    """Two people of whom the first has the smaller number, and another worker."""
    former = await of(world, "W1", first, second)
    others = [n for n in MANY if await of(world, f"W{n}", first, second) is not former]
    return 1, others[0]


async def at(world: World, at: str, *parts: Part) -> None:
    """Only the clock moves; what is on disk is not read by itself meanwhile."""
    world.clock.at_ms = ms(at)
    for part in parts:
        part.sharing._heard_s = part.stopwatch() + 1.1
        await part.turn()


async def silences(world: World) -> list[tuple[str, bool]]:
    return [tuple(row) for row in await world.connection.fetch(SILENCES)]


async def test_what_another_worker_heard_of_a_unit_is_no_silence(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        mine, other = await numbers_apart(world, first, second)
        world.clock.at_ms = ms("12:00")
        await world.enter({"home_units": [unit(mine, "08:00"), unit(other, "08:00")]})
        looking, hearing = [await of(world, f"W{n}", first, second) for n in (mine, other)]
        await at(world, "12:00", first, second)
        world.clock.at_ms = ms("13:00")
        done = await hearing.submit("H1", event(1, "13:00", "RF_IN", tag=f"D{other}"))  # kept by the other worker
        await at(world, "13:00", hearing)
        assert (await done).ack == [1]
        await at(world, "13:20", looking, hearing)  # longer than an hour and the buffer after 12:00
        assert await silences(world) == []
        await at(world, "14:30", hearing, looking)
        assert await silences(world) == [("H1", True)]


async def test_a_unit_that_moved_is_looked_after_by_the_worker_of_whom_it_stands_with_now(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        former, now = await numbers_apart(world, first, second)
        world.clock.at_ms = ms("12:00")
        await world.enter({"home_units": [unit(former, "08:00", "13:00"), unit(now, "13:00")]})
        before, after = [await of(world, f"W{n}", first, second) for n in (former, now)]
        await at(world, "12:00", first, second)
        await at(world, "15:00", before)
        assert await silences(world) == []  # it is nobody's here any more
        await at(world, "15:02", after)
        assert await silences(world) == [("H1", True)]
        world.clock.at_ms = ms("15:05")
        await after.submit("H1", event(1, "15:05", "HMU_POWER_RESTORED"))
        await at(world, "15:05", after)
        assert await silences(world) == [("H1", False)]
        await at(world, "15:10", before, after)
        assert await silences(world) == [("H1", False)]


async def test_a_unit_is_not_silent_while_the_shard_was_away_that_keeps_what_it_says(database_url: str) -> None:
    form = orders(*MANY)
    form["activations"][0][
        "evidence"
    ] = []  # home units do not speak for an alcohol tag: the other's shard keeps what they say
    async with two_workers(database_url, form) as (world, first, second):
        mine, other = await numbers_apart(world, first, second)
        world.clock.at_ms = ms("12:00")
        await world.enter({"home_units": [unit(mine, "08:00"), unit(other, "08:00")]})
        looking, keeping = [await of(world, f"W{n}", first, second) for n in (mine, other)]
        await at(world, "12:50", looking, keeping)
        await at(world, "13:30", looking)  # nobody serves the others meanwhile; when that is over is not known
        assert await silences(world) == []
        world.clock.at_ms = ms("13:40")
        away = dict.fromkeys(keeping.owned, ms("12:50"))
        await record_shard_outages_since(world.connection, away, ms("13:40"), "not running")
        await at(world, "13:40", keeping, looking)
        assert await silences(world) == []
        await at(world, "13:50", keeping, looking)  # of the hour and its buffer 11 minutes were left
        assert await silences(world) == []
        await at(world, "14:05", keeping, looking)
        assert await silences(world) == [("H1", True)]


async def test_of_two_notes_of_a_unit_the_later_instant_counts(database_url: str) -> None:
    async with deployed(database_url, orders(1, 2)) as world:
        one, two = await world.device_no("D1"), await world.device_no("D2")
        await store_unit_calls(world.connection, {two: ms("12:00:05"), one: ms("12:00")})
        await store_unit_calls(
            world.connection, {two: ms("12:00"), one: ms("12:01")}
        )  # by a worker whose clock is behind
        assert await load_unit_calls(world.connection) == {two: ms("12:00:05"), one: ms("12:01")}
