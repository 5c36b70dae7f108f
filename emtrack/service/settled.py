"""What stays as people were told it when the rules of judgement change.

New rules come into force at an instant. A finding that had ended by then stays as it was, unless a late fact or corrected orders
reach it: they speak of its time, or lead to another judgement of it. To tell the latter from what the new rules alone would change,
what was known before is judged by the new rules too: a change that follows from it as well was not brought by anything new.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from emtrack.record.findings import ShownFinding
from geofence import Fact, Plan, clipped
from geofence.judgement import Amendments, Finding, amendments

IsReached = Callable[[Finding], bool]
"""Whether what is new speaks of the time of a finding that had ended."""


class News(NamedTuple):
    """What a judgement knows that the one before did not. `as_before`: what the rules of today make of the rest."""

    as_before: Callable[[], list[Finding]]
    is_reached: IsReached


def by_facts(facts: Sequence[Fact], max_gap_ms: int) -> IsReached:
    """New facts reach what ended no longer before them, or began no longer after them, than a verdict holds."""
    times_ms = [fact.own_ms for fact in facts]

    def is_reached(finding: Finding) -> bool:
        return any(finding.begin_ms - max_gap_ms <= at_ms <= _ended_ms(finding) + max_gap_ms for at_ms in times_ms)

    return is_reached


def _ended_ms(finding: Finding) -> int:
    """Of what had ended before new rules; one that lasts is never asked for, and counts by its begin."""
    return finding.begin_ms if finding.end_ms is None else finding.end_ms


def since(late_ms: int | None, max_gap_ms: int) -> IsReached:
    """Facts of which only the time of the earliest is known (None: not even that) reach what ended near it or later."""

    def is_reached(finding: Finding) -> bool:
        return late_ms is None or _ended_ms(finding) + max_gap_ms >= late_ms

    return is_reached


def either(one: IsReached, other: IsReached) -> IsReached:
    return lambda finding: one(finding) or other(finding)


def by_orders(before: Plan, after: Plan) -> IsReached:
    """Corrected orders reach the findings of an entry that they vary, and those in whose time an absence changed."""
    entries = {r.entry_id: r for r in before.requirements}, {r.entry_id: r for r in after.requirements}
    same_terms = _terms_of(before) == _terms_of(after)

    def is_reached(finding: Finding) -> bool:
        if not same_terms:
            return True
        if finding.entry_id is None:
            return False
        was, now = (requirements.get(finding.entry_id) for requirements in entries)
        span = finding.begin_ms, finding.begin_ms + 1 if finding.end_ms is None else finding.end_ms
        return was != now or clipped(before.absences, *span) != clipped(after.absences, *span)

    return is_reached


def of_no_entry_of(plan: Plan) -> IsReached:
    """Corrected orders reach the findings of an entry that they do not have any more, as of the former wearer of a tag: also when
    nobody knows any more what they were before, as after a start."""
    entries = {r.entry_id for r in plan.requirements}
    return lambda finding: finding.entry_id is not None and finding.entry_id not in entries


def _terms_of(plan: Plan) -> tuple[object, ...]:
    """What all findings of a plan rest on."""
    return plan.activation, plan.settings, plan.timezone, plan.home_units


def touches_settled(changes: Amendments[ShownFinding], settled_ms: int) -> bool:
    """Whether any of the changes is one of what had ended by an instant."""
    return (
        any(_is_over(settled_ms, was.finding, finding) for was, finding in changes.amended)
        or any(_is_over(settled_ms, was.finding) for was in changes.withdrawn)
        or any(_is_over(settled_ms, finding) for finding in changes.new)
    )


def reached(
    changes: Amendments[ShownFinding],
    old: Sequence[ShownFinding],
    news: News,
    settled_ms: int,
) -> Amendments[ShownFinding]:
    """The changes without those that the rules alone make to what had ended by an instant. `old`: the findings that were shown."""

    def stays(*findings: Finding) -> bool:
        return _is_over(settled_ms, *findings) and not any(map(news.is_reached, findings))

    by_rules = amendments([(s, s.finding) for s in old], news.as_before())
    amended = {(was.finding_no, finding) for was, finding in by_rules.amended}
    withdrawn = {was.finding_no for was in by_rules.withdrawn}
    new = set(by_rules.new)
    return Amendments(
        [
            (was, finding)
            for was, finding in changes.amended
            if (was.finding_no, finding) not in amended or not stays(was.finding, finding)
        ],
        [was for was in changes.withdrawn if was.finding_no not in withdrawn or not stays(was.finding)],
        [finding for finding in changes.new if finding not in new or not stays(finding)],
        changes.kept,
    )


def _is_over(settled_ms: int, *findings: Finding) -> bool:
    return all(finding.end_ms is not None and finding.end_ms <= settled_ms for finding in findings)
