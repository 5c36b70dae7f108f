"""Every report that is kept, whether one by one or in a request that is kept whole."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from ingest import read_request

ONE_BY_ONE = "SELECT fact_id, device_no, boot, seq, received_at, body, digest FROM raw_reports"
WHOLE = "SELECT request_no, device_no, received_at, body, content_type FROM raw_requests"


class KeptReport(NamedTuple):
    """`body`, `digest`: as reports are kept one by one."""

    fact_id: int
    device_no: int
    boot: int
    seq: int
    received_at: datetime
    body: bytes
    digest: bytes


async def kept_reports(connection: asyncpg.Connection[Any]) -> list[KeptReport]:
    """In the order of their fact ids."""
    found = [KeptReport(*row) for row in await connection.fetch(ONE_BY_ONE)]
    for row in await connection.fetch(WHOLE):
        for place, received in enumerate(read_request(row["body"], row["content_type"]).reports):
            assert received.seq is not None
            found.append(
                KeptReport(
                    row["request_no"] + place, row["device_no"], received.boot, received.seq, row["received_at"],
                    received.body, received.digest,
                )
            )  # fmt: skip
    return sorted(found)
