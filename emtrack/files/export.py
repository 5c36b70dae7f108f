"""`emtrack export`: what is stored, as the files that `emtrack evaluate` reads. The findings can then be judged again
by anybody, without the service and without the database."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UnsetType

from emtrack.files.facts import EVENT_COLUMNS, POSITION_COLUMNS
from emtrack.forms.features import Features, collection_of
from emtrack.forms.orders import (
    DAYS,
    AbsenceForm,
    ActivationForm,
    Moment,
    Orders,
    OutageForm,
    RequirementForm,
    SettingsForm,
    TimetableForm,
    ZoneSetForm,
    geometry_of,
    write_orders,
)
from emtrack.record.facts import load_facts
from emtrack.record.plans import Assignment, load_assignments
from emtrack.record.zone_sets import members_of
from emtrack.service.atv import Rules, rules_of
from geofence.facts import Fact, Position
from geofence.intervals import Interval
from geofence.obligations import Activation, Plan, Requirement, TimetableRow
from geofence.shapes.zone_sets import Member
from geofence.words import ALWAYS_MS, FIRST_MS, FOREVER_MS, format_instant
from geofence.zones import SetZone

if TYPE_CHECKING:
    import asyncpg


async def export(connection: asyncpg.Connection[Any], folder: Path, now_ms: int) -> dict[str, int]:
    """Write orders.json, a file for each zone set, positions.csv and events.csv; how many rows of each. Inside a snapshot,
    all fits together."""
    assignments = list((await load_assignments(connection, now_ms)).values())
    plans = [assignment.plan for assignment in assignments]
    members = {zone.content: await members_of(connection, zone.content) for zone in _sets_of(plans)}
    orders = with_ledger_settings(orders_of(plans, members), await rules_of(connection))
    orders = _with_set_files(orders, folder)
    (folder / "orders.json").write_bytes(write_orders(orders))
    counts = {"activations": len(assignments), "zone sets": len(orders.zone_sets), "positions": 0, "events": 0}
    with (
        (folder / "positions.csv").open("w", newline="") as positions,
        (folder / "events.csv").open("w", newline="") as events,
    ):
        to_positions, to_events = csv.writer(positions), csv.writer(events)
        to_positions.writerow([*POSITION_COLUMNS, "received_time"])
        to_events.writerow([*EVENT_COLUMNS, "received_time", "requirement_id"])
        for assignment in assignments:
            facts = (await load_facts(connection, [(assignment, ALWAYS_MS)]))[assignment.activation_no]
            for fact in sorted(facts, key=lambda fact: fact.key):
                if isinstance(fact, Position):
                    counts["positions"] += 1
                    to_positions.writerow(_position_row(assignment, fact))
                else:
                    counts["events"] += 1
                    to_events.writerow(_event_row(assignment, fact))
    return counts


def _position_row(assignment: Assignment, fact: Position) -> list[Any]:
    precision = "" if fact.precision_m is None else repr(fact.precision_m)
    own, received = format_instant(fact.fix_ms), format_instant(fact.received_ms)
    device_id = assignment.plan.activation.device_id
    return [device_id, own, repr(fact.lat_deg), repr(fact.lon_deg), precision, fact.mechanism, received]


def _event_row(assignment: Assignment, fact: Fact) -> list[Any]:
    assert not isinstance(fact, Position)
    own, received = format_instant(fact.event_ms), format_instant(fact.received_ms)
    return [assignment.plan.activation.device_id, own, fact.type, received, fact.requirement_id or ""]


def _sets_of(plans: Sequence[Plan]) -> list[SetZone]:
    """The versions of sets that requirements are on, each once."""
    zones = {r.zone for plan in plans for r in plan.requirements if isinstance(r.zone, SetZone)}
    return sorted(zones, key=lambda zone: (zone.set_id, zone.version))


def _with_set_files(orders: Orders, folder: Path) -> Orders:
    """The members of each set in a file of its own. Its name is a number: what a set is called may be no name of a file."""
    forms = []
    for number, form in enumerate(orders.zone_sets, 1):
        name = f"zone_set_{number}.geojson"
        (folder / name).write_bytes(msgspec.json.encode(collection_of(form.features.members)))
        features = Features(None, name, form.features.members)
        forms.append(msgspec.structs.replace(form, features=features))
    return msgspec.structs.replace(orders, zone_sets=forms)


def orders_of(plans: Sequence[Plan], members: Mapping[str, Sequence[Member]] | None = None) -> Orders:
    """Plans of one deployment as the form that they were read from. `members`: of the zone sets that requirements are on, by
    content; each is pinned to the version that it is on."""
    first = plans[0] if plans else None
    wearers = {plan.activation.wearer_id: plan for plan in plans}
    settings = None if first is None else first.settings
    return Orders(
        timezone=first.timezone if first else "Europe/London",
        activations=[_activation_form(plan.activation) for plan in plans],
        requirements=[_requirement_form(r) for plan in wearers.values() for r in plan.requirements],
        zone_sets=[
            ZoneSetForm(zone.set_id, zone.version, Features(None, None, (members or {})[zone.content]))
            for zone in _sets_of(plans)
        ],
        absences=[
            AbsenceForm(wearer_id, Moment(absence.begin_ms), _end(absence.end_ms))
            for wearer_id, plan in wearers.items()
            for absence in plan.absences
        ],
        outages=[_outage_form(outage) for outage in (first.outages if first else ())],
        settings=SettingsForm()
        if settings is None
        else SettingsForm(
            settings.max_gap_ms / 1000, settings.unknown_limit_ms / 1000, settings.silence_buffer_ms / 1000
        ),
    )


def with_ledger_settings(orders: Orders, rules: Rules) -> Orders:
    """The settings of the ledger are no part of a plan, because nobody is judged by them."""
    if rules == Rules(None, counts_grace=False) or isinstance(orders.settings, UnsetType):
        return orders
    threshold_s = None if rules.threshold_ms is None else rules.threshold_ms / 1000
    settings = msgspec.structs.replace(
        orders.settings, atv_threshold_s=threshold_s, atv_counts_grace=rules.counts_grace
    )
    return msgspec.structs.replace(orders, settings=settings)


def _end(end_ms: int) -> Moment | None:
    return None if end_ms >= FOREVER_MS else Moment(end_ms)


def _outage_form(outage: Interval) -> OutageForm:
    return OutageForm(Moment(max(outage.begin_ms, FIRST_MS)), Moment(outage.end_ms))


def _activation_form(activation: Activation) -> ActivationForm:
    return ActivationForm(
        activation.activation_id,
        activation.device_id,
        activation.wearer_id,
        Moment(activation.from_ms),
        _end(activation.to_ms),
        activation.report_interval_ms / 1000,
        activation.network,
        None if activation.entered_ms is None else Moment(activation.entered_ms),
    )


def _requirement_form(requirement: Requirement) -> RequirementForm:
    rows = requirement.timetable
    return RequirementForm(
        requirement_id=requirement.requirement_id,
        wearer_id=requirement.wearer_id,
        kind=requirement.kind,
        from_=Moment(requirement.from_ms),
        geometry=geometry_of(requirement.zone),
        to=_end(requirement.to_ms),
        timetable=None if rows is None else [_timetable_form(row) for row in rows],
        buffer_m=requirement.buffer_m,
        widen_m=requirement.widen_m,
        confirm_points=requirement.confirm_points,
        confirm_seconds=requirement.confirm_ms / 1000,
        grace_s=requirement.grace_ms / 1000,
    )


def _timetable_form(row: TimetableRow) -> TimetableForm:
    def wall(minutes: int) -> str:
        return f"{minutes // 60:02d}:{minutes % 60:02d}"

    return TimetableForm(DAYS[row.day], wall(row.start_min), wall(row.end_min))  # type: ignore[arg-type]
