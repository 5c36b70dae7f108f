"""Trials that were made: who tried what over whose positions, when and why, and the counts that came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

from geofence import Interval, datetime_of, instant_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emtrack.db.connect import Connection
    from emtrack.people.looks import Looker


class Tried(NamedTuple):
    """What is tried: `said` in words, `draft` as it is judged. Of one person, of a cohort, or (both None) of everybody."""

    window: Interval
    wearer_no: int | None
    cohort: str | None
    said: list[str]
    draft: Any


class Ended(NamedTuple):
    """`state`: done, cancelled or failed, then with `trouble`. `people` None: none were judged, or too few to be told. `kinds`: rows
    of findings by kind, as they are shown."""

    state: str
    trouble: str | None = None
    people: int | None = None
    positions: int | None = None
    kinds: Sequence[dict[str, Any]] = ()


class StoredRun(NamedTuple):
    """`ended` None: the service ended before it was judged, or it is being judged."""

    run_no: int
    ran_ms: int
    ran_by: str
    purpose: str
    reference: str | None
    tried: Tried
    ended: Ended | None


STORE = """
INSERT INTO draft_runs (ran_at, ran_by, door, purpose, reference, wearer_no, cohort, during, said, draft)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING run_no
"""
END = """
INSERT INTO draft_results (run_no, ended_at, state, trouble, people, positions, kinds) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
RUNS = """
SELECT r.run_no, r.ran_at, r.ran_by, r.purpose, r.reference, r.wearer_no, r.cohort, r.during, r.said, r.draft,
       e.state, e.trouble, e.people, e.positions, e.kinds
FROM draft_runs r LEFT JOIN draft_results e USING (run_no) WHERE r.ran_by = $1
"""
ONE = f"{RUNS} AND r.run_no = $2"
LAST = f"{RUNS} ORDER BY r.run_no DESC LIMIT $2"


async def store_draft_run(connection: Connection, looker: Looker, tried: Tried, now_ms: int) -> int:
    """After the look; the number of the run."""
    during = asyncpg.Range(datetime_of(tried.window.begin_ms), datetime_of(tried.window.end_ms))
    number: int = await connection.fetchval(
        STORE, datetime_of(now_ms), looker.name, str(looker.door), looker.purpose, looker.reference, tried.wearer_no, tried.cohort,
        during, tried.said, tried.draft,
    )  # fmt: skip
    return number


async def end_draft_run(connection: Connection, run_no: int, ended: Ended, now_ms: int) -> None:
    await connection.execute(
        END, run_no, datetime_of(now_ms), ended.state, ended.trouble, ended.people, ended.positions, list(ended.kinds)
    )


async def draft_run(connection: Connection, account: str, run_no: int) -> StoredRun | None:
    """Of who began it; nobody else has it."""
    row = await connection.fetchrow(ONE, account, run_no)
    return None if row is None else _run(row)


async def last_draft_runs(connection: Connection, account: str, most: int) -> list[StoredRun]:
    """The newest first."""
    return [_run(row) for row in await connection.fetch(LAST, account, most)]


def _run(row: asyncpg.Record) -> StoredRun:
    during = row["during"]
    window = Interval(instant_of(during.lower), instant_of(during.upper))
    ended = None
    if row["state"] is not None:
        ended = Ended(row["state"], row["trouble"], row["people"], row["positions"], row["kinds"])
    tried = Tried(window, row["wearer_no"], row["cohort"], row["said"], row["draft"])
    return StoredRun(
        row["run_no"], instant_of(row["ran_at"]), row["ran_by"], row["purpose"], row["reference"], tried, ended
    )
