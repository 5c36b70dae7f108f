"""A reader of the feed misses nothing, though lower numbers can be committed later."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import asyncpg
import pytest

from alerts.feed import BadFeedPosition, FeedPosition, changes_after, newest_position
from emtrack.db.connect import connect

WRITERS, EACH = 16, 40
ALERT = """
WITH w AS (INSERT INTO wearers (wearer_id) VALUES ('W1') RETURNING wearer_no),
     a AS (INSERT INTO activations (activation_id, entered_at) VALUES ('A1', now()) RETURNING activation_no)
INSERT INTO alerts (alert_no, wearer_no, activation_no, kind, severity, raised_at, known_at)
SELECT 1, wearer_no, activation_no, 'EXCLUSION', 1, now(), now() FROM w, a
"""
WRITE = "INSERT INTO alert_changes (alert_no, what, changed_at) VALUES (1, 'noted', now()) RETURNING change_no"
PLAIN = "SELECT change_no FROM alert_changes WHERE change_no > $1 ORDER BY change_no"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(database_url)
    await connection.execute(ALERT)
    yield connection
    await connection.close()


async def write(dsn: str, seed: int) -> list[int]:
    """Transactions of different lengths, so that numbers and commits come in different orders."""
    rng = random.Random(seed)
    own = await connect(dsn)
    numbers = []
    try:
        for _ in range(EACH):
            async with own.transaction():
                numbers.append(await own.fetchval(WRITE))
                await own.execute("SELECT pg_sleep($1)", rng.choice([0, 0.001, 0.02]))
    finally:
        await own.close()
    return numbers


async def fenced(connection: asyncpg.Connection, done: asyncio.Event) -> list[int]:
    place, seen = FeedPosition(0, 0), []
    while True:
        last = done.is_set()
        found = await changes_after(connection, place)
        seen += [change.position.change_no for change in found]
        if found:
            place = found[-1].position
        elif last:
            return seen


async def plain(connection: asyncpg.Connection, done: asyncio.Event) -> list[int]:
    """What the feed must not be: `id > last`."""
    seen: list[int] = []
    while True:
        last = done.is_set()
        found = [row["change_no"] for row in await connection.fetch(PLAIN, seen[-1] if seen else 0)]
        seen += found
        if last and not found:
            return seen


async def test_a_reader_never_misses_a_commit_that_lands_out_of_order_and_a_plain_reader_does(
    connection: asyncpg.Connection, database_url: str
) -> None:
    done = asyncio.Event()
    other = await connect(database_url)
    try:
        readers = [asyncio.create_task(fenced(connection, done)), asyncio.create_task(plain(other, done))]
        written = [
            n for numbers in await asyncio.gather(*(write(database_url, s) for s in range(WRITERS))) for n in numbers
        ]
        done.set()
        by_the_fence, by_number = [await reader for reader in readers]
    finally:
        await other.close()
    assert sorted(by_the_fence) == sorted(written)
    assert len(set(by_the_fence)) == len(by_the_fence)
    assert set(by_number) < set(written)


async def test_a_change_is_told_only_when_nothing_before_it_can_appear(
    connection: asyncpg.Connection, database_url: str
) -> None:
    slow = await connect(database_url)
    start = await newest_position(connection)
    transaction = slow.transaction()
    await transaction.start()
    first = await slow.fetchval(WRITE)
    second = await connection.fetchval(WRITE)
    assert await changes_after(connection, start) == []
    await transaction.commit()
    assert [change.position.change_no for change in await changes_after(connection, start)] == [first, second]
    await slow.close()


async def test_a_reader_can_be_resumed_from_any_id(connection: asyncpg.Connection) -> None:
    start = await newest_position(connection)
    written = [await connection.fetchval(WRITE) for _ in range(5)]
    told = await changes_after(connection, start)
    again = await changes_after(connection, FeedPosition.read(str(told[1].position)))
    assert [change.position.change_no for change in again] == written[2:]


@pytest.mark.parametrize("text", ["", "7", "7-", "-7", "a-b", "1-2-3", "9" * 50 + "-1"])
def test_a_text_that_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(BadFeedPosition):
        FeedPosition.read(text)
