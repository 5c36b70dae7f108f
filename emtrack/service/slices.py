"""Very many changes of one activation, recorded some at a time: somebody whose orders begin in 1926 has a finding for each night.

Only what is over, before and after, is recorded ahead: what still goes on is taken over as a whole, in the last turn. A program that
ends on the way compares anew, and finds what it had recorded.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from emtrack.record.findings import ShownFinding
from emtrack.service.finality import can_change
from geofence.judgement import Amendments, Finding, State

if TYPE_CHECKING:
    from emtrack.service.activations import LiveActivation

MOST_CHANGES = 2_000
"""So many changes of one activation are recorded in a turn."""


def slices_of(
    changes: Amendments[ShownFinding], watched: LiveActivation | None, state: State
) -> deque[Amendments[ShownFinding]]:
    """Those of the changes that are final both as they are judged meanwhile and in the new state, in slices; none if all are few."""
    states = [state] if watched is None else [state, watched.state]

    def is_over(*findings: Finding) -> bool:
        return not any(can_change(finding, one) for finding in findings for one in states)

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
