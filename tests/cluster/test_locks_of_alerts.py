"""Two workers that have found something do not wait for each other, and nobody waits in a ring (alerts/locks.py)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from alerts import act, look_at_alerts_due
from alerts.casework import Overtaken, UnfitAction
from alerts.feed import FeedPosition, changes_after
from emtrack.db.connect import Connection, connect
from emtrack.service.sharing import Sharing
from ingest import Submission
from tests.cluster.test_shards import MANY, Part, of, two_workers
from tests.service_world import AWAY, HOME, World, activation, ms, orders, position

AT_ONCE_S, WHILE_HELD_S = 20.0, 0.5
"""How long something may take that waits for nobody, on a busy machine; and how long we see that something waits."""


class HeldOpen(Sharing):
    """Turns stand still at their end, in their transaction, until they are let go."""

    def __init__(self, like: Sharing) -> None:
        self.__dict__ |= like.__dict__
        self.stands, self.go = asyncio.Event(), asyncio.Event()

    async def note_stored(self, connection: Connection, batch: Sequence[Submission]) -> None:
        await super().note_stored(connection, batch)
        self.stands.set()
        await self.go.wait()


@asynccontextmanager
async def held_open(part: Part) -> AsyncIterator[asyncio.Task[None]]:
    """A turn of a worker that did all that it does, and has not committed."""
    before, held = part.sharing, HeldOpen(part.sharing)
    part.sharing = part.worker._sharing = held
    turn = asyncio.create_task(part.turn())
    try:
        await asyncio.wait_for(held.stands.wait(), AT_ONCE_S)
        yield turn
    finally:
        held.go.set()
        await turn
        part.sharing = part.worker._sharing = before


async def seen_away(world: World, at: str, numbers: Iterable[int], *parts: Part) -> None:
    """Two positions each, far from where they have to be in the evening."""
    world.clock.at_ms = ms(at)
    seq = round(ms(at) / 1000) % 1_000_000
    for number in numbers:
        part = await of(world, f"W{number}", *parts)
        await part.submit(f"D{number}", position(seq, at, AWAY), position(seq + 1, at[:-2] + "59", AWAY))


async def alerts_of(connection: Any, part: Part) -> list[int]:
    """Open ones of the wearers of a worker."""
    rows = await connection.fetch("SELECT alert_no, wearer_no FROM alerts WHERE closed_at IS NULL ORDER BY alert_no")
    return [row["alert_no"] for row in rows if row["wearer_no"] is not None and row["wearer_no"] % 16 in part.owned]


async def close(dsn: str, alert_no: int, at_ms: int) -> None:
    async with other_session(dsn) as connection, connection.transaction():
        await act(
            connection,
            alert_no,
            who="Ash",
            action="closed",
            outcome="NO_ACTION",
            note="Called.",
            confirmed=True,
            now_ms=at_ms,
        )


@asynccontextmanager
async def other_session(dsn: str) -> AsyncIterator[Any]:
    connection = await connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def waits(task: asyncio.Task[Any]) -> bool:
    done, _ = await asyncio.wait({task}, timeout=WHILE_HELD_S)
    return not done


async def test_a_turn_with_alerts_commits_while_one_of_another_shard_is_held_open(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        await seen_away(world, "18:55:00", MANY, first, second)
        for part in (first, second):
            await part.turn()
        world.clock.at_ms = ms("19:00:30")
        async with held_open(first):
            await asyncio.wait_for(second.turn(), AT_ONCE_S)
            theirs = await alerts_of(world.connection, second)
            assert len(theirs) == 8
            assert not await alerts_of(world.connection, first)
            await asyncio.wait_for(close(database_url, theirs[0], world.clock.at_ms), AT_ONCE_S)
            async with other_session(database_url) as clock, clock.transaction():
                looked = await asyncio.wait_for(look_at_alerts_due(clock, world.clock.at_ms), AT_ONCE_S)
            assert looked.occasions == 7
        assert len(await alerts_of(world.connection, first)) == 8
        assert len(await alerts_of(world.connection, second)) == 7


async def test_who_closes_an_alert_waits_for_the_turn_of_its_shard_and_for_no_other(database_url: str) -> None:
    async with two_workers(database_url, orders(*MANY)) as (world, first, second):
        await seen_away(world, "18:55:00", MANY, first, second)
        for at in ("18:56", "19:00:30"):
            world.clock.at_ms = ms(at)
            for part in (first, second):
                await part.turn()
        ours, theirs = await alerts_of(world.connection, first), await alerts_of(world.connection, second)
        assert len(ours) == len(theirs) == 8
        wearer_id = await world.connection.fetchval(
            "SELECT wearer_id FROM people JOIN alerts USING (wearer_no) WHERE alert_no = $1", ours[0]
        )
        world.clock.at_ms = ms("19:20:00")
        await first.submit(f"D{wearer_id[1:]}", position(1, "19:20:00", HOME), position(2, "19:20:59", HOME))
        async with held_open(first):
            closing = asyncio.create_task(close(database_url, ours[0], world.clock.at_ms))
            assert await waits(closing)
            await asyncio.wait_for(close(database_url, theirs[0], world.clock.at_ms), AT_ONCE_S)
        await asyncio.wait_for(closing, AT_ONCE_S)


# --------------------------------------------------------------------------------------------- silences of a network

PEOPLE = range(1, 41)


def of_one_network() -> dict[str, Any]:
    """40 people of one network, and of each shard some."""
    fields: dict[str, Any] = {"report_interval_s": 60, "network": "carrier-a"}
    return {"activations": [activation(n, **fields) for n in PEOPLE]}


async def heard(world: World, at: str, numbers: Iterable[int], *parts: Part) -> None:
    world.clock.at_ms = ms(at)
    for n in numbers:
        part = await of(world, f"W{n}", *parts)
        await part.submit(f"D{n}", position(round(ms(at) / 1000) % 1_000_000, at))
    for part in parts:
        await part.turn()


async def shared(world: World, *parts: Part) -> list[list[int]]:
    """The numbers of each worker's people."""
    owners = {n: await of(world, f"W{n}", *parts) for n in PEOPLE}
    return [[n for n, owner in owners.items() if owner is part] for part in parts]


async def test_silences_of_a_network_in_two_shards_are_one_incident_although_each_has_too_few(
    database_url: str,
) -> None:
    """Each worker finds 14 of 28: less than the 20 that make an incident."""
    async with two_workers(database_url, of_one_network()) as (world, first, second):
        await heard(world, "12:00", PEOPLE, first, second)
        ours, theirs = await shared(world, first, second)
        silent = [*ours[:14], *theirs[:14]]
        await heard(world, "12:09", [n for n in PEOPLE if n not in silent], first, second)
        world.clock.at_ms = ms("12:10:01")
        async with held_open(first):
            turn = asyncio.create_task(second.turn())
            assert await waits(turn), "both may group the silences of the other"
        await asyncio.wait_for(turn, AT_ONCE_S)
        rows = await world.connection.fetch("SELECT kind, incident_no FROM alerts WHERE closed_at IS NULL")
        assert [row["kind"] for row in rows].count("PLATFORM_INCIDENT") == 1
        assert len([row for row in rows if row["incident_no"] is not None]) == 28
        assert not await deadlocks(world)


async def test_closing_an_incident_waits_for_a_turn_that_found_more_people_silent(database_url: str) -> None:
    async with two_workers(database_url, of_one_network()) as (world, first, second):
        await heard(world, "12:00", PEOPLE, first, second)
        await heard(world, "12:09", range(30, 41), first, second)
        world.clock.at_ms = ms("12:10:01")
        for part in (first, second):
            await part.turn()
        incident = await world.connection.fetchval("SELECT alert_no FROM alerts WHERE kind = 'PLATFORM_INCIDENT'")
        await heard(world, "12:17", range(33, 41), first, second)
        for part in (first, second):
            late = [n for n in range(30, 33) if await of(world, f"W{n}", first, second) is part]
            if not late:
                continue
            world.clock.at_ms = ms("12:19:01")
            async with held_open(part):
                closing = asyncio.create_task(close(database_url, incident, world.clock.at_ms))
                assert await waits(closing)
            await asyncio.wait_for(closing, AT_ONCE_S)
            return
        raise AssertionError("nobody fell silent late")


async def test_closing_an_incident_waits_for_who_works_an_alert_of_one_of_its_people(database_url: str) -> None:
    """The alerts that are over are closed with it: what is noted on one in the same moment comes before that."""
    async with two_workers(database_url, of_one_network()) as (world, first, second):
        await heard(world, "12:00", PEOPLE, first, second)
        await heard(world, "12:09", range(30, 41), first, second)
        world.clock.at_ms = ms("12:10:01")
        for part in (first, second):
            await part.turn()
        incident = await world.connection.fetchval("SELECT alert_no FROM alerts WHERE kind = 'PLATFORM_INCIDENT'")
        await heard(world, "12:15", PEOPLE, first, second)
        member = await world.connection.fetchval("SELECT min(alert_no) FROM alerts WHERE incident_no = $1", incident)
        async with other_session(database_url) as page:
            noting = page.transaction()
            await noting.start()
            await act(page, member, who="Bly", action="noted", note="Called.", now_ms=world.clock.at_ms)
            closing = asyncio.create_task(close(database_url, incident, world.clock.at_ms))
            assert await waits(closing)
            await noting.commit()
            await asyncio.wait_for(closing, AT_ONCE_S)
        done = await world.connection.fetch(
            "SELECT action FROM alert_actions WHERE alert_no = $1 ORDER BY action_no", member
        )
        assert [row["action"] for row in done] == ["noted", "closed"]


# --------------------------------------------------------------------------------------------- all at once


async def deadlocks(world: World) -> int:
    await world.connection.execute("SELECT pg_stat_clear_snapshot()")
    found: int = await world.connection.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    return found


async def works(dsn: str, at_ms: int, seed: int, done: asyncio.Event) -> int:
    """An operator who closes whatever is open, in no order. How many."""
    chance, closed = random.Random(seed), 0
    async with other_session(dsn) as connection:
        while not done.is_set():
            rows = await connection.fetch("SELECT alert_no FROM alerts WHERE closed_at IS NULL ORDER BY alert_no")
            if not rows:
                await asyncio.sleep(0.01)  # other sessions: there is nothing to wait on but what they raise
                continue
            number = chance.choice(rows)["alert_no"]
            try:
                async with connection.transaction():
                    await act(
                        connection, number, who=f"O{seed}", action="closed", outcome="NO_ACTION", note="Called.", confirmed=True,
                        now_ms=at_ms,
                    )  # fmt: skip
                closed += 1
            except (Overtaken, UnfitAction):
                continue
    return closed


async def looks(dsn: str, at_ms: int, done: asyncio.Event) -> int:
    """The clock, which looks at what is due. How many occasions it noted."""
    noted = 0
    async with other_session(dsn) as connection:
        while not done.is_set():
            async with connection.transaction():
                noted += (await look_at_alerts_due(connection, at_ms)).occasions
            await asyncio.sleep(0.001)
    return noted


async def follows(dsn: str, done: asyncio.Event) -> list[tuple[int, str]]:
    """A reader of the feed, until it has read as much as there is in the end."""
    place, read = FeedPosition(0, 0), []
    async with other_session(dsn) as connection:
        while True:
            for change in await changes_after(connection, place):
                read.append((change.alert_no, change.what))
                place = change.position
            if done.is_set() and len(read) >= await connection.fetchval("SELECT count(*) FROM alert_changes"):
                return read
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("seed", range(3))
async def test_turns_pages_and_the_clock_at_once_lose_nothing_double_nothing_and_wait_in_no_ring(
    database_url: str, seed: int
) -> None:
    """In and out of their homes in a curfew, silent by the network, while people close and the clock looks."""
    form = orders(*PEOPLE, activations=[activation(n, report_interval_s=60, network="carrier-a") for n in PEOPLE])
    async with two_workers(database_url, form) as (world, first, second):
        done, last_ms, asks = asyncio.Event(), ms("03T02:00"), asyncio.Lock()

        async def turns(part: Part, chance: random.Random) -> None:
            for minute in range(0, 120, 6):
                at = f"{20 + minute // 60}:{minute % 60:02}"
                world.clock.at_ms = max(world.clock.at_ms, ms(at))
                heard = [] if minute % 60 >= 36 else [n for n in ours[part] if chance.random() < 0.7]
                async with asks:
                    for n in heard:
                        place = chance.choice((HOME, AWAY))
                        twice = position(2 * minute, at, place), position(2 * minute + 1, f"{at}:30", place)
                        await part.submit(f"D{n}", *twice)
                await part.turn()

        ours = dict(zip((first, second), await shared(world, first, second), strict=True))
        beside = [
            asyncio.create_task(task)
            for task in (
                works(database_url, last_ms, 1, done),
                works(database_url, last_ms, 2, done),
                looks(database_url, last_ms, done),
            )
        ]
        all_over = asyncio.Event()
        reader = asyncio.create_task(follows(database_url, all_over))
        try:
            await asyncio.gather(turns(first, random.Random(seed)), turns(second, random.Random(~seed)))
        finally:
            done.set()
        closed_by_one, closed_by_other, noted = await asyncio.gather(*beside)
        all_over.set()
        read = await asyncio.wait_for(reader, AT_ONCE_S)
        assert not await deadlocks(world)
        connection = world.connection
        assert min(closed_by_one, closed_by_other, noted) > 0
        assert await connection.fetchval(
            "SELECT count(*) FROM alert_actions WHERE action = 'closed' AND done_by LIKE 'O_'"
        ) >= (closed_by_one + closed_by_other)
        there = await connection.fetch("SELECT alert_no, what FROM alert_changes")
        assert sorted(read) == sorted((row["alert_no"], row["what"]) for row in there)
        raised = [number for number, what in read if what == "raised"]
        assert sorted(raised) == [
            row["alert_no"] for row in await connection.fetch("SELECT alert_no FROM alerts ORDER BY 1")
        ]
        # What is in the record and grave enough is an occurrence of exactly one alert, of its own wearer and kind.
        astray = await connection.fetch(
            """
            SELECT f.finding_no FROM findings f CROSS JOIN LATERAL newest_version(f.finding_no) v
            JOIN activation_versions w ON w.activation_no = f.activation_no AND upper_inf(w.recorded)
            LEFT JOIN alert_occurrences o ON o.finding_no = f.finding_no LEFT JOIN alerts a USING (alert_no)
            LEFT JOIN alert_timers t ON t.finding_no = f.finding_no
            WHERE f.kind IN ('CURFEW', 'NO_COMMUNICATION') AND v.change <> 'withdrawn' AND NOT v.within_grace
              AND t.finding_no IS NULL AND (a.alert_no IS NULL OR a.wearer_no <> w.wearer_no OR a.kind <> f.kind)
            """
        )
        assert not astray
