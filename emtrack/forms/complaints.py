"""What is wrong with orders although each field by itself is well formed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from alerts import PROTOCOL_KINDS
from emtrack.forms.geometry import Geometry
from emtrack.forms.iom import IomForm
from emtrack.forms.moment import Moment, end_of
from emtrack.forms.names import unfit_id, unfit_label, unfit_line, unfit_text
from emtrack.forms.orders import AbsenceForm, ActivationForm, Orders, RequirementForm
from emtrack.forms.to_core import timetable_of, timezone_of
from geofence import ObligationKind, format_instant
from ingest.protocols import unfit_identifier


class Complaint(NamedTuple):
    """What is wrong, and at which path. `overlaps`: what is there at that time already, for programs."""

    path: str
    what: str
    overlaps: dict[str, Any] | None = None


def complaints(orders: Orders) -> Iterator[Complaint]:
    """What is wrong although each field by itself is well formed."""
    yield from _unfit_texts(orders, "$")
    try:
        ZoneInfo(timezone_of(orders))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = f"{timezone_of(orders)!r} is not a known time zone; expected a name such as Europe/London"
        yield Complaint("$.timezone", known)
    for field_name in ("activations", "requirements", "absences", "outages", "home_units"):
        for index, row in enumerate(getattr(orders, field_name)):
            if row.to is not None and row.to.ms <= row.from_.ms:
                what = "`to` is not after `from`; expected a later time, or null"
                yield Complaint(f"$.{field_name}[{index}].to", what)
    for index, requirement in enumerate(orders.requirements):
        if requirement.timetable is not None and not requirement.timetable:
            what = "an empty timetable; leave it out (or null) for always"
            yield Complaint(f"$.requirements[{index}].timetable", what)
        for field_name, what in _attendance_complaints(requirement):
            yield Complaint(f"$.requirements[{index}].{field_name}", what)
    for index, wearer in enumerate(orders.wearers):
        for what in _iom_complaints(wearer.iom):
            yield Complaint(f"$.wearers[{index}].iom", what)
        order = wearer.order
        if order is not None and order.begins and order.ends and order.ends < order.begins:
            yield Complaint(
                f"$.wearers[{index}].order.ends", "it lies before `begins`; expected a later day, or none"
            )
    yield from _protocol_complaints(orders)
    yield from _device_complaints(orders)
    yield from _repeated(orders)
    yield from _repeated_sets(orders)
    yield from _overlapping(orders)
    yield from _tags_that_are_units(orders)
    yield from _units_of_too_many(orders)


def _attendance_complaints(form: RequirementForm) -> Iterator[tuple[str, str]]:
    """An attendance is asked for in each of its rows, for some part of the row."""
    if form.kind is not ObligationKind.ATTENDANCE:
        return
    if form.timetable is None:
        yield "timetable", "an ATTENDANCE has no timetable; expected the times at which the person has to attend"
        return
    for row, timetable_row in zip(form.timetable, timetable_of(form.timetable) or (), strict=True):
        length_s = timetable_row.length_min * 60
        if form.stay_s > length_s:
            what = f"stay_s is {form.stay_s:g}, longer than {row.day} {row.start} to {row.end}; expected at most {length_s}"
            yield "stay_s", what
            return


def _protocol_complaints(orders: Orders) -> Iterator[Complaint]:
    seen: set[tuple[str | None, ...]] = set()
    for index, form in enumerate(orders.protocols):
        scope = (form.wearer_id, form.order, form.zone, form.kind)
        if not any(scope):
            yield Complaint(f"$.protocols[{index}]", "it is for nothing; expected wearer_id, order, zone or kind")
        if form.kind is not None and form.kind not in PROTOCOL_KINDS:
            what = f"{form.kind[:60]!r} is no kind of alert; expected one of {', '.join(PROTOCOL_KINDS)}"
            yield Complaint(f"$.protocols[{index}].kind", what)
        if scope in seen:
            yield Complaint(f"$.protocols[{index}]", "there is another one for the same; expected one")
        seen.add(scope)


def _device_complaints(orders: Orders) -> Iterator[Complaint]:
    known: dict[tuple[str, str], str] = {}
    for index, form in enumerate(orders.devices):
        for protocol, identifier in form.speaks.items():
            path = f"$.devices[{index}].speaks"
            if (trouble := unfit_identifier(protocol, identifier)) is not None:
                yield Complaint(path, trouble)
            holder = known.setdefault((protocol, identifier), form.device_id)
            if holder != form.device_id:
                yield Complaint(
                    path, f"{identifier!r} is the {protocol} identifier of {holder!r}, too; expected it once"
                )


def _iom_complaints(iom: IomForm | None) -> Iterator[str]:
    if iom is None or not iom.rag_history:
        return
    if any(two.from_.ms <= one.from_.ms for one, two in pairwise(iom.rag_history)):
        yield "rag_history is not in ascending order of `from`; expected each grade after the one before"
    if iom.rag not in (None, iom.rag_history[-1].grade):
        yield f"rag is {iom.rag}, and the last grade of rag_history is {iom.rag_history[-1].grade}; expected them to agree"


def _repeated(orders: Orders) -> Iterator[Complaint]:
    for field_name, id_name in (("activations", "activation_id"), ("wearers", "wearer_id"), ("devices", "device_id")):
        seen: set[str] = set()
        for index, row in enumerate(getattr(orders, field_name)):
            named = getattr(row, id_name)
            if named in seen:
                yield Complaint(
                    f"$.{field_name}[{index}].{id_name}", f"{id_name} {named!r} stands twice; keep one of them"
                )
            seen.add(named)


def _repeated_sets(orders: Orders) -> Iterator[Complaint]:
    seen: set[tuple[str, str]] = set()
    for index, form in enumerate(orders.zone_sets):
        if (form.set_id, form.version) in seen:
            what = f"version {form.version!r} of zone set {form.set_id!r} stands twice"
            yield Complaint(f"$.zone_sets[{index}].version", what)
        seen.add((form.set_id, form.version))


# ---------------------------------------------------------------------------------------------- two at one time


_ONE_AT_A_TIME = {
    "activations": ("device_id",),
    "requirements": ("wearer_id", "requirement_id"),
    "absences": ("wearer_id",),
    "home_units": ("hmu_id", "wearer_id"),
}
"""Of the rows that agree in these fields only one may hold at any time."""


def _overlapping(orders: Orders) -> Iterator[Complaint]:
    for field_name, keys in _ONE_AT_A_TIME.items():
        alike: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
        rows: Sequence[Any] = getattr(orders, field_name)
        for index, row in enumerate(rows):
            alike[tuple(getattr(row, key) for key in keys)].append((row.from_.ms, index))
        for found in alike.values():
            for (_, one), (_, two) in pairwise(sorted(found)):
                if rows[two].from_.ms < end_of(rows[one].to):
                    yield _overlap(field_name, two, rows[one], rows[two])


def _overlap(field_name: str, index: int, one: Any, two: Any) -> Complaint:
    """That the second of two rows begins while the first holds. The same row twice is told as that."""
    is_same = list(_contents(one)) == list(_contents(two))
    advice = "it stands twice; keep one of them" if is_same else "end the first before the second begins"
    holds = f"the first holds {_span_words(one)}, the second {_span_words(two)}"
    there = {name: getattr(one, name) for name in one.__struct_fields__ if name.endswith("_id") or name == "reason"}
    times = {"from": format_instant(one.from_.ms), "to": None if one.to is None else format_instant(one.to.ms)}
    return Complaint(f"$.{field_name}[{index}].from", f"{_both(one, two)}: {holds}; {advice}", there | times)


def _contents(row: Any) -> Iterator[Any]:
    """What a row says, so that it can be compared with another."""
    for name in row.__struct_fields__:
        value = getattr(row, name)
        yield value.ms if isinstance(value, Moment) else value.written if isinstance(value, Geometry) else value


def _span_words(row: Any) -> str:
    until = "without an end" if row.to is None else f"to {format_instant(row.to.ms)}"
    return f"from {format_instant(row.from_.ms)} {until}"


def _both(one: Any, two: Any) -> str:
    match one:
        case ActivationForm():
            return f"device {one.device_id!r} is activated twice at one time, by {one.activation_id!r} and {two.activation_id!r}"
        case RequirementForm():
            return f"requirement {one.requirement_id!r} of wearer {one.wearer_id!r} has two entries at one time"
        case AbsenceForm():
            return f"wearer {one.wearer_id!r} has two absences at one time"
        case _:
            return f"home unit {one.hmu_id!r} has two entries at one time"


# ---------------------------------------------------------------------------------------------- ids and texts


_CHECKS: dict[str, Callable[[str], str | None]] = {
    **dict.fromkeys(("activation_id", "device_id", "wearer_id", "requirement_id", "hmu_id"), unfit_id),
    **dict.fromkeys(("set_id", "version"), unfit_label),
    **dict.fromkeys(("reason", "address", "text", "note"), unfit_text),
}


def _unfit_texts(value: Any, path: str) -> Iterator[Complaint]:
    """Ids that cannot be addressed, and texts that cannot be shown, wherever they stand in a form."""
    if isinstance(value, Struct):
        for name, encoded in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
            yield from _unfit_field(name, getattr(value, name), f"{path}.{encoded}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unfit_field("", item, f"{path}[{index}]")


def _unfit_field(name: str, value: Any, path: str) -> Iterator[Complaint]:
    if not isinstance(value, str):
        yield from _unfit_texts(value, path)
        return
    check = _CHECKS.get(name, unfit_line)
    if (trouble := check(value)) is not None:
        yield Complaint(path, f"{value!r} cannot be taken: {trouble}" if name else trouble)


# ---------------------------------------------------------------------------------------------- home units


def _tags_that_are_units(orders: Orders) -> Iterator[Complaint]:
    tags = {row.device_id for row in orders.activations}
    for index, unit in enumerate(orders.home_units):
        if unit.hmu_id in tags:
            what = f"{unit.hmu_id!r} is the device of an activation, too; a home unit is a device of its own"
            yield Complaint(f"$.home_units[{index}].hmu_id", what)


MOST_PEOPLE_OF_A_UNIT = 20
"""Who lives together has one home unit. What it says of itself becomes a fact of each of them, so that their number needs a bound."""


def _units_of_too_many(orders: Orders) -> Iterator[Complaint]:
    """Orders that name a unit name all of its entries, so that nothing else has to be looked at. The first of each unit is told."""
    entries: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for index, unit in enumerate(orders.home_units):
        entries[unit.hmu_id].append((unit.from_.ms, index))
    for hmu_id, rows in entries.items():
        ends_ms: list[int] = []
        for from_ms, index in sorted(rows):
            ends_ms = [end_ms for end_ms in ends_ms if end_ms > from_ms] + [end_of(orders.home_units[index].to)]
            if len(ends_ms) > MOST_PEOPLE_OF_A_UNIT:
                yield _too_many(hmu_id, index, from_ms, len(ends_ms))
                break


def _too_many(hmu_id: str, index: int, from_ms: int, count: int) -> Complaint:
    what = f"home unit {hmu_id!r} stands with {count} people from {format_instant(from_ms)} on"
    expected = f"expected at most {MOST_PEOPLE_OF_A_UNIT} at one time; enter another unit, or end an entry before"
    return Complaint(f"$.home_units[{index}].from", f"{what}; {expected}")
