"""What would change if everybody was judged again by the rules of today. Nothing is written."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from emtrack.reading.findings import judged_again
from emtrack.record.findings import load_shown
from emtrack.record.liveness import alive_ms
from emtrack.record.plans import load_judged
from geofence import FOREVER_MS
from geofence.judgement import Finding, amendments, as_judged

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.record.zone_sets import ZoneSetCache


class Rejudgement(NamedTuple):
    """`counts`: changes by kind and what would happen. `findings`: how many there are now; `changed`: how many changes."""

    counts: Counter[str]
    findings: int

    @property
    def changed(self) -> int:
        return self.counts.total()


async def rejudgement(connection: Connection, since_ms: int, now_ms: int, zone_sets: ZoneSetCache) -> Rejudgement:
    """Of findings that lasted after `since_ms`, as everything is judged up to now: what the rules of today would change."""
    judged_ms = await alive_ms(connection) or now_ms
    assignments = await load_judged(connection, now_ms)
    counts: Counter[str] = Counter()
    findings = 0
    for assignment in assignments.values():  # one by one: the memory of all histories at once has no bound
        stored = (await load_shown(connection, {assignment.activation_no: None}))[assignment.activation_no]
        shown = [as_judged(one.finding) for one in stored]
        found = await judged_again(connection, assignment, judged_ms, judged_ms, zone_sets)
        findings += len(shown)
        changes = amendments(list(enumerate(shown)), found)
        counts.update(f"{f.kind} new" for f in changes.new if _lasted(f, since_ms))
        counts.update(
            f"{f.kind} amended" for i, f in changes.amended if _lasted(f, since_ms) or _lasted(shown[i], since_ms)
        )
        counts.update(f"{shown[i].kind} withdrawn" for i in changes.withdrawn if _lasted(shown[i], since_ms))
    return Rejudgement(counts, findings)


def _lasted(finding: Finding, since_ms: int) -> bool:
    return (FOREVER_MS if finding.end_ms is None else finding.end_ms) > since_ms
