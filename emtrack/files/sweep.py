"""`emtrack sweep`: months of very many wearers are judged in columns, by the compiled kernels.

The work itself is in workshop.py, and who does it (this process, or several) in hands.py. The findings are those of
`emtrack evaluate` of the kinds that a sweep knows, without events.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from emtrack.files.bundles import bundles_of
from emtrack.files.hands import at_work
from emtrack.files.progress import Tell
from emtrack.files.refusals import Refuse
from emtrack.files.workshop import Workshop
from emtrack.forms.errors import FormError
from emtrack.forms.lines import LineKey, in_order
from emtrack.forms.orders import Orders
from emtrack.forms.to_core import plans_of
from geofence import Kind, Plan, SetZone
from geofence.sweep import KINDS, MOST_ZONES

WEARERS_AT_ONCE = 50
"""A month of so many, a fix a minute, takes 0.9 GB of memory at the peak; of 10 wearers, 0.5 GB."""
NOT_LOOKED_FOR = tuple(kind for kind in Kind if kind not in KINDS.values())


@dataclass
class Figures:
    """What a sweep was about. judging_s: the kernels and what they are asked, of all processes together; whole_s:
    from files to findings."""

    rows: int = 0
    refused: int = 0
    evidence: int = 0
    judging_s: float = 0.0
    whole_s: float = 0.0
    found: Counter[Kind] = field(default_factory=Counter)


def sweep(
    orders: Orders, paths: Sequence[Path], until_ms: int, refuse: Refuse, tell: Tell, *,
    at_once: int = WEARERS_AT_ONCE, processes: int = 1,
) -> tuple[list[bytes], Figures]:  # fmt: skip
    """The lines of findings at `until_ms`, sorted; the same whatever the number of processes. `refuse` is told of each row that
    cannot be used, in the order of the files. Raises FormError for a file that cannot be read, and for orders that a sweep does not
    know; SweepEnded."""
    plans = plans_of(orders)
    _refuse_unknown(plans)
    figures, start_s = Figures(), time.perf_counter()
    bundles = bundles_of(paths)
    total = sum(bundle.rows for bundle in bundles)
    found: list[tuple[LineKey, bytes]] = []
    with TemporaryDirectory(prefix="emtrack-sweep-") as folder:
        shop = Workshop(orders, Path(folder), at_once, until_ms, len(bundles))
        with at_work(shop, processes) as each:
            for read in each(Workshop.read, bundles):
                figures.rows += read.rows
                figures.refused += read.refused
                for row in shop.refused_in(read.number):
                    refuse(row)
                tell("reading", figures.rows, total)
            for judged in each(Workshop.judge, range(0, len(plans), at_once)):
                found += judged.lines
                figures.found.update(judged.kinds)
                figures.evidence += judged.evidence
                figures.judging_s += judged.seconds
                tell("judging", judged.first + at_once, len(plans))
    lines = list(in_order(found))
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
