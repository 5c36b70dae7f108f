"""From what the judgement takes back to the form of orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emtrack.forms.features import Features
from emtrack.forms.geometry import geometry_of
from emtrack.forms.moment import Moment
from emtrack.forms.orders import (
    DAYS,
    AbsenceForm,
    ActivationForm,
    HomeUnitForm,
    Orders,
    OutageForm,
    RequirementForm,
    SettingsForm,
    TimetableForm,
    ZoneSetForm,
)
from emtrack.forms.wall_time import wall_clock
from geofence import (
    FIRST_MS,
    FOREVER_MS,
    Activation,
    HomeUnit,
    Interval,
    Plan,
    Requirement,
    SetZone,
    TimetableRow,
    WearerId,
    clipped,
    subtracted,
)
from geofence.shapes import Member


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
            for zone in sets_of_plans(plans)
        ],
        absences=[
            AbsenceForm(wearer_id, Moment(absence.begin_ms), _end(absence.end_ms))
            for wearer_id, plan in wearers.items()
            for absence in plan.absences
        ],
        outages=_outage_forms(wearers),
        home_units=[
            _home_unit_form(unit, wearer_id) for wearer_id, plan in wearers.items() for unit in plan.home_units
        ],
        settings=SettingsForm()
        if settings is None
        else SettingsForm(
            settings.max_gap_ms / 1000, settings.unknown_limit_ms / 1000, settings.silence_buffer_ms / 1000
        ),
    )


def _end(end_ms: int) -> Moment | None:
    return None if end_ms >= FOREVER_MS else Moment(end_ms)


def _outage_forms(wearers: Mapping[WearerId, Plan]) -> list[OutageForm]:
    """Times in which nobody could be heard are of everybody; what goes beyond them is each with whom it concerns. One of all that
    touches one of some stands for itself, so that who enters the orders elsewhere knows it as everybody's."""
    common = _common([plan.outages for plan in wearers.values()])
    whom: dict[Interval, list[str]] = {}
    for wearer_id, plan in wearers.items():
        for outage in subtracted(plan.outages, common):
            whom.setdefault(outage, []).append(wearer_id)
    found = [(outage, None) for outage in common] + [(outage, sorted(some)) for outage, some in whom.items()]
    return [
        OutageForm(Moment(max(outage.begin_ms, FIRST_MS)), Moment(outage.end_ms), some)
        for outage, some in sorted(found, key=lambda one: (one[0], one[1] or []))
    ]


def _common(outages: Sequence[Sequence[Interval]]) -> list[Interval]:
    """What is in each of them. Most wearers have the same."""
    first, *others = dict.fromkeys(map(tuple, outages)) or [()]
    common = list(first)
    for other in others:
        common = [part for outage in other for part in clipped(common, *outage)]
    return common


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
        list(activation.evidence),
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
        seen_within_s=requirement.seen_within_ms / 1000,
        rf_gap_s=_seconds(requirement.rf_gap_ms),
        stay_s=requirement.stay_ms / 1000,
    )


def _home_unit_form(unit: HomeUnit, wearer_id: str) -> HomeUnitForm:
    return HomeUnitForm(
        unit.hmu_id,
        wearer_id,
        unit.requirement_id,
        Moment(max(unit.from_ms, FIRST_MS)),
        _end(unit.to_ms),
        _seconds(unit.rf_gap_ms),
        _seconds(unit.call_in_ms),
    )


def _seconds(duration_ms: int | None) -> float | None:
    return None if duration_ms is None else duration_ms / 1000


def _timetable_form(row: TimetableRow) -> TimetableForm:
    return TimetableForm(DAYS[row.day], wall_clock(row.start_min), wall_clock(row.end_min))  # type: ignore[arg-type]


def sets_of_plans(plans: Sequence[Plan]) -> list[SetZone]:
    """The versions of sets that requirements are on, each once."""
    zones = {r.zone for plan in plans for r in plan.requirements if isinstance(r.zone, SetZone)}
    return sorted(zones, key=lambda zone: (zone.set_id, zone.version))
