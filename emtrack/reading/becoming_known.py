"""When what became known: reports as they were received, findings as they were made, changed and withdrawn, alerts as they were
raised. Read after the look."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from emtrack.reading.history import OF_WEARER
from emtrack.record.findings import FindingVersion, versions_of_wearer
from geofence import FOREVER_MS, datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.reading.history import View

MOST_RECEIPTS = 2_000
MOST_VERSIONS = 500


class Receipt(NamedTuple):
    """What came in one turn. `first_ms`, `last_ms`: the times that it is of."""

    received_ms: int
    positions: int
    events: int
    first_ms: int
    last_ms: int


# Of the time of a view what was received by an instant; what came later after its own time than $5 ms, or all (0).
RECEIPTS = f"""
SELECT epoch_ms(received_at) AS received_ms, count(*) FILTER (WHERE is_position) AS positions,
       count(*) FILTER (WHERE NOT is_position) AS events, epoch_ms(min(own_at)) AS first_ms, epoch_ms(max(own_at)) AS last_ms
FROM (
    SELECT p.received_at, p.fix_time AS own_at, true AS is_position {OF_WEARER} AND ($6::bigint IS NULL OR v.activation_no = $6)
    UNION ALL
    SELECT e.received_at, e.event_time, false FROM activation_versions v
    JOIN device_events e ON e.device_no = v.device_no AND e.event_time >= greatest(lower(v.during), $2)
         AND e.event_time < least(coalesce(upper(v.during), 'infinity'), $3)
    WHERE v.wearer_no = $1 AND v.recorded @> $4::timestamptz AND v.during && tstzrange($2, $3) AND e.received_at <= $4
      AND e.type <> 'HEARTBEAT' AND ($6::bigint IS NULL OR v.activation_no = $6)) said
GROUP BY received_at HAVING $5::bigint = 0 OR bool_or(received_at - own_at > $5::bigint * interval '1 millisecond')
ORDER BY received_at DESC LIMIT $7
"""  # noqa: S608  a constant made of constants


async def receipts_of(
    connection: Connection, view: View, known_ms: int, *, later_than_ms: int = 0, activation_no: int | None = None
) -> list[Receipt]:
    """In order; of more than `MOST_RECEIPTS` the newest. `later_than_ms`: only those with something that came so late."""
    rows = await connection.fetch(
        RECEIPTS, view.wearer_no, datetime_of(view.begin_ms), datetime_of(view.end_ms), datetime_of(known_ms), later_than_ms,
        activation_no, MOST_RECEIPTS,
    )  # fmt: skip
    return [
        Receipt(row["received_ms"], row["positions"], row["events"], row["first_ms"], row["last_ms"])
        for row in reversed(rows)
    ]


async def versions_in_view(connection: Connection, view: View, known_ms: int) -> list[FindingVersion]:
    """Every version of the findings of the time of a view, as they were recorded by an instant; in the order in which they were."""
    found = await versions_of_wearer(connection, view.wearer_no, view.begin_ms, known_ms, MOST_VERSIONS)
    versions = [
        version
        for versions in found
        for version in versions
        if version.finding.begin_ms < view.end_ms and version.recorded_ms <= known_ms
    ]
    return sorted(versions, key=lambda version: (version.recorded_ms, version.finding_no))


def before_it_was_found(version: FindingVersion) -> FindingVersion:
    """The same requirement and activation, and no finding yet: what was known before it."""
    nothing = msgspec.structs.replace(version.finding, begin_ms=FOREVER_MS, end_ms=FOREVER_MS, evidence=())
    return version._replace(finding=nothing)
