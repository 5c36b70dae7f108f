"""Very many changes of one activation, recorded some at a time: somebody whose orders begin in 1926 has a finding for each night.

Only what is over, before and after, is recorded ahead: what still goes on is taken over as a whole, in the last turn. A program that
ends on the way compares anew, and finds what it had recorded.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from emtrack.record.findings import ShownFinding
from emtrack.service.finality import first_open_ms
from geofence import ALWAYS_MS
from geofence.judgement import Amendments, Finding, State

if TYPE_CHECKING:
    from emtrack.service.activations import LiveActivation

MOST_CHANGES = 2_000
"""So many changes of one activation are recorded in a turn."""


def settled_before_ms(watched: LiveActivation | None, state: State) -> int:
    """Findings that end by then are final both as they are judged now and in the new state."""
    states = [state] if watched is None else [state, watched.state]
    return min(ALWAYS_MS if (open_ms := first_open_ms(one)) is None else open_ms for one in states)


def slices_of(changes: Amendments[ShownFinding], settled_ms: int) -> deque[Amendments[ShownFinding]]:
    """Those of the changes that are of findings that were and are over by an instant, in slices; none if all are few."""

    def is_over(*findings: Finding) -> bool:
        return all(finding.end_ms is not None and finding.end_ms <= settled_ms for finding in findings)

    new = [finding for finding in changes.new if is_over(finding)]
    amended = [pair for pair in changes.amended if is_over(pair[0].finding, pair[1])]
    withdrawn = [was for was in changes.withdrawn if is_over(was.finding)]
    if len(new) + len(amended) + len(withdrawn) <= MOST_CHANGES:
        return deque()
    slices: list[Amendments[ShownFinding]] = []
    for at in range(0, max(len(new), len(amended), len(withdrawn)), MOST_CHANGES // 2):
        part = slice(at, at + MOST_CHANGES // 2)
        slices.append(Amendments(amended[part], withdrawn[part], new[part], []))
    return deque(slices)
