"""What was found of somebody in the time of a view, and which alerts came of it, as known at an instant. After the look."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerts import RaisedFor, raised_for
from emtrack.record.findings import shown_at, versions_of_wearer

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.reading.history import View
    from geofence.judgement import Finding

MOST_FOUND = 500


class Found(NamedTuple):
    """A finding as it was shown at an instant. `alert` None: none had been raised by then."""

    finding_no: int
    finding: Finding
    alert: RaisedFor | None

    def holds_at(self, at_ms: int) -> bool:
        """Whether an instant lies in its time."""
        end_ms = self.finding.end_ms
        return self.finding.begin_ms <= at_ms and (end_ms is None or at_ms <= end_ms)


async def found_in_view(connection: Connection, view: View, known_ms: int) -> list[Found]:
    """In order of their beginnings; withdrawn ones are left out. Of more than `MOST_FOUND` the newest."""
    versions = await versions_of_wearer(connection, view.wearer_no, view.begin_ms, known_ms, MOST_FOUND)
    shown = [
        version
        for version in await shown_at(connection, versions, known_ms)
        if version is not None and not version.is_withdrawn and version.finding.begin_ms < view.end_ms
    ]
    alert_of = await raised_for(connection, [version.finding_no for version in shown], known_ms)
    found = [Found(v.finding_no, v.finding, alert_of.get(v.finding_no)) for v in shown]
    return sorted(found, key=lambda one: (one.finding.begin_ms, one.finding_no))
