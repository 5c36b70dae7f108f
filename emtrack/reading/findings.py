"""Two questions that always have an answer: as known at an instant, and as known now (RULES.md section 6)."""

from __future__ import annotations

from emtrack.db.connect import Connection
from emtrack.forms.errors import FormError
from emtrack.forms.lines import finding_lines
from emtrack.people.looks import Looker, What, look_at_everybody, look_at_people
from emtrack.reading.people import wearer_no_of
from emtrack.record.device_identifiers import unauthenticated_among
from emtrack.record.facts import load_facts
from emtrack.record.findings import load_shown
from emtrack.record.liveness import alive_ms
from emtrack.record.plans import Assignment, load_assignments, load_judged
from emtrack.record.wearers import canary_numbers
from emtrack.record.zone_sets import ZoneSetCache
from geofence import ALWAYS_MS, Activation, format_instant
from geofence.judgement import Finding, judge_history

LONGEST_AHEAD_MS = 31 * 86_400_000
"""What would be found if nothing came any more is asked for the next curfews, not for years."""


class FarUntil(FormError):
    """An instant to judge up to that lies too far ahead."""


def refuse_far_until(until_ms: int | None, now_ms: int) -> None:
    """Raises FarUntil."""
    if until_ms is not None and until_ms > now_ms + LONGEST_AHEAD_MS:
        raise FarUntil(
            f"until is {format_instant(until_ms)}; expected at most {LONGEST_AHEAD_MS // 86_400_000} days after now "
            f"({format_instant(now_ms)})"
        )


async def look_at_findings(connection: Connection, looker: Looker, wearer_id: str | None, now_ms: int) -> None:
    """Put on record that somebody reads findings, of one wearer or of everybody, before they are read."""
    if wearer_id is None:
        await look_at_everybody(connection, looker, What.FINDINGS, now_ms)
    elif (number := await wearer_no_of(connection, wearer_id)) is not None:
        await look_at_people(connection, looker, [number], What.FINDINGS, now_ms)


async def findings_as_lines(
    connection: Connection,
    now_ms: int,
    as_known_ms: int | None,
    until_ms: int | None,
    wearer_id: str | None,
    zone_sets: ZoneSetCache,
) -> list[bytes]:
    """Findings as lines. Without `until_ms`: as they are recorded (at `as_known_ms`, or now). With it: what is stored
    (by `as_known_ms`) judged again with that instant as now, as `evaluate` would. In a snapshot, all fits together.
    Raises FarUntil."""
    refuse_far_until(until_ms, now_ms)
    held_ms = max(now_ms, await alive_ms(connection) or ALWAYS_MS) if as_known_ms is None else as_known_ms
    nobody = await canary_numbers(connection)
    load = load_assignments if until_ms is None else load_judged
    assignments = {
        number: assignment
        for number, assignment in (await load(connection, held_ms)).items()
        if (wearer_id is None and assignment.wearer_no not in nobody)
        or assignment.plan.activation.wearer_id == wearer_id
    }
    if until_ms is None:
        found = await _recorded(connection, assignments, as_known_ms)
    else:
        found = await _all_judged_again(connection, assignments, held_ms, until_ms, zone_sets)
    lower = await unauthenticated_among(connection, {fact_id for _, finding in found for fact_id in finding.evidence})
    return list(finding_lines(found, lower))


async def _recorded(
    connection: Connection, assignments: dict[int, Assignment], as_known_ms: int | None
) -> list[tuple[Activation, Finding]]:
    shown = await load_shown(connection, dict.fromkeys(assignments, None), as_known_ms=as_known_ms)
    return [(assignments[n].plan.activation, item.finding) for n, items in shown.items() for item in items]


async def _all_judged_again(
    connection: Connection, assignments: dict[int, Assignment], held_ms: int, until_ms: int, zone_sets: ZoneSetCache
) -> list[tuple[Activation, Finding]]:
    found: list[tuple[Activation, Finding]] = []
    for assignment in assignments.values():
        judged = await judged_again(connection, assignment, held_ms, until_ms, zone_sets)
        found += [(assignment.plan.activation, finding) for finding in judged]
    return found


async def judged_again(
    connection: Connection, assignment: Assignment, held_ms: int, until_ms: int, zone_sets: ZoneSetCache
) -> list[Finding]:
    """The findings of an activation at `until_ms`, from what was received by `held_ms`, by the rules of today."""
    facts = (await load_facts(connection, [(assignment, ALWAYS_MS)]))[assignment.activation_no]
    known = [fact for fact in facts if fact.received_ms <= held_ms]
    sets = await zone_sets.sets_of(connection, assignment.plan.requirements)
    return judge_history(assignment.plan, known, until_ms, sets)
