"""Outages of all and of a shard, in the orders that are exported."""

from __future__ import annotations

from emtrack.forms.from_core import orders_of
from emtrack.forms.orders import Orders
from emtrack.forms.to_core import plans_of
from emtrack.orders.entry import enter_orders
from emtrack.record.outages import load_outages, record_outage, record_shard_outage
from emtrack.record.plans import load_assignments
from geofence import Interval, datetime_of, merged
from tests.service_world import World, deployed, iso, ms, orders, position

NOW = datetime_of(ms("13:00"))
OF_ALL = [Interval(ms("10:00"), ms("10:10")), Interval(ms("11:00"), ms("11:05"))]
OF_SHARD = [
    Interval(ms("10:10"), ms("10:20")),
    Interval(ms("10:55"), ms("11:02")),
    Interval(ms("12:00"), ms("12:05")),
]
"""One begins where one of all ends, one overlaps one, one stands alone."""


async def with_both(world: World) -> int:
    """The shard that has some of its own: that of W1."""
    await world.connection.execute("DELETE FROM outages")
    shard = await world.connection.fetchval("SELECT wearer_no % 16 FROM wearers WHERE wearer_id = 'W1'")
    for outage in OF_ALL:
        await record_outage(world.connection, outage, "test", NOW)
    for outage in OF_SHARD:
        await record_shard_outage(world.connection, shard, outage, "test", NOW)
    return int(shard)


async def exported(world: World) -> Orders:
    plans = [one.plan for one in (await load_assignments(world.connection, ms("13:00"))).values()]
    made = orders_of(plans)
    assert {p.activation.wearer_id: p.outages for p in plans_of(made)} == {
        p.activation.wearer_id: p.outages for p in plans
    }
    return made


async def test_an_outage_of_all_that_touches_one_of_a_shard_is_told_as_of_everybody(
    database_url: str, second_database_url: str
) -> None:
    async with deployed(database_url, orders(1, 2, 3)) as world:
        await with_both(world)
        made = await exported(world)
        told = [(one.from_.ms, one.to.ms, one.wearer_ids) for one in made.outages]
        assert told == [
            (ms("10:00"), ms("10:10"), None),
            (ms("10:10"), ms("10:20"), ["W1"]),
            (ms("10:55"), ms("11:00"), ["W1"]),
            (ms("11:00"), ms("11:05"), None),
            (ms("12:00"), ms("12:05"), ["W1"]),
        ]
    async with deployed(second_database_url, orders()) as other:
        await other.connection.execute("DELETE FROM outages")
        async with other.connection.transaction():
            await enter_orders(other.connection, made, who="test", now_ms=ms("13:00"))
        known = await load_outages(other.connection)
        assert list(known.common) == OF_ALL
        numbers = [
            await other.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = $1", wearer_id)
            for wearer_id in ("W1", "W2")
        ]
        assert [list(known.of(number)) for number in numbers] == [merged([*OF_ALL, *OF_SHARD]), OF_ALL]
        before = await other.connection.fetchval("SELECT count(*) FROM order_changes")
        async with other.connection.transaction():
            await enter_orders(other.connection, made, who="test", now_ms=ms("13:01"))
        assert await other.connection.fetchval("SELECT count(*) FROM order_changes") == before, "it is known already"
        await exported(other)


async def test_outages_of_one_wearer_alone_and_of_nobody(database_url: str) -> None:
    async with deployed(database_url, orders(1)) as world:
        await with_both(world)
        assert {one.wearer_ids is None for one in (await exported(world)).outages} == {True}
    assert orders_of([]).outages == []


async def test_an_outage_that_is_entered_of_one_person_is_no_silence_of_theirs_and_none_of_anybody_elses(
    database_url: str,
) -> None:
    form = orders(1, 2, settings={"silence_buffer_s": 540})
    for one in form["activations"]:
        one["report_interval_s"] = 60
    outage = {"from": iso("12:02"), "to": iso("12:20"), "wearer_ids": ["W1"]}
    async with deployed(database_url, form) as world:
        world.clock.at_ms = ms("12:00:06")
        for device_id in ("D1", "D2"):
            await world.submit(device_id, position(1, "12:00"))
        await world.turn()
        await world.enter({"outages": [outage]})
        await world.settle()
        await world.wait_until("12:25")
        silent = [line["activation_id"] for line in await world.lines() if line["kind"] == "NO_COMMUNICATION"]
        assert silent == ["A2"]
