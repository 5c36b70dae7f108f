"""Views of the queue that an account keeps: the address of a filter, under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emtrack.errors import MendableError
from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

MOST = 12
"""Of one account: a line above the queue."""
LONGEST_NAME, LONGEST_QUERY = 40, 1_000

VIEWS = "SELECT view_no, name, query FROM saved_views WHERE account = $1 ORDER BY name"
SAVE = """
INSERT INTO saved_views (account, name, query, saved_at)
SELECT $1, $2, $3, $4 WHERE (SELECT count(*) FROM saved_views WHERE account = $1 AND name <> $2) < $5
ON CONFLICT (account, name) DO UPDATE SET query = excluded.query, saved_at = excluded.saved_at RETURNING view_no
"""
FORGET = "DELETE FROM saved_views WHERE account = $1 AND view_no = $2"


class SavedView(NamedTuple):
    """`query`: of the address of the queue."""

    view_no: int
    name: str
    query: str


class UnfitView(MendableError):
    """A view that cannot be kept. The message says what to change."""


async def saved_views(connection: Connection, account: str) -> list[SavedView]:
    """By name."""
    return [SavedView(row["view_no"], row["name"], row["query"]) for row in await connection.fetch(VIEWS, account)]


async def save_view(connection: Connection, account: str, name: str, query: str, now_ms: int) -> None:
    """Instead of one of the same name. Raises UnfitView."""
    name = name.strip()
    if not 0 < len(name) <= LONGEST_NAME:
        raise UnfitView(f"Enter a name for the view of at most {LONGEST_NAME} characters.")
    if len(query) > LONGEST_QUERY:
        raise UnfitView("The filter is too long to be kept.")
    if await connection.fetchval(SAVE, account, name, query, datetime_of(now_ms), MOST) is None:
        raise UnfitView(f"You keep {MOST} views already. Delete one first.")


async def forget_view(connection: Connection, account: str, view_no: int) -> None:
    """Of one's own; of another's nothing happens."""
    await connection.execute(FORGET, account, view_no)
