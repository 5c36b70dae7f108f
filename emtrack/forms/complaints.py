"""What is wrong with orders although each field by itself is well formed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from emtrack.forms.iom import IomForm
from emtrack.forms.moment import end_of
from emtrack.forms.orders import Orders, RequirementForm, TimetableForm
from emtrack.forms.to_core import timetable_of, timezone_of
from geofence import ObligationKind


def complaints(orders: Orders) -> Iterator[tuple[str, str]]:
    """What is wrong although each field by itself is well formed: path and text."""
    try:
        ZoneInfo(timezone_of(orders))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield "$.timezone", f"{timezone_of(orders)!r} is not a known time zone; expected a name such as Europe/London"
    for field_name in ("activations", "requirements", "absences", "outages", "home_units"):
        for index, row in enumerate(getattr(orders, field_name)):
            if row.to is not None and row.to.ms <= row.from_.ms:
                yield f"$.{field_name}[{index}].to", "`to` is not after `from`; expected a later time, or null"
    for index, requirement in enumerate(orders.requirements):
        if requirement.timetable is not None and not requirement.timetable:
            yield f"$.requirements[{index}].timetable", "an empty timetable; leave it out (or null) for always"
        for field_name, what in _attendance_complaints(requirement):
            yield f"$.requirements[{index}].{field_name}", what
    for index, wearer in enumerate(orders.wearers):
        for what in _iom_complaints(wearer.iom):
            yield f"$.wearers[{index}].iom", what
    yield from _repeated(orders)
    yield from _repeated_sets(orders)
    yield from _overlapping_activations(orders)
    yield from _tags_that_are_units(orders)


def _attendance_complaints(form: RequirementForm) -> Iterator[tuple[str, str]]:
    """An attendance is asked for in each of its rows, for some part of the row."""
    if form.kind is not ObligationKind.ATTENDANCE:
        return
    if form.timetable is None:
        yield "timetable", "an ATTENDANCE has no timetable; expected the times at which the person has to attend"
        return
    for row in form.timetable:
        length_s = _length_s(row)
        if form.stay_s > length_s:
            what = f"stay_s is {form.stay_s:g}, longer than {row.day} {row.start} to {row.end}; expected at most {length_s}"
            yield "stay_s", what
            return


def _length_s(row: TimetableForm) -> int:
    """By the clock on the wall. A row that ends at or before its start ends on the next day."""
    (timetable_row,) = timetable_of([row]) or ()
    minutes = timetable_row.end_min - timetable_row.start_min
    return 60 * (minutes if minutes > 0 else minutes + 24 * 60)


def _iom_complaints(iom: IomForm | None) -> Iterator[str]:
    if iom is None or not iom.rag_history:
        return
    if any(two.from_.ms <= one.from_.ms for one, two in pairwise(iom.rag_history)):
        yield "rag_history is not in ascending order of `from`; expected each grade after the one before"
    if iom.rag not in (None, iom.rag_history[-1].grade):
        yield f"rag is {iom.rag}, and the last grade of rag_history is {iom.rag_history[-1].grade}; expected them to agree"


def _repeated(orders: Orders) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for index, activation in enumerate(orders.activations):
        if activation.activation_id in seen:
            what = f"activation_id {activation.activation_id!r} stands twice"
            yield f"$.activations[{index}].activation_id", what
        seen.add(activation.activation_id)


def _repeated_sets(orders: Orders) -> Iterator[tuple[str, str]]:
    seen: set[tuple[str, str]] = set()
    for index, form in enumerate(orders.zone_sets):
        if (form.set_id, form.version) in seen:
            what = f"version {form.version!r} of zone set {form.set_id!r} stands twice"
            yield f"$.zone_sets[{index}].version", what
        seen.add((form.set_id, form.version))


def _tags_that_are_units(orders: Orders) -> Iterator[tuple[str, str]]:
    tags = {row.device_id for row in orders.activations}
    for index, unit in enumerate(orders.home_units):
        if unit.hmu_id in tags:
            what = f"{unit.hmu_id!r} is the device of an activation, too; a home unit is a device of its own"
            yield f"$.home_units[{index}].hmu_id", what


def _overlapping_activations(orders: Orders) -> Iterator[tuple[str, str]]:
    by_device: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for index, row in enumerate(orders.activations):
        by_device[row.device_id].append((row.from_.ms, end_of(row.to), index))
    for device_id, intervals in by_device.items():
        intervals.sort()
        for (_, end_ms, first), (begin_ms, _, second) in pairwise(intervals):
            if begin_ms < end_ms:
                one, two = orders.activations[first], orders.activations[second]
                yield (
                    f"$.activations[{second}].from",
                    f"device {device_id!r} is activated twice at one time, by {one.activation_id!r} and "
                    f"{two.activation_id!r}; end the first before the second begins",
                )
