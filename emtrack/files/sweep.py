"""`emtrack sweep`: months of very many wearers are judged in columns, by the compiled kernels.

The positions are checked as they are read and kept apart on the disk, so many wearers in a file; then file by file is judged. So
memory holds a batch of rows, or the positions of so many wearers, whatever the order in which they stand. The findings are those of
`emtrack evaluate` of the kinds that a sweep knows, without events.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from emtrack.files.columns import Activations, Checked, Fixes, checked, rows_in
from emtrack.files.parts import Parts, received_of
from emtrack.files.progress import Tell
from emtrack.files.refusals import Refuse
from emtrack.forms.errors import FormError
from emtrack.forms.lines import finding_lines
from emtrack.forms.orders import Orders
from emtrack.forms.to_core import plans_of
from geofence import Activation, Kind, Plan, SetZone
from geofence.judgement import Finding
from geofence.sweep import KINDS, MOST_ZONES, Sweep, duties_of, evidence_of, findings_of, requirements_of

WEARERS_AT_ONCE = 50
"""A month of so many, a fix a minute, takes 0.9 GB of memory at the peak; of 10 wearers, 0.5 GB."""
NOT_LOOKED_FOR = tuple(kind for kind in Kind if kind not in KINDS.values())


@dataclass
class Figures:
    """What a sweep was about. judging_s: the kernels and what they are asked; whole_s: from files to findings."""

    rows: int = 0
    refused: int = 0
    evidence: int = 0
    judging_s: float = 0.0
    whole_s: float = 0.0
    found: Counter[Kind] = field(default_factory=Counter)


def sweep(
    orders: Orders, paths: Sequence[Path], until_ms: int, refuse: Refuse, tell: Tell, *,
    at_once: int = WEARERS_AT_ONCE,
) -> tuple[list[bytes], Figures]:  # fmt: skip
    """The lines of findings at `until_ms`, sorted. `refuse` is told of each row that cannot be used, in the order of the files.
    Raises FormError for a file that cannot be read, and for orders that a sweep does not know."""
    plans = plans_of(orders)
    _refuse_unknown(plans)
    figures, start_s = Figures(), time.perf_counter()
    total = rows_in(paths)
    found: list[tuple[Activation, Finding]] = []
    with TemporaryDirectory(prefix="emtrack-sweep-") as folder:
        parts, activations = Parts(Path(folder), at_once), Activations(plans)
        for path in paths:
            for batch in checked(path, activations):
                _take(batch, parts, figures, refuse)
                tell("reading", figures.rows, total)
        for first in range(0, len(plans), at_once):
            some = plans[first : first + at_once]
            found += _judged(some, parts.taken(first), first, until_ms, figures)
            tell("judging", first + len(some), len(plans))
    figures.found.update(finding.kind for _, finding in found)
    lines = list(finding_lines(found))
    figures.whole_s = time.perf_counter() - start_s
    return lines, figures


def _refuse_unknown(plans: Sequence[Plan]) -> None:
    """Raises FormError for what a sweep cannot judge: nothing is left out in silence."""
    for plan in plans:
        for requirement in plan.requirements:
            if isinstance(requirement.zone, SetZone):
                raise FormError(
                    f"requirement {requirement.requirement_id!r} is on a zone set, which a sweep does not know; take it out of the "
                    "orders, or judge them with `emtrack evaluate`"
                )
        if len(plan.requirements) > MOST_ZONES:
            raise FormError(
                f"wearer {plan.activation.wearer_id!r} has {len(plan.requirements)} requirements, and a sweep knows at most "
                f"{MOST_ZONES} of one; judge these orders with `emtrack evaluate`"
            )


def _take(batch: Checked, parts: Parts, figures: Figures, refuse: Refuse) -> None:
    for row in batch.refused:
        refuse(row)
    parts.add(batch.fixes)
    figures.rows += batch.rows
    figures.refused += len(batch.refused)


def _judged(
    plans: Sequence[Plan], fixes: Fixes, first: int, now_ms: int, figures: Figures
) -> Iterator[tuple[Activation, Finding]]:
    """The findings of some wearers, in the order of their requirements."""
    asked = [(plan.activation, requirement) for plan in plans for requirement in requirements_of(plan)]
    requirements = [requirement for _, requirement in asked]
    positions = evidence_of(received_of(fixes, first), now_ms)
    duties = duties_of(plans, now_ms)
    start_s = time.perf_counter()
    following = Sweep(duties)
    rows = np.concatenate([following.feed(positions), following.finish(now_ms)])
    figures.judging_s += time.perf_counter() - start_s
    figures.evidence += len(positions.wearer)
    for zone, finding in findings_of(rows[np.lexsort((rows[:, 1], rows[:, 0]))], requirements, now_ms):
        yield asked[zone][0], finding


def said_of(figures: Figures, buffers: int) -> Iterator[str]:
    """What a person is told at the end."""
    yield f"{figures.rows:>12,}  rows read, {figures.refused:,} refused; {figures.evidence:,} positions are evidence"
    for what, seconds in (("in the judge", figures.judging_s), ("from files to findings", figures.whole_s)):
        yield f"{figures.evidence / max(seconds, 1e-9):>12,.0f}  positions a second {what} ({seconds:.1f} s)"
    for kind in KINDS.values():
        yield f"{figures.found[kind]:>12,}  {kind}"
    yield f"not looked for: {', '.join(NOT_LOOKED_FOR)}, and what home units saw; `emtrack evaluate` looks for them"
    if buffers:
        yield f"{buffers:>12,}  requirements have a buffer, of which a sweep says nothing (APPROACH)"


def buffers_in(orders: Orders) -> int:
    """How many requirements have a buffer."""
    return sum(1 for form in orders.requirements if form.buffer_m > 0)
