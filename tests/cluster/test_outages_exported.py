"""Outages of all and of a shard, in the orders that are exported."""

from __future__ import annotations

from emtrack.forms.from_core import orders_of
from emtrack.forms.orders import Orders
from emtrack.forms.to_core import plans_of
from emtrack.orders.entry import enter_orders
from emtrack.record.outages import load_outages, record_outage, record_shard_outage
from emtrack.record.plans import load_assignments
from geofence import Interval, datetime_of
from tests.service_world import World, deployed, ms, orders

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
        assert list((await load_outages(other.connection)).common) == OF_ALL


async def test_outages_of_one_wearer_alone_and_of_nobody(database_url: str) -> None:
    async with deployed(database_url, orders(1)) as world:
        await with_both(world)
        assert {one.wearer_ids is None for one in (await exported(world)).outages} == {True}
    assert orders_of([]).outages == []
