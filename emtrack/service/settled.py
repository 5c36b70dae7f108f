"""What stays as people were told it when the rules of judgement change.

New rules come into force at an instant. A finding that had ended by then stays as it was, unless a late fact or corrected orders lead
to another judgement of it. To tell that from what the new rules alone would change, what was known before is judged by the new rules
too: a change that follows from it as well was not reached by anything new.
"""

from __future__ import annotations

from collections.abc import Sequence

from emtrack.record.findings import ShownFinding
from geofence.judgement import Amendments, Finding, amendments


def touches_settled(changes: Amendments[ShownFinding], settled_ms: int) -> bool:
    """Whether any of the changes is one of what had ended by an instant."""
    return (
        any(_is_over(settled_ms, was.finding, finding) for was, finding in changes.amended)
        or any(_is_over(settled_ms, was.finding) for was in changes.withdrawn)
        or any(_is_over(settled_ms, finding) for finding in changes.new)
    )


def reached(
    changes: Amendments[ShownFinding], old: Sequence[ShownFinding], as_before: Sequence[Finding], settled_ms: int
) -> Amendments[ShownFinding]:
    """The changes without those that the rules alone make to what had ended by an instant. `old`: the findings that were shown;
    `as_before`: those of what was known before, by the rules of today."""
    by_rules = amendments([(s, s.finding) for s in old], as_before)
    amended = {(was.finding_no, finding) for was, finding in by_rules.amended}
    withdrawn = {was.finding_no for was in by_rules.withdrawn}
    new = set(by_rules.new)
    return Amendments(
        [
            (was, finding)
            for was, finding in changes.amended
            if (was.finding_no, finding) not in amended or not _is_over(settled_ms, was.finding, finding)
        ],
        [
            was
            for was in changes.withdrawn
            if was.finding_no not in withdrawn or not _is_over(settled_ms, was.finding)
        ],
        [finding for finding in changes.new if finding not in new or not _is_over(settled_ms, finding)],
    )


def _is_over(settled_ms: int, *findings: Finding) -> bool:
    return all(finding.end_ms is not None and finding.end_ms <= settled_ms for finding in findings)
