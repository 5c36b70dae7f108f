"""What waits in quarantine for orders, where two workers take the orders in one after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from emtrack.db.connect import connect
from emtrack.record.changes import are_noticed
from emtrack.service.activations import FAULT
from ingest import store
from tests.cluster.test_shards import MANY, Part, ended, given_on, in_another_part, of, shared_out, two_workers
from tests.cluster.test_units_of_two import numbers_apart, unit
from tests.service_world import World, activation, event, orders, position

NEW_DEVICE = "INSERT INTO devices (device_id, added_at) VALUES ($1, now()) RETURNING device_no"


async def nobodys_device(world: World, part: Part) -> str:
    """Which a worker keeps as long as it is on nobody."""
    for number in range(90, 110):
        if await world.connection.fetchval(NEW_DEVICE, f"D{number}") % 16 in part.owned:
            return f"D{number}"
    raise AssertionError("it has no shard")


def worn_by_the_first(device_id: str) -> dict[str, Any]:
    new = activation(90, device_id=device_id, wearer_id="W1", **{"from": "2026-03-02T10:00:00Z"})
    return {"activations": [activation(1, to="2026-03-02T09:00:00Z"), new]}


async def turn_with(part: Part, step: str, meanwhile: Callable[[], Awaitable[Any]], *, before: bool) -> None:
    """Something happens just before or after a step of the turn."""
    of_the_worker = getattr(part.worker, step)

    async def interrupted(*arguments: Any) -> None:
        delattr(part.worker, step)
        if before:
            await meanwhile()
        await of_the_worker(*arguments)
        if not before:
            await meanwhile()

    setattr(part.worker, step, interrupted)
    await part.turn()


async def refused_after_the_orders_were_taken_in(world: World, wearers: Part, other: Part) -> None:
    """By a worker that has not taken them in."""
    device_id = await nobodys_device(world, other)
    await other.submit(device_id, position(1, "11:00"))

    async def entered() -> None:
        await world.enter(worn_by_the_first(device_id))
        await wearers.turn()

    await turn_with(other, "_notice_changes", entered, before=False)
    assert await world.count("quarantine") == 1


async def test_what_another_worker_refused_after_we_took_the_orders_in_is_stored(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        wearers = await of(world, "W1", first, second)
        other = second if wearers is first else first
        await refused_after_the_orders_were_taken_in(world, wearers, other)
        for part in (other, wearers) * 3:
            await part.turn()
        assert await are_noticed(world.connection)
        assert await world.count("positions") == 1


async def test_it_is_stored_although_its_worker_ended_before_the_other_took_the_orders_in(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        wearers = await of(world, "W1", first, second)
        other = second if wearers is first else first
        await refused_after_the_orders_were_taken_in(world, wearers, other)
        wearers.connection.terminate()
        await other.turn()
        await shared_out(other)
        assert await are_noticed(world.connection)
        assert await world.count("positions") == 1


async def two_with_a_unit(world: World, first: Part, second: Part, *reports: dict[str, Any]) -> tuple[Part, Part]:
    """A home unit said something before it stood with people of both."""
    await world.connection.execute(NEW_DEVICE, "H1")
    number = await world.device_no("H1")
    done = await (first if number % 16 in first.owned else second).submit("H1", *reports)
    for part in (first, second):
        await part.turn()
    assert len((await done).refused) == len(reports)
    mine, other = await numbers_apart(world, first, second)
    await world.enter({"home_units": [unit(mine, "08:00"), unit(other, "08:00")]})
    return await of(world, f"W{mine}", first, second), await of(world, f"W{other}", first, second)


async def test_what_a_home_unit_said_is_told_of_people_of_both_though_each_reads_it_in_parts(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_READ_AGAIN", 3)
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        reports = [event(n, f"11:{n:02}", "HMU_POWER_LOST") for n in range(1, 11)]
        parts = await two_with_a_unit(world, first, second, *reports)
        for part in parts * 8:
            await part.turn()
        assert await are_noticed(world.connection)
        assert (await world.count("quarantine_releases"), await world.count("device_events")) == (10, 20)


async def test_two_workers_that_read_the_same_at_once_release_it_once_and_no_turn_fails(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        one, other = await two_with_a_unit(world, first, second, event(1, "11:50", "HMU_POWER_LOST"))
        await turn_with(one, "_lock_divided", other.turn, before=True)
        assert not one.worker._metrics.failed_turns._value.get()
        assert not any(live.rebuild == FAULT for live in one.worker.activations)
        assert (await world.count("quarantine_releases"), await world.count("device_events")) == (1, 2)


async def test_who_passed_to_another_worker_is_not_loaded_once_more_here(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        wearer_id = await in_another_part(world, first, second)
        former, present = await of(world, "W1", first, second), await of(world, wearer_id, first, second)
        await ended(world, wearer_id)
        await world.enter(given_on(wearer_id))
        await present.turn()
        everybody, change_no = present.worker.activations.wearers(), present.worker._changes_read
        present.sharing.settle_later(everybody, [await world.device_no("D1")], change_no)
        third = Part(world, await connect(database_url))
        await third.start()
        for part in (present, third) * 6 + (former, present, third) * 6:
            await part.turn()
        try:
            assert len(third.owned) > 0
            for part in (first, second, third):
                assert all(live.assignment.wearer_no % 16 in part.owned for live in part.worker.activations)
        finally:
            await third.worker.close()
            third.connection.terminate()


async def test_it_is_stored_by_one_process_that_begins_after_the_workers(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        wearers = await of(world, "W1", first, second)
        other = second if wearers is first else first
        await refused_after_the_orders_were_taken_in(world, wearers, other)
        await other.turn()  # it takes them in, and nobody has looked once more
        for part in (wearers, other):
            part.connection.terminate()
        await world.start()
        await world.settle()
        assert await are_noticed(world.connection)
        assert await world.count("positions") == 1
