"""Writing which reports came signed, after they are stored (`signing.py` says what that is)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg

from geofence import datetime_of
from ingest.inbox import Submission
from ingest.signing import Signing
from ingest.store import Incoming

WRONG_SIGNATURE = "the signature is not of a key of this device"

# Each report as it is stored: what came before is looked up by its number and content, one row at a time (OFFSET 0).
TO_SIGN = """
SELECT s.request_no, r.fact_id FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])
    AS s (request_no, device_no, boot, seq, digest)
CROSS JOIN LATERAL (
    SELECT fact_id FROM raw_reports r
    WHERE (r.device_no, r.boot, r.seq, r.digest) = (s.device_no, s.boot, s.seq, s.digest) OFFSET 0) AS r
WHERE NOT EXISTS (SELECT FROM signed_reports g WHERE g.fact_id = r.fact_id)
"""
STORE_REQUESTS = """
INSERT INTO signed_requests (request_no, device_no, key_no, boot, received_at, signature, reports)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::bytea[], $7::bytea[])
"""
STORE_SIGNED = """
INSERT INTO signed_reports (fact_id, request_no) SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING
"""
# Of each report once, however often it is sent.
STORE_WRONG = """
INSERT INTO integrity_events (fact_id, device_no, noticed_at, what)
SELECT DISTINCT r.fact_id, s.device_no, s.noticed_at, s.what
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], $5::timestamptz[], $6::text[])
    AS s (device_no, boot, seq, digest, noticed_at, what)
CROSS JOIN LATERAL (
    SELECT fact_id FROM raw_reports r
    WHERE (r.device_no, r.boot, r.seq, r.digest) = (s.device_no, s.boot, s.seq, s.digest) OFFSET 0) AS r
WHERE NOT EXISTS (SELECT FROM integrity_events e WHERE e.fact_id = r.fact_id AND e.what = s.what)
"""


class _Request(NamedTuple):
    signing: Signing
    items: Sequence[Incoming]


async def store_signatures(
    connection: asyncpg.Connection[Any], batch: Sequence[Submission], incoming: Sequence[Incoming]
) -> int:
    """The grade of the reports of a turn that came signed, after they were stored, in the same transaction. How many came with a
    wrong signature."""
    requests = _signed(batch, incoming)
    right = [request for request in requests if request.signing.key_no is not None]
    wrong = [item for request in requests if request.signing.key_no is None for item in request.items]
    if right:
        await _store_right(connection, right)
    if wrong:
        moments = [datetime_of(item.received_ms) for item in wrong]
        await connection.execute(STORE_WRONG, *_columns(wrong), moments, [WRONG_SIGNATURE] * len(wrong))
    return len(wrong)


def _signed(batch: Sequence[Submission], incoming: Sequence[Incoming]) -> list[_Request]:
    """Requests that came signed, each with its reports that have a number."""
    found, position = [], 0
    for submission in batch:
        size = len(submission.reports) if submission.unreadable is None else 1
        if submission.signing is not None and submission.unreadable is None:
            items = [one for one in incoming[position : position + size] if one.received.seq is not None]
            if items:
                found.append(_Request(submission.signing, items))
        position += size
    return found


async def _store_right(connection: asyncpg.Connection[Any], requests: Sequence[_Request]) -> None:
    """A request is kept when a report of it is not of the higher grade yet: what is sent again adds nothing."""
    by_no = {request.items[0].fact_id: request for request in requests}
    items = [item for request in requests for item in request.items]
    numbers = [request.items[0].fact_id for request in requests for _ in request.items]
    rows = await connection.fetch(TO_SIGN, numbers, *_columns(items))
    grades = {row["fact_id"]: row["request_no"] for row in rows}
    kept = [(number, by_no[number]) for number in sorted(set(grades.values()))]
    if not kept:
        return
    await connection.execute(
        STORE_REQUESTS,
        [number for number, _ in kept],
        [request.items[0].device_no for _, request in kept],
        [request.signing.key_no for _, request in kept],
        [request.signing.boot for _, request in kept],
        [datetime_of(request.items[0].received_ms) for _, request in kept],
        [request.signing.signature for _, request in kept],
        [request.signing.reports for _, request in kept],
    )
    await connection.execute(STORE_SIGNED, list(grades), list(grades.values()))


def _columns(items: Sequence[Incoming]) -> list[list[Any]]:
    return [
        [item.device_no for item in items],
        [item.received.boot for item in items],
        [item.received.seq for item in items],
        [item.received.digest for item in items],
    ]
