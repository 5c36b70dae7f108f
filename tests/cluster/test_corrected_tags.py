"""A tag was entered for somebody else than who wears it, and that is corrected: another worker judges it from then on."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from emtrack.service import portions
from emtrack.service.recording import RecordedPart
from tests.cluster.test_locks_of_alerts import looks, works
from tests.cluster.test_shards import MANY, Part, in_another_part, of, shared_out, two_workers
from tests.service_world import (
    AWAY,
    HOME,
    activation,
    as_judged_again,
    as_shown,
    assert_conserved,
    deployed,
    event,
    ms,
    orders,
    position,
)


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


async def test_what_was_found_by_the_orders_of_who_does_not_wear_it_is_withdrawn(database_url: str) -> None:
    async with deployed(database_url, orders(1, 2)) as world:
        await world.send_at("19:10", "D1", position(1, "19:05", AWAY), position(2, "19:09", AWAY))
        assert await world.findings() == ["19:05–… CURFEW SEEN_OUT"]
        await world.enter({"activations": [activation(1, wearer_id="W101")]})
        await world.settle()
        assert await world.findings() == []
        assert await as_shown(world) == await as_judged_again(world)
        assert await world.connection.fetchval("SELECT max(what) FROM alert_changes") == "withdrawn"


# --------------------------------------------------------------------------------------------- no ring


class Halting:
    """A worker's turn stands still after its first portion is written, until it is let go."""

    def __init__(self, part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stands, self.go, self._connection = asyncio.Event(), asyncio.Event(), part.connection
        whole = RecordedPart.write

        async def write(this: RecordedPart) -> None:
            await whole(this)
            if this._connection is self._connection and not self.stands.is_set():
                self.stands.set()
                await self.go.wait()

        monkeypatch.setattr(RecordedPart, "write", write)


async def test_a_turn_that_waits_in_a_ring_for_a_corrected_tag_is_taken_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has an alert of its wearer and waits for the lock of networks; the other has that, and tells of that alert what became of
    the tag that is somebody else's by now."""
    monkeypatch.setattr(portions, "FIRST", 0)
    form = orders(*MANY, activations=[activation(n, report_interval_s=600) for n in MANY])
    form["activations"].append(activation(17, wearer_id="W1", report_interval_s=600))
    async with two_workers(database_url, form) as (world, first, second):
        other = await in_another_part(world, first, second)
        former, present = await of(world, "W1", first, second), await of(world, other, first, second)
        world.clock.at_ms = ms("12:00")
        for n in (*MANY, 17):
            part = former if n == 17 else await of(world, f"W{n}", first, second)
            await part.submit(f"D{n}", position(1, "12:00"))
        await former.submit("D1", event(2, "12:00", "STRAP_TAMPER"))
        for part in (former, present):
            await part.turn()
        await world.enter({"activations": [activation(1, wearer_id=other, report_interval_s=600)]})
        await shared_out(first, second)
        world.clock.at_ms = ms("12:15")
        await former.submit("D17", position(2, "12:15"))
        await former.turn()
        world.clock.at_ms = ms("12:20")
        await present.turn()  # of whom nobody was heard
        world.clock.at_ms = ms("12:30")
        await former.submit("D17", event(3, "12:30", "STRAP_TAMPER"))
        halting = Halting(former, monkeypatch)
        one = asyncio.create_task(former.turn())
        await asyncio.wait_for(halting.stands.wait(), 20)
        await present.submit("D1", event(3, "12:30", "STRAP_CLEAR"), position(4, "12:29"))
        two = asyncio.create_task(present.turn())
        await asyncio.sleep(0.5)
        halting.go.set()
        await asyncio.wait_for(asyncio.gather(one, two), 30)
        assert sum(part.worker._metrics.failed_turns._value.get() for part in (former, present)) == 1
        assert await as_shown(world) == await as_judged_again(world)


async def all_judged(*parts: Part) -> None:
    """Turns, until nobody waits to be judged again."""
    for _ in range(3_000):
        for part in parts:
            await part.turn()
        if not any(part.worker.activations.to_judge_again_count or part.sharing._to_settle for part in parts):
            return
        await asyncio.sleep(0.01)  # another process: there is nothing to wait on but its answer
    raise AssertionError("somebody still waits to be judged again")


@pytest.mark.parametrize("seed", range(2))
async def test_tags_that_are_corrected_all_evening_while_networks_fall_silent_stop_no_turn(
    database_url: str, seed: int
) -> None:
    """Two workers, a person at the pages and the clock, each as it comes."""
    people = range(1, 25)
    fields: dict[str, Any] = {"report_interval_s": 60, "network": "carrier-a"}
    form = orders(*people, activations=[activation(n, **fields) for n in people])
    chance = random.Random(seed)
    async with two_workers(database_url, form) as (world, first, second):
        spare = [f"W{n}" for n in range(101, 117)]  # who wears nothing yet
        done, last_ms = asyncio.Event(), ms("03T02:00")
        beside = [
            asyncio.create_task(works(database_url, last_ms, 1, done)),
            asyncio.create_task(looks(database_url, last_ms, done)),
        ]
        wears = {n: f"W{n}" for n in people}
        try:
            for minute in range(0, 120, 6):
                world.clock.at_ms = ms(f"{20 + minute // 60}:{minute % 60:02}")
                for n in people:
                    if minute % 60 >= 36 or chance.random() < 0.3:
                        continue
                    part = await of(world, wears[n], first, second)
                    what = chance.choice(("STRAP_TAMPER", "STRAP_CLEAR"))
                    at = f"{20 + minute // 60}:{minute % 60:02}"
                    sent = await part.submit(
                        f"D{n}",
                        position(2 * minute, at, chance.choice((HOME, AWAY))),
                        event(2 * minute + 1, at, what),
                    )
                    sent.add_done_callback(asyncio.Future.exception)  # who is put off sends no more
                if minute % 12 == 0 and spare:
                    n = chance.choice(people)
                    wears[n] = spare.pop()
                    await world.enter({"activations": [activation(n, wearer_id=wears[n], **fields)]})
                await asyncio.gather(first.turn(), second.turn())
        finally:
            done.set()
        closed, noted = await asyncio.gather(*beside)
        assert min(closed, noted) > 0
        await all_judged(first, second)
        assert await as_shown(world) == await as_judged_again(world)
        assert await world.count("judgement_faults") == 0
        await assert_conserved(world.connection)
