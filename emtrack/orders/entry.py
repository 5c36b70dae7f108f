"""Orders are entered in one transaction, noun by noun, as versions with who and when. What is entered already is left alone."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from emtrack.db.connect import Connection
from emtrack.errors import MendableError
from emtrack.forms.cautions import Caution, Person, cautions
from emtrack.forms.moment import end_of
from emtrack.forms.orders import Orders
from emtrack.iom.record import FutureGrade, enter_iom
from emtrack.people.looks import ORDER, commander
from emtrack.record.absences import enter_absence
from emtrack.record.activations import enter_activations
from emtrack.record.changes import last_change, lock_orders, log_changes
from emtrack.record.deployment_settings import enter_settings
from emtrack.record.device_identifiers import enter_identifiers
from emtrack.record.devices import add_device_key, enter_devices
from emtrack.record.entering import Entered, OrdersConflict, OrderWriter
from emtrack.record.home_units import enter_home_units, refuse_tags_that_are_units
from emtrack.record.outages import enter_outages
from emtrack.record.past_orders import look_by_past_orders
from emtrack.record.plans import load_people
from emtrack.record.protocols import enter_protocols
from emtrack.record.requirement_names import enter_names
from emtrack.record.requirements import enter_requirements, follow_sets
from emtrack.record.wearer_details import enter_details
from emtrack.record.wearers import enter_wearers, wearer_ids_of
from emtrack.record.zone_sets import enter_zone_sets
from geofence import Interval

_CONFLICTS = {
    "one_wearer_per_device": "a device would be on two people at one time",
    "one_entry_at_a_time": "two entries of one requirement would be valid at one time",
    "one_absence_at_a_time": "two absences of one person would overlap",
    "one_address_per_unit": "a home unit would stand at two addresses of one person at one time",
}


class Cautioned(MendableError):
    """Orders in which something is probably not meant, and who enters them wants to be stopped by that."""

    exit_code = 2


async def enter_orders(
    connection: Connection, orders: Orders, *, who: str, now_ms: int, strict: bool = False
) -> Entered:
    """Enter orders inside the caller's transaction.

    Of each activation, each requirement (all its entries), each home unit and the settings that the orders name, they
    replace what was entered before; what they do not name stays. Raises OrdersConflict or FormError, and with `strict` Cautioned.
    """
    await lock_orders(connection)
    _, changed_ms = await last_change(connection)
    if changed_ms is not None:  # the record never steps back, even if the machine's clock does
        now_ms = max(now_ms, changed_ms)
    writer = OrderWriter(connection, who, now_ms)
    try:
        wearers = await _enter(writer, orders)
    except asyncpg.ExclusionViolationError as error:
        what = _CONFLICTS.get(error.constraint_name or "", "it overlaps what is entered")
        raise OrdersConflict(f"The orders were not entered, because {what}. {error.detail or ''}".strip()) from error
    await log_changes(connection, writer.entered.changes, who, now_ms)
    writer.entered.cautions = await _cautions(writer, orders, wearers)
    if strict and writer.entered.cautions:
        raise Cautioned("\n".join(["The orders were not entered:", *map(str, writer.entered.cautions)]))
    return writer.entered


async def _cautions(writer: OrderWriter, orders: Orders, wearers: Mapping[str, int]) -> list[Caution]:
    """About the people whose requirements or activations the orders name, in the light of all that is entered for them."""
    named = {(form.wearer_id, form.requirement_id) for form in orders.requirements}
    people = dict.fromkeys(
        [*(form.wearer_id for form in orders.requirements), *(form.wearer_id for form in orders.activations)]
    )
    held = await load_people(writer.connection, writer.now_ms, sorted(wearers[wearer_id] for wearer_id in people))
    return [
        caution
        for wearer_id in people
        for caution in cautions(
            Person(wearer_id, *held[wearers[wearer_id]]),
            lambda requirement: (requirement.wearer_id, requirement.requirement_id) in named,
            writer.now_ms,
        )
    ]


async def _enter(writer: OrderWriter, orders: Orders) -> Mapping[str, int]:
    """The numbers of the wearers that the orders name."""
    wearers = await enter_wearers(writer, wearer_ids_of(orders), {form.wearer_id: form for form in orders.wearers})
    await _enter_iom_records(writer, orders, wearers)
    await enter_details(writer, wearers, {form.wearer_id: form for form in orders.wearers})
    devices = await enter_devices(writer, _senders(orders))
    await enter_identifiers(writer, orders.devices)
    await enter_settings(writer, orders)
    await enter_activations(writer, orders.activations, wearers, devices)
    fresh = await enter_zone_sets(writer, orders.zone_sets)
    await enter_requirements(writer, orders.requirements, wearers)
    await follow_sets(writer, fresh)
    await enter_names(writer, orders.requirements, wearers)
    await enter_protocols(writer, orders.protocols, wearers)
    await enter_home_units(writer, orders.home_units, wearers)
    await refuse_tags_that_are_units(writer.connection, list(devices))
    for absence in orders.absences:
        number = wearers[absence.wearer_id]
        await enter_absence(writer, number, absence.from_.ms, end_of(absence.to), absence.reason)
    await _enter_outages(writer, orders, wearers)
    return wearers


async def _enter_outages(writer: OrderWriter, orders: Orders, wearers: Mapping[str, int]) -> None:
    of_all: list[Interval] = []
    of_wearers: dict[int, list[Interval]] = {}
    for outage in orders.outages:
        during = Interval(outage.from_.ms, outage.to.ms)
        if outage.wearer_ids is None:
            of_all.append(during)
        for wearer_id in outage.wearer_ids or ():
            of_wearers.setdefault(wearers[wearer_id], []).append(during)
    await enter_outages(writer, of_all, of_wearers)


def _senders(orders: Orders) -> list[str]:
    """The devices that report under a key of their own: tags and home units."""
    tags = {a.device_id for a in orders.activations} | {form.device_id for form in orders.devices}
    return sorted(tags | {unit.hmu_id for unit in orders.home_units})


async def _enter_iom_records(writer: OrderWriter, orders: Orders, wearers: dict[str, int]) -> None:
    last = {form.wearer_id: form for form in orders.wearers}
    forms = {wearer_id: form.iom for wearer_id, form in last.items() if form.iom is not None}
    ids = {wearers[wearer_id]: wearer_id for wearer_id in forms}
    if not forms:
        return
    try:
        changed = await enter_iom(
            writer.connection, {wearers[name]: iom for name, iom in forms.items()}, writer.who, writer.now
        )
    except FutureGrade as error:
        raise OrdersConflict(f"The orders were not entered: of wearer {ids[error.wearer_no]!r}, {error}.") from error
    for wearer_id in forms:
        if wearers[wearer_id] in changed:  # it concerns no judgement: nobody is judged again for it
            writer.changed("IOM record entered", None, wearer_id=wearer_id)


async def enter_with_keys(connection: Connection, orders: Orders, *, who: str, now_ms: int) -> dict[str, str]:
    """Enter orders as `enter_orders` does; a key for every tag and every home unit in them, by device id."""
    entered = await enter_orders(connection, orders, who=who, now_ms=now_ms)
    await look_by_past_orders(connection, entered.past, commander(who, ORDER), now_ms)
    keys = entered.keys
    for device_id in sorted(set(_senders(orders)) - set(keys)):
        keys[device_id] = await add_device_key(connection, device_id, who, now_ms)
    return keys
