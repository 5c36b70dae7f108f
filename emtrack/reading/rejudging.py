"""What would change if everybody was judged again by the rules of today. Nothing is written."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from emtrack.record.facts import load_facts
from emtrack.record.findings import load_shown
from emtrack.record.liveness import alive_ms
from emtrack.record.plans import Assignment, load_assignments
from geofence import ALWAYS_MS, FOREVER_MS, without_duplicates
from geofence.judgement import Finding, amendments, judge_history

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
    assignments = await load_assignments(connection, now_ms)
    counts: Counter[str] = Counter()
    findings = 0
    for assignment in assignments.values():  # one by one: the memory of all histories at once has no bound
        shown, found = await _both(connection, assignment, judged_ms, zone_sets)
        findings += len(shown)
        changes = amendments(list(enumerate(shown)), found)
        counts.update(f"{f.kind} new" for f in changes.new if _lasted(f, since_ms))
        counts.update(
            f"{f.kind} amended" for i, f in changes.amended if _lasted(f, since_ms) or _lasted(shown[i], since_ms)
        )
        counts.update(f"{shown[i].kind} withdrawn" for i in changes.withdrawn if _lasted(shown[i], since_ms))
    return Rejudgement(counts, findings)


async def _both(
    connection: Connection, assignment: Assignment, judged_ms: int, zone_sets: ZoneSetCache
) -> tuple[list[Finding], list[Finding]]:
    """The findings of an activation as people are shown them, and by the rules of today."""
    number, plan = assignment.activation_no, assignment.plan
    shown = [one.finding for one in (await load_shown(connection, {number: None}))[number]]
    facts = (await load_facts(connection, [(assignment, ALWAYS_MS)]))[number]
    sets = await zone_sets.sets_of(connection, plan.requirements)
    return shown, judge_history(plan, without_duplicates(facts), judged_ms, sets)


def _lasted(finding: Finding, since_ms: int) -> bool:
    return (FOREVER_MS if finding.end_ms is None else finding.end_ms) > since_ms
