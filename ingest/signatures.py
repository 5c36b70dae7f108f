"""Writing which reports came signed, after they are stored (`signing.py` says what that is)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

import asyncpg

from geofence import datetime_of
from ingest.inbox import Submission
from ingest.incoming import Incoming
from ingest.signing import Signing
from ingest.store import StoreOutcome

WRONG_SIGNATURE = "the signature is not of a key of this device"

# Each report as it is stored: what came before is looked up by its number and content, one row at a time (OFFSET 0).
TO_SIGN = """
SELECT s.request_no, r.fact_id FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])
    AS s (request_no, device_no, boot, seq, digest)
CROSS JOIN LATERAL (
    SELECT fact_id FROM raw_reports r
    WHERE (r.device_no, r.boot, r.seq, r.digest) = (s.device_no, s.boot, s.seq, s.digest) OFFSET 0) AS r
WHERE NOT is_signed(r.fact_id)
"""
NOT_SIGNED = """
SELECT fact_id, request_no FROM unnest($1::bigint[], $2::bigint[]) AS k (fact_id, request_no) WHERE NOT is_signed(fact_id)
"""
STORE_REQUESTS = """
INSERT INTO signed_requests (request_no, last_fact, device_no, key_no, boot, received_at, signature, reports)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::bytea[],
                     $8::bytea[])
"""
STORE_SIGNED = """
INSERT INTO signed_reports (fact_id, request_no) SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING
"""
# Of each report once, however often it is sent.
STORE_WRONG = """
INSERT INTO integrity_events (fact_id, device_no, noticed_at, what)
SELECT DISTINCT r.fact_id, s.device_no, s.noticed_at, s.what
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], $5::timestamptz[], $6::text[], $7::bigint[])
    AS s (device_no, boot, seq, digest, noticed_at, what, kept_as)
CROSS JOIN LATERAL (
    SELECT s.kept_as AS fact_id WHERE s.kept_as IS NOT NULL
    UNION ALL
    SELECT fact_id FROM raw_reports r
    WHERE (r.device_no, r.boot, r.seq, r.digest) = (s.device_no, s.boot, s.seq, s.digest) OFFSET 0) AS r
WHERE NOT EXISTS (SELECT FROM integrity_events e WHERE e.fact_id = r.fact_id AND e.what = s.what)
"""


class _Request(NamedTuple):
    """Its reports that have a number, in order. They are given fact ids that follow each other, but where a block of ids ends."""

    signing: Signing
    items: Sequence[Incoming]

    @property
    def number(self) -> int:
        return self.items[0].fact_id

    @property
    def last(self) -> int:
        """The last fact id that follows the first without a gap."""
        last = self.number
        for item in self.items[1:]:
            if item.fact_id != last + 1:
                break
            last += 1
        return last


async def store_signatures(
    connection: asyncpg.Connection[Any],
    batch: Sequence[Submission],
    incoming: Sequence[Incoming],
    outcome: StoreOutcome,
) -> int:
    """The grade of the reports of a turn that came signed, after they were stored, in the same transaction. How many came with a
    wrong signature."""
    requests = _signed(batch, incoming)
    right = [request for request in requests if request.signing.key_no is not None]
    wrong = [item for request in requests if request.signing.key_no is None for item in request.items]
    if right:
        new = {item.fact_id for item in outcome.accepted} | outcome.refused.keys()
        await _store_right(connection, right, new, outcome.repeated)
    if wrong:
        moments = [datetime_of(item.received_ms) for item in wrong]
        kept_as = [outcome.repeated.get(item.fact_id) for item in wrong]
        await connection.execute(STORE_WRONG, *_columns(wrong), moments, [WRONG_SIGNATURE] * len(wrong), kept_as)
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


async def _store_right(
    connection: asyncpg.Connection[Any],
    requests: Sequence[_Request],
    new: AbstractSet[int],
    repeated: Mapping[int, int],
) -> None:
    """A request is kept when a report of it is not of the higher grade yet: what is sent again adds nothing. `new`: fact ids of
    reports that are stored just now; of the others it is asked under which fact id they are. `repeated`: of those that a request
    brought which is kept whole, which that is."""
    known = [(r.number, item) for r in requests for item in r.items if item.fact_id not in new]
    by_number = [(number, item) for number, item in known if item.fact_id not in repeated]
    of_whole = [(repeated[item.fact_id], number) for number, item in known if item.fact_id in repeated]
    rows = []
    if by_number:
        numbers, items = [number for number, _ in by_number], [item for _, item in by_number]
        rows += await connection.fetch(TO_SIGN, numbers, *_columns(items))
    if of_whole:
        rows += await connection.fetch(NOT_SIGNED, [fact for fact, _ in of_whole], [number for _, number in of_whole])
    grades = {row["fact_id"]: row["request_no"] for row in rows}
    for request in requests:
        grades |= {i.fact_id: request.number for i in request.items if i.fact_id in new and i.fact_id > request.last}
    wanted = set(grades.values())
    kept = [r for r in requests if r.number in wanted or any(item.fact_id in new for item in r.items)]
    if kept:
        await _store_requests(connection, kept)
    if grades:
        await connection.execute(STORE_SIGNED, list(grades), list(grades.values()))


async def _store_requests(connection: asyncpg.Connection[Any], requests: Sequence[_Request]) -> None:
    await connection.execute(
        STORE_REQUESTS,
        [request.number for request in requests],
        [request.last for request in requests],
        [request.items[0].device_no for request in requests],
        [request.signing.key_no for request in requests],
        [request.signing.boot for request in requests],
        [datetime_of(request.items[0].received_ms) for request in requests],
        [request.signing.signature for request in requests],
        [request.signing.reports for request in requests],
    )


def _columns(items: Sequence[Incoming]) -> list[list[Any]]:
    return [
        [item.device_no for item in items],
        [item.received.boot for item in items],
        [item.received.seq for item in items],
        [item.received.digest for item in items],
    ]
