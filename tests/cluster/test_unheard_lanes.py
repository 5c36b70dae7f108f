"""The lane of one shard, or of all, is not read for some seconds: whoever would be silent just then is not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

import pytest

from emtrack.db.connect import Connection, connect
from emtrack.service.sharing import Sharing
from ingest import Submission
from tests.cluster.test_shards import MANY, Part
from tests.service_world import World, as_judged_again, as_shown, deployed, ms, orders, position

SILENT = """
SELECT a.activation_id FROM findings f JOIN activations a USING (activation_no) WHERE f.kind = 'NO_COMMUNICATION' ORDER BY 1
"""
OUTAGES = """
SELECT shard, range_agg(during)::text FROM shard_outages WHERE cause LIKE 'no gateway%' GROUP BY shard ORDER BY shard
"""
ALL = frozenset(range(16))


class Lanes:
    """What a stream reader says to a worker that gets its submissions from a test."""

    def __init__(self) -> None:
        self.signs: dict[int, float] = {}

    async def read_shards(self, connection: Connection, shards: Collection[int]) -> None:
        pass

    async def leave_shards(self, shards: Collection[int] | None) -> None:
        pass

    def is_current(self, submission: Submission) -> bool:
        return submission.place is None

    def sign_s(self, shard: int) -> float | None:
        return self.signs.get(shard)

    async def note_stored(self, connection: Connection, batch: Sequence[Submission]) -> None:
        pass

    def stored(self, batch: Sequence[Submission]) -> None:
        pass


class Listening:
    """A worker of all shards whose signs of life a test gives."""

    def __init__(self, world: World, part: Part, lanes: Lanes) -> None:
        self.world = world
        self.part = part
        self.lanes = lanes

    async def turn(self, at: str, *, unheard: Collection[int] = (), after_s: float = 1.1) -> None:
        """At "12:10:05.1", some real time after the turn before."""
        second, _, tenth = at.partition(".")
        self.part.stopwatch.advance(after_s)
        self.world.clock.at_ms = ms(second) + 100 * int(tenth or 0)
        self.lanes.signs |= dict.fromkeys(ALL - set(unheard), self.part.stopwatch())
        await self.part.worker.turn(self.part.connection)

    async def silent(self) -> list[str]:
        return [row["activation_id"] for row in await self.world.connection.fetch(SILENT)]


@asynccontextmanager
async def listening(dsn: str) -> AsyncIterator[Listening]:
    """Tags that may be silent for ten minutes, each with a position at 12:00:06, and all but the first with another at 12:05."""
    form = orders(*MANY, settings={"silence_buffer_s": 540})
    for one in form["activations"]:
        one["report_interval_s"] = 60
    async with deployed(dsn, form) as world:
        await world.turn()
        connection = await connect(dsn)
        part, lanes = Part(world, connection), Lanes()
        part.sharing = part.worker._sharing = Sharing(lanes, part.stopwatch)
        await world.worker.close()
        try:
            await part.start()
            made = Listening(world, part, lanes)
            for second in range(1, 7):
                await made.turn(f"12:00:0{second}")
            assert part.owned == ALL
            for number in MANY:
                await part.submit(f"D{number}", position(1, "12:00:06"))
            await made.turn("12:00:07")
            for number in MANY[1:]:
                await part.submit(f"D{number}", position(2, "12:05"))
            await made.turn("12:05:00")
            await made.turn("12:10:04")
            yield made
        finally:
            await part.worker.close()
            connection.terminate()


async def shard_of(world: World, wearer_id: str) -> int:
    return int(await world.connection.fetchval("SELECT wearer_no % 16 FROM wearers WHERE wearer_id = $1", wearer_id))


@pytest.mark.parametrize("reports", [False, True])
@pytest.mark.parametrize("unheard", ["one lane", "all lanes"])
async def test_who_would_be_silent_while_a_lane_is_not_read_is_not(
    database_url: str, unheard: str, reports: bool
) -> None:
    async with listening(database_url) as made:
        gone = ALL if unheard == "all lanes" else {await shard_of(made.world, "W1")}
        times = [f"12:10:{second:02}.{tenth}" for second, tenth in zip(range(5, 14), range(1, 10), strict=True)]
        for seq, at in enumerate(times, start=3):
            if reports:
                await made.part.submit("D5", position(seq, at.partition(".")[0]))
            await made.turn(at, unheard=gone)
            assert await made.silent() == []
        await made.part.submit("D1", position(2, "12:10:06"))  # it was in the stream all the time
        await made.turn("12:10:14")
        await made.turn("12:10:20", after_s=4.0)
        assert await made.silent() == []
        assert await made.world.count("alerts") == 0
        rows = [tuple(row) for row in await made.world.connection.fetch(OUTAGES)]
        assert [shard for shard, _ in rows] == sorted(gone)
        assert all(times.startswith('{["2026-03-02 12:10:04+00"') for _, times in rows)
        assert await as_shown(made.world) == await as_judged_again(made.world)


async def test_who_is_silent_while_all_lanes_are_read_is_found_when_signs_have_passed_the_limit(
    database_url: str,
) -> None:
    async with listening(database_url) as made:
        await made.turn("12:10:07")
        assert await made.silent() == []
        await made.turn("12:10:08.2")
        assert await made.silent() == ["A1"]


async def test_a_report_is_received_now_though_other_lanes_had_their_last_sign_before(database_url: str) -> None:
    async with listening(database_url) as made:
        sent = await made.part.submit("D5", position(3, "12:10:05"))
        await made.turn("12:10:05.9", unheard=ALL - {await shard_of(made.world, "W5")})
        assert (await sent).ack == [3]
        received_ms = await made.world.connection.fetchval("SELECT epoch_ms(max(received_at)) FROM raw_requests")
        assert received_ms == ms("12:10:05") + 900
