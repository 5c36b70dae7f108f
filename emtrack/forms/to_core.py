"""From the form of orders to what the judgement takes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from msgspec import UnsetType

from emtrack.forms.errors import FormError
from emtrack.forms.geometry import SetName
from emtrack.forms.moment import end_of
from emtrack.forms.orders import (
    DAYS,
    ActivationForm,
    HomeUnitForm,
    Orders,
    RequirementForm,
    SettingsForm,
    TimetableForm,
)
from geofence import (
    Activation,
    ActivationId,
    DeviceId,
    EntryId,
    EvidenceKind,
    HomeUnit,
    Interval,
    JudgementSettings,
    Plan,
    Requirement,
    RequirementId,
    SetZone,
    TimetableRow,
    WearerId,
    Zone,
    merged,
)
from geofence.shapes import ZoneSet, build


def _ms(seconds: float) -> int:
    return math.floor(seconds * 1000)


def timezone_of(orders: Orders, default: str = "Europe/London") -> str:
    """The time zone that the orders name, or the default."""
    return default if isinstance(orders.timezone, UnsetType) else orders.timezone


def settings_of(orders: Orders) -> JudgementSettings:
    form = SettingsForm() if isinstance(orders.settings, UnsetType) else orders.settings
    return JudgementSettings(_ms(form.max_gap_s), _ms(form.unknown_limit_s), _ms(form.silence_buffer_s))


def atv_settings_of(orders: Orders) -> tuple[int | None, bool]:
    """The threshold of accumulated violations in milliseconds, and whether minutes within grace count."""
    form = SettingsForm() if isinstance(orders.settings, UnsetType) else orders.settings
    return None if form.atv_threshold_s is None else _ms(form.atv_threshold_s), form.atv_counts_grace


def silence_near_m_of(orders: Orders) -> float:
    """How near an exclusion zone the last position makes a silence serious, in metres."""
    form = SettingsForm() if isinstance(orders.settings, UnsetType) else orders.settings
    return float(form.silence_near_m)


def timetable_of(form: Sequence[TimetableForm] | None) -> tuple[TimetableRow, ...] | None:
    if form is None:
        return None
    return tuple(TimetableRow(DAYS.index(row.day), _minutes(row.start), _minutes(row.end)) for row in form)


def _minutes(wall_time: str) -> int:
    hours, minutes = wall_time.split(":")
    return int(hours) * 60 + int(minutes)


class UnknownSetName(FormError):
    """A requirement is on a zone set, or on a version of one, that nobody has given."""


class SetNames:
    """Zone sets as requirements name them. The version that was added last is the one that is followed."""

    def __init__(self) -> None:
        self._contents: dict[str, dict[str, str]] = {}

    def add(self, set_id: str, version: str, content: str) -> None:
        self._contents.setdefault(set_id, {})[version] = content

    def named(self, name: SetName) -> SetZone:
        """Raises UnknownSetName."""
        versions = self._contents.get(name.set_id)
        if versions is None:
            raise UnknownSetName(
                f"zone set {name.set_id!r} is not known; give it under zone_sets, or enter it with `emtrack zones import`"
            )
        version = next(reversed(versions)) if name.version is None else name.version
        if version not in versions:
            known = ", ".join(map(repr, versions))
            raise UnknownSetName(
                f"version {version!r} of zone set {name.set_id!r} is not known; expected one of {known}"
            )
        return SetZone(name.set_id, version, versions[version])


def set_names_of(orders: Orders) -> SetNames:
    """The sets that the orders themselves give."""
    names = SetNames()
    for form in orders.zone_sets:
        names.add(form.set_id, form.version, form.features.content)
    return names


def set_name_of(form: RequirementForm) -> SetName | None:
    """The set that a requirement is on; None if it has a zone of its own."""
    zone = form.geometry.zone
    return zone if isinstance(zone, SetName) else None


def sets_of(orders: Orders) -> dict[str, ZoneSet]:
    """The sets that requirements are on, by content, ready to be asked."""
    names = set_names_of(orders)
    used = {names.named(name).content for name in map(set_name_of, orders.requirements) if name is not None}
    members = {form.features.content: form.features.members for form in orders.zone_sets}
    return {content: build(members[content]) for content in sorted(used)}


NO_NAMES = SetNames()


def zone_of(form: RequirementForm, names: SetNames = NO_NAMES) -> Zone:
    """Raises UnknownSetName if it is on a set that is not among the names."""
    zone = form.geometry.zone
    return names.named(zone) if isinstance(zone, SetName) else zone


def requirement_of(form: RequirementForm, entry_id: str, names: SetNames = NO_NAMES) -> Requirement:
    """Raises UnknownSetName if it is on a set that is not among the names."""
    return Requirement(
        entry_id=EntryId(entry_id),
        requirement_id=RequirementId(form.requirement_id),
        wearer_id=WearerId(form.wearer_id),
        kind=form.kind,
        from_ms=form.from_.ms,
        to_ms=end_of(form.to),
        zone=zone_of(form, names),
        timetable=timetable_of(form.timetable),
        buffer_m=float(form.buffer_m),
        widen_m=float(form.widen_m),
        confirm_points=form.confirm_points,
        confirm_ms=_ms(form.confirm_seconds),
        grace_ms=_ms(form.grace_s),
        seen_within_ms=_ms(form.seen_within_s),
        rf_gap_ms=None if form.rf_gap_s is None else _ms(form.rf_gap_s),
        stay_ms=_ms(form.stay_s),
    )


def activation_of(form: ActivationForm) -> Activation:
    return Activation(
        activation_id=ActivationId(form.activation_id),
        device_id=DeviceId(form.device_id),
        wearer_id=WearerId(form.wearer_id),
        from_ms=form.from_.ms,
        to_ms=end_of(form.to),
        report_interval_ms=_ms(form.report_interval_s),
        entered_ms=None if form.entered_at is None else form.entered_at.ms,
        network=form.network,
        evidence=tuple(kind for kind in EvidenceKind if kind in form.evidence),
    )


def home_unit_of(form: HomeUnitForm) -> HomeUnit:
    return HomeUnit(
        hmu_id=form.hmu_id,
        requirement_id=RequirementId(form.requirement_id),
        from_ms=form.from_.ms,
        to_ms=end_of(form.to),
        rf_gap_ms=None if form.rf_gap_s is None else _ms(form.rf_gap_s),
        call_in_ms=None if form.call_in_s is None else _ms(form.call_in_s),
    )


def _outages_of(orders: Orders) -> dict[str | None, tuple[Interval, ...]]:
    """Under None: of everybody. Those of some wearers are in theirs only, with everybody's."""
    common = [Interval(outage.from_.ms, outage.to.ms) for outage in orders.outages if outage.wearer_ids is None]
    apart: dict[str, list[Interval]] = defaultdict(lambda: list(common))
    for outage in orders.outages:
        for wearer_id in outage.wearer_ids or ():
            apart[wearer_id].append(Interval(outage.from_.ms, outage.to.ms))
    return {None: tuple(merged(common)), **{wearer_id: tuple(merged(some)) for wearer_id, some in apart.items()}}


def plans_of(orders: Orders) -> list[Plan]:
    """One plan for each activation. Raises UnknownSetName for orders that do not stand for themselves."""
    names = set_names_of(orders)
    requirements: dict[str, list[Requirement]] = defaultdict(list)
    for index, form in enumerate(orders.requirements):
        requirements[form.wearer_id].append(requirement_of(form, str(index), names))
    absences: dict[str, list[Interval]] = defaultdict(list)
    for absence in orders.absences:
        absences[absence.wearer_id].append(Interval(absence.from_.ms, end_of(absence.to)))
    units: dict[str, list[HomeUnit]] = defaultdict(list)
    for unit in orders.home_units:
        units[unit.wearer_id].append(home_unit_of(unit))
    outages = _outages_of(orders)
    return [
        Plan(
            activation=activation_of(form),
            requirements=tuple(requirements[form.wearer_id]),
            timezone=timezone_of(orders),
            settings=settings_of(orders),
            absences=tuple(merged(absences[form.wearer_id])),
            outages=outages.get(form.wearer_id, outages[None]),
            home_units=tuple(units[form.wearer_id]),
        )
        for form in orders.activations
    ]
