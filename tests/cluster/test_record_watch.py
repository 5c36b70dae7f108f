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
