"""A request that needs many new days waits for them by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from emtrack.service.new_days import MOST_IN_A_TURN
from ingest.store import known_days
from tests.service_world import World, activation, deployed, orders, position

SINCE = "2025-01-01T00:00:00Z"


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    form = orders(1, 2, activations=[activation(1, **{"from": SINCE}), activation(2, **{"from": SINCE})])
    async with deployed(database_url, form, at="12:00") as world:
        yield world


def on_days(count: int) -> list[dict[str, object]]:
    noon = datetime(2025, 3, 1, 12, tzinfo=UTC)
    return [position(n, f"{noon + timedelta(days=n):%Y-%m-%dT%H:%M:%SZ}") for n in range(count)]


async def test_it_is_stored_when_they_are_made_and_nobody_else_waits(world: World) -> None:
    many = await world.submit("D1", *on_days(40))
    before = len(await known_days(world.connection))
    await world.send("D2", position(1, "11:59"))
    assert not many.done(), "it waits beside the turns"
    for _ in range(500):
        if many.done():
            break
        await world.turn()
        await asyncio.sleep(0.01)  # another connection: there is nothing to wait on but what it makes
    assert many.done()
    assert await world.count("positions") == 41
    assert len(await known_days(world.connection)) == before + 41
    assert await world.count("quarantine") == 0


async def test_a_few_are_made_in_the_turn(world: World) -> None:
    done = await world.submit("D1", *on_days(MOST_IN_A_TURN))
    await world.turn()
    assert done.done()
    assert await world.count("positions") == MOST_IN_A_TURN


async def test_days_of_what_is_refused_are_not_made(world: World) -> None:
    before = await known_days(world.connection)
    ancient = [position(n, f"20{n:02}-01-01T12:00:00Z") for n in range(1, 20)]
    await world.send("D1", *ancient)
    assert await known_days(world.connection) == before
    assert await world.count("quarantine") == 19


async def test_who_waits_for_days_when_the_worker_begins_anew_is_told_to_send_again(world: World) -> None:
    many = await world.submit("D1", *on_days(40))
    await world.turn()
    await world.start()
    assert many.exception() is not None
    again = await world.submit("D1", *on_days(40))
    for _ in range(500):
        if again.done():
            break
        await world.turn()
        await asyncio.sleep(0.01)  # likewise
    assert await world.count("positions") == 40
