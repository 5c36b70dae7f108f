"""What pages say of workers that are other processes."""

from __future__ import annotations

import asyncio

from emtrack.db.connect import connect
from emtrack.service.record_watch import NOT_KNOWN, RecordWatch


async def test_what_was_seen_counts_for_ten_seconds_and_then_nobody_knows_whether_anybody_is_watched(
    database_url: str,
) -> None:
    at_s = [100.0]
    watch = RecordWatch(database_url, asyncio.Condition(), lambda: at_s[0])
    assert watch.trouble() == NOT_KNOWN
    connection = await connect(database_url)
    try:
        await connection.execute(
            "INSERT INTO shard_liveness SELECT n, now(), 0, 0, clock_timestamp(), false FROM generate_series(0, 15) n"
        )
        await watch._look(connection)
        assert watch.trouble() is None
        at_s[0] += 9.0
        assert watch.trouble() is None
        at_s[0] += 2.0  # the database hangs meanwhile
        assert watch.trouble() == NOT_KNOWN
    finally:
        await connection.close()


async def test_shards_whose_workers_commit_and_hear_no_gateway_are_not_watched(database_url: str) -> None:
    watch = RecordWatch(database_url, asyncio.Condition())
    connection = await connect(database_url)
    try:
        await connection.execute(
            "INSERT INTO shard_liveness SELECT n, now(), 0, 0, clock_timestamp(), false, clock_timestamp() - interval '1 s' "
            "FROM generate_series(0, 15) n"
        )
        await watch._look(connection)
        assert watch.trouble() is None
        await connection.execute("UPDATE shard_liveness SET heard_at = heard_at - interval '20 s' WHERE shard < 3")
        await watch._look(connection)
        assert (
            watch.trouble()
            == "Their workers heard no gateway for 10 s: 3 of 16 shards of the people are not watched."
        )
    finally:
        await connection.close()
