"""Visits to people (to fit a tag, swap it, collect it, inspect it) and where tags are that nobody wears; appended.

A visit enters no activation: who wears which tag from when is entered with orders. It says where the tag is.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from emtrack.db.locks import ORDERS_LOCK, take_lock
from emtrack.errors import MendableError
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    import asyncpg

    from emtrack.db.connect import Connection

MOST = 200
LONGEST_TEXT = 1_000
FARTHEST_MS = 366 * 86_400_000


class VisitKind(StrEnum):
    FIT = "fit"
    SWAP = "swap"
    COLLECT = "collect"
    INSPECT = "inspect"


class Result(StrEnum):
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Place(StrEnum):
    """Where a tag or a home unit is."""

    IN_STOCK = "in stock"
    WITH_FITTER = "with fitter"
    FITTED = "fitted"
    RETURNED = "returned"
    FAULTY = "faulty"
    LOST = "lost"


GIVES = frozenset({VisitKind.FIT, VisitKind.SWAP})
TAKES = frozenset({VisitKind.SWAP, VisitKind.COLLECT})

VISITS = """
SELECT v.visit_no, v.wearer_no, p.wearer_id, p.name, v.kind, v.due_at, v.entered_at, v.entered_by,
       CASE WHEN p.is_closed THEN '' ELSE v.why END AS why, r.result, r.fitted_tag, r.taken_tag,
       CASE WHEN p.is_closed THEN '' ELSE r.note END AS note, r.done_at, r.done_by
FROM visits v JOIN people p USING (wearer_no) LEFT JOIN LATERAL (
    SELECT * FROM visit_results x WHERE x.visit_no = v.visit_no ORDER BY result_no LIMIT 1) r ON true
"""
WAITING = f"{VISITS} WHERE r.result IS NULL AND ($1::bigint IS NULL OR v.wearer_no = $1) ORDER BY v.due_at, v.visit_no LIMIT $2"
PAST = f"{VISITS} WHERE r.result IS NOT NULL AND ($1::bigint IS NULL OR v.wearer_no = $1) ORDER BY r.done_at DESC LIMIT $2"
ONE = f"{VISITS} WHERE v.visit_no = $1"
BOOK = """
INSERT INTO visits (wearer_no, kind, due_at, why, entered_at, entered_by) VALUES ($1, $2, $3, $4, $5, $6)
"""
END = """
INSERT INTO visit_results (visit_no, result, fitted_tag, taken_tag, note, done_at, done_by) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
MOVE = "INSERT INTO tag_moves (device_id, place, note, moved_at, moved_by) VALUES ($1, $2, $3, $4, $5)"
PLACES = "SELECT DISTINCT ON (device_id) device_id, place, note, moved_at, moved_by FROM tag_moves ORDER BY device_id, move_no DESC"
STOCK = f"SELECT place, count(*) AS devices FROM ({PLACES}) t GROUP BY place"  # noqa: S608  constants made of constants
NOT_WORN = f"SELECT * FROM ({PLACES}) t WHERE place <> 'fitted' ORDER BY place, device_id LIMIT $1"  # noqa: S608


class VisitResult(NamedTuple):
    result: Result
    fitted_tag: str | None
    taken_tag: str | None
    note: str
    done_ms: int
    done_by: str


class Visit(NamedTuple):
    """`why` and the note of the result are empty where the record is closed to the asker. `result` None: it is to come."""

    visit_no: int
    wearer_no: int
    wearer_id: str
    name: str | None
    kind: VisitKind
    due_ms: int
    why: str
    entered_ms: int
    entered_by: str
    result: VisitResult | None


class StockedTag(NamedTuple):
    device_id: str
    place: Place
    note: str | None
    moved_ms: int
    moved_by: str


class UnfitVisit(MendableError):
    """What cannot be booked or reported. The message says what to change."""


async def visits_to_come(connection: Connection, wearer_no: int | None = None) -> list[Visit]:
    """Of a person, or of everybody whom the asker sees; by when they are due."""
    return [_visit(row) for row in await connection.fetch(WAITING, wearer_no, MOST)]


async def past_visits(connection: Connection, wearer_no: int | None = None) -> list[Visit]:
    """The newest first."""
    return [_visit(row) for row in await connection.fetch(PAST, wearer_no, 50)]


def _visit(row: asyncpg.Record) -> Visit:
    result = None
    if row["result"] is not None:
        result = VisitResult(
            Result(row["result"]), row["fitted_tag"], row["taken_tag"], row["note"], instant_of(row["done_at"]), row["done_by"]
        )  # fmt: skip
    return Visit(
        row["visit_no"], row["wearer_no"], row["wearer_id"], row["name"], VisitKind(row["kind"]),
        instant_of(row["due_at"]),
        row["why"], instant_of(row["entered_at"]), row["entered_by"], result,
    )  # fmt: skip


async def book_visit(
    connection: Connection, wearer_no: int, kind: VisitKind, due_ms: int, why: str, *, who: str, now_ms: int
) -> None:
    """Raises UnfitVisit."""
    if not 0 < len(why) <= LONGEST_TEXT:
        raise UnfitVisit("Enter why, in at most 1,000 characters.")
    if not now_ms - 86_400_000 <= due_ms <= now_ms + FARTHEST_MS:
        raise UnfitVisit("Choose a day from today on, within a year.")
    await connection.execute(BOOK, wearer_no, str(kind), datetime_of(due_ms), why, datetime_of(now_ms), who)


async def end_visit(
    connection: Connection, visit_no: int, result: Result, *, fitted: str | None, taken: str | None, note: str, who: str, now_ms: int
) -> Visit:  # fmt: skip
    """What came of it; tags go where the visit took them. Inside the caller's transaction. Raises UnfitVisit."""
    if not 0 < len(note) <= LONGEST_TEXT:
        raise UnfitVisit("Enter a note, in at most 1,000 characters.")
    await take_lock(connection, ORDERS_LOCK)
    row = await connection.fetchrow(ONE, visit_no)
    if row is None:
        raise UnfitVisit(f"There is no visit {visit_no}.")
    visit = _visit(row)
    if visit.result is not None:
        raise UnfitVisit(f"{visit.result.done_by} has reported this visit already.")
    _refuse_tags(visit.kind, result, fitted, taken)
    await connection.execute(END, visit_no, str(result), fitted, taken, note, datetime_of(now_ms), who)
    for device_id, place in ((fitted, Place.FITTED), (taken, Place.RETURNED)):
        if device_id is not None:
            await move_tag(connection, device_id, place, f"visit {visit_no}", who=who, now_ms=now_ms)
    return visit


def _refuse_tags(kind: VisitKind, result: Result, fitted: str | None, taken: str | None) -> None:
    if result is not Result.DONE:
        if fitted or taken:
            raise UnfitVisit("A visit that was not done fitted and took no tag.")
        return
    if (kind in GIVES) != (fitted is not None):
        raise UnfitVisit(
            "Enter the tag that was fitted." if kind in GIVES else "On this kind of visit no tag is fitted."
        )
    if (kind in TAKES) != (taken is not None):
        raise UnfitVisit(
            "Enter the tag that was taken." if kind in TAKES else "On this kind of visit no tag is taken."
        )
    if fitted is not None and fitted == taken:
        raise UnfitVisit("The tag that was fitted and the one that was taken are the same.")


async def move_tag(
    connection: Connection, device_id: str, place: Place, note: str | None, *, who: str, now_ms: int
) -> None:
    """Where a tag is from now on."""
    await connection.execute(MOVE, device_id, str(place), note, datetime_of(now_ms), who)


async def stock(connection: Connection) -> dict[Place, int]:
    """How many tags are where."""
    counts = {Place(row["place"]): row["devices"] for row in await connection.fetch(STOCK)}
    return {place: counts.get(place, 0) for place in Place}


async def not_worn(connection: Connection) -> list[StockedTag]:
    """Tags that nobody wears, by place; at most `MOST`."""
    return [
        StockedTag(row["device_id"], Place(row["place"]), row["note"], instant_of(row["moved_at"]), row["moved_by"])
        for row in await connection.fetch(NOT_WORN, MOST)
    ]
