"""How many crimes must be prevented so that a year of the programme pays for itself: a range, never one number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from emtrack.iom.costs import UnitCost
from emtrack.iom.offences import OffenceKind


class BreakEven(NamedTuple):
    """`crimes`: from which to which number. `mean_cost`: of a crime of the local mix. `priced`, `unpriced`: offences of the
    mix with a
    unit cost, and without one (they are left out)."""

    yearly_cost: float
    mean_cost: tuple[float, float]
    crimes: tuple[float, float]
    priced: int
    unpriced: int


def break_even(
    yearly_cost: float, mix: Iterable[OffenceKind], costs: Mapping[OffenceKind, UnitCost]
) -> BreakEven | None:
    """None: no offence of the mix has a unit cost."""
    kinds = list(mix)
    known = [costs[kind] for kind in kinds if kind in costs]
    if not known:
        return None
    least, most = sum(one.least for one in known) / len(known), sum(one.most for one in known) / len(known)
    return BreakEven(
        yearly_cost, (least, most), (yearly_cost / most, yearly_cost / least), len(known), len(kinds) - len(known)
    )
