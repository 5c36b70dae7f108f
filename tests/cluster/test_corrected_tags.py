"""A tag was entered for somebody else than who wears it, and that is corrected: another worker judges it from then on."""

from __future__ import annotations

from tests.cluster.test_shards import MANY, Part, in_another_part, of, shared_out, two_workers
from tests.service_world import activation, ms, orders, position


async def an_hour_behind(part: Part, minutes: range) -> None:
    """What D1 sends each ten minutes."""
    for minute in minutes:
        part.world.clock.at_ms = ms("13:00") + minute * 60_000
        await part.submit("D1", position(minute, f"{12 + minute // 60}:{minute % 60:02}"))
        await part.turn()


async def test_a_clock_that_another_worker_found_wrong_is_not_found_so_once_more(database_url: str) -> None:
    form = orders(*MANY, activations=[activation(n, report_interval_s=600) for n in MANY])
    async with two_workers(database_url, form) as (world, first, second):
        other = await in_another_part(world, first, second)
        former, present = await of(world, "W1", first, second), await of(world, other, first, second)
        await an_hour_behind(former, range(0, 50, 10))
        assert await world.count("wrong_clocks") == 1
        await world.enter({"activations": [activation(1, wearer_id=other, report_interval_s=600)]})
        await shared_out(first, second)
        await an_hour_behind(present, range(60, 110, 10))
        assert await world.count("wrong_clocks") == 1
        assert present.worker._metrics.failed_turns._value.get() == 0
