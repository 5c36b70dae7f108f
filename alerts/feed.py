"""What changed about alerts, for readers that follow (GET /v1/alerts/stream).

A reader must not go by `change_no > last`: numbers are taken before their transactions commit, so that a lower one can
appear after a higher one was read. It goes by the transaction that wrote a change, and reads no further than the oldest
transaction that still runs: what lies before that is complete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from alerts.store import Connection


class BadFeedPosition(ValueError):
    """A text that is no place in the feed."""


class FeedPosition(NamedTuple):
    """How far a reader has come. As text: an event id of the stream, for Last-Event-ID."""

    written_by: int
    change_no: int

    def __str__(self) -> str:
        return f"{self.written_by}-{self.change_no}"

    @classmethod
    def read(cls, text: str) -> FeedPosition:
        """Raises BadFeedPosition."""
        transaction, dash, number = text.partition("-")
        if not (dash and _is_number(transaction) and _is_number(number)):
            raise BadFeedPosition(f"{text[:60]!r} is no id of this stream; leave Last-Event-ID out to begin now")
        return cls(int(transaction), int(number))


def _is_number(text: str) -> bool:
    """In digits of ASCII, and one that a column holds: `isdigit` alone takes ² and ١."""
    return text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < 2**63


class AlertChange(NamedTuple):
    position: FeedPosition
    alert_no: int
    what: str


# `written_by < xmin`: every transaction before the oldest running one has ended, so nothing can appear there any more.
CHANGES = """
SELECT written_by::text::bigint AS written_by, change_no, alert_no, what FROM alert_changes
WHERE (written_by, change_no) > ($1::text::xid8, $2::bigint) AND written_by < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY written_by, change_no LIMIT $3
"""
HERE = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


async def changes_after(connection: Connection, position: FeedPosition, limit: int = 500) -> list[AlertChange]:
    """The next changes in order; none is ever missed, whatever the order of commits."""
    rows = await connection.fetch(CHANGES, str(position.written_by), position.change_no, limit)
    return [
        AlertChange(FeedPosition(row["written_by"], row["change_no"]), row["alert_no"], row["what"]) for row in rows
    ]


async def newest_position(connection: Connection) -> FeedPosition:
    """The place of a reader that wants what comes from now on."""
    return FeedPosition(await connection.fetchval(HERE), 0)
