"""What is known of home units after orders changed is what is known from the start."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from emtrack.record.home_units import UnitEntry
from emtrack.service import home_units as module
from emtrack.service.home_units import HomeUnits
from geofence import FOREVER_MS

UNITS, WEARERS = range(3), range(1, 5)


@st.composite
def entries(draw: st.DrawFn) -> list[UnitEntry]:
    found = []
    for wearer_no in WEARERS:
        for unit in sorted(draw(st.sets(st.sampled_from(UNITS), max_size=2))):
            from_ms = draw(st.integers(0, 9))
            to_ms = draw(st.sampled_from([from_ms + 5, FOREVER_MS]))
            found.append(UnitEntry(100 + unit, f"H{unit}", wearer_no, "C", from_ms, to_ms, 600_000, from_ms))
    return found


def asked(units: HomeUnits) -> list[Any]:
    return [
        [units.id_of(100 + unit) for unit in UNITS],
        [units.wearers_at(f"H{unit}", at_ms) for unit in UNITS for at_ms in range(16)],
        [units.devices_of([wearer_no]) for wearer_no in WEARERS],
        units._of_unit,
    ]


@given(entries(), entries(), st.sets(st.sampled_from(WEARERS)))
async def test_orders_of_some_leave_the_units_of_others_where_they_are(
    before: list[UnitEntry], after: list[UnitEntry], changed: set[int]
) -> None:
    others = [entry for entry in before if entry.wearer_no not in changed]
    fresh = [entry for entry in after if entry.wearer_no in changed]

    async def settings(*_: Any) -> tuple[None, Any]:
        return None, SimpleNamespace(silence_buffer_ms=0)

    async def found(_: Any, wearer_nos: Sequence[int]) -> list[UnitEntry]:
        assert set(wearer_nos) == changed
        return fresh

    units, anew = HomeUnits(), HomeUnits()
    units._take_in(before)
    with mock.patch.object(module, "load_settings", settings), mock.patch.object(module, "load_unit_entries", found):
        await units.change_orders(mock.sentinel.connection, 0, sorted(changed))
    anew._take_in([*others, *fresh])
    assert asked(units) == asked(anew)
    assert units._due_ms.keys() == {e.hmu_id for e in (*before, *after) if e.wearer_no in changed}
