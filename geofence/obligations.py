"""What obliges whom: activations, requirements, absences and settings, as the judgement takes them.

Times in milliseconds of UTC; an open end is FOREVER_MS.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right, insort
from collections.abc import Iterable
from functools import lru_cache
from typing import Generic, Literal, TypeVar

import msgspec

from geofence.intervals import Interval
from geofence.words import (
    FOREVER_MS,
    ActivationId,
    DeviceId,
    EntryId,
    EvidenceKind,
    ObligationKind,
    RequirementId,
    WearerId,
)
from geofence.zones import Zone

RULES_VERSION = "2"
"""Raised when a rule of judgement changes; stored with every finding."""


class TimetableRow(msgspec.Struct, frozen=True, array_like=True):
    """`day` 0 is Monday; minutes of the day, wall clock of the order's time zone."""

    day: int
    start_min: int
    end_min: int

    @property
    def length_min(self) -> int:
        """By the clock on the wall: an end at or before the start is that of the next day."""
        length_min = self.end_min - self.start_min
        return length_min if length_min > 0 else length_min + 24 * 60


class JudgementSettings(msgspec.Struct, frozen=True):
    """JudgementSettings of the deployment; the defaults are those of RULES.md."""

    max_gap_ms: int = 900_000
    unknown_limit_ms: int = 1_800_000
    silence_buffer_ms: int = 540_000


class Requirement(msgspec.Struct, frozen=True):
    """One entry (version) of a requirement."""

    entry_id: EntryId
    requirement_id: RequirementId
    wearer_id: WearerId
    kind: ObligationKind
    from_ms: int
    to_ms: int
    zone: Zone
    timetable: tuple[TimetableRow, ...] | None = None
    buffer_m: float = 0.0
    widen_m: float = 0.0
    """The zone is taken as this much wider: margin m + widen_m."""
    confirm_points: int = 2
    confirm_ms: int = 0
    grace_ms: int = 0
    seen_within_ms: int = 120_000
    """On a curfew and an inclusion: how long before the start of a period a wearer who is out must have been seen out."""
    rf_gap_ms: int | None = None
    """On a curfew: how long a sighting of its home unit speaks; None: as long as a position holds (`max_gap_ms`)."""
    stay_ms: int = 60_000
    """Of an attendance: how much of each period the wearer must be inside."""


class Activation(msgspec.Struct, frozen=True):
    """One device on one wearer for an interval. `entered_ms`: when we were told; silence starts no earlier."""

    activation_id: ActivationId
    device_id: DeviceId
    wearer_id: WearerId
    from_ms: int
    to_ms: int = FOREVER_MS
    report_interval_ms: int = 60_000
    entered_ms: int | None = None
    network: str | None = None
    evidence: tuple[EvidenceKind, ...] = (EvidenceKind.POSITION, EvidenceKind.RF)
    """What the device can tell."""

    @property
    def tells_of_places(self) -> bool:
        """Whether it is judged on curfews at all, so that a home unit at such an address speaks for it; an alcohol tag is not."""
        return bool(self.evidence)


class HomeUnit(msgspec.Struct, frozen=True):
    """A home unit at the address of a curfew requirement, for an interval. `rf_gap_ms`: how long its sightings speak; None: as the
    requirement has it. `call_in_ms`: how often it calls in; None: nobody said."""

    hmu_id: str
    requirement_id: RequirementId
    from_ms: int
    to_ms: int = FOREVER_MS
    rf_gap_ms: int | None = None
    call_in_ms: int | None = None


class Plan(msgspec.Struct, frozen=True):
    """Everything but the facts that the judgement of one activation rests on."""

    activation: Activation
    requirements: tuple[Requirement, ...]
    timezone: str = "Europe/London"
    settings: JudgementSettings = JudgementSettings()
    absences: tuple[Interval, ...] = ()
    """Of the wearer; sorted and apart."""
    outages: tuple[Interval, ...] = ()
    """Ours; sorted and apart."""
    home_units: tuple[HomeUnit, ...] = ()
    """Of the wearer."""

    @property
    def judged(self) -> tuple[Requirement, ...]:
        """The requirements on which the activation is judged: a curfew if its device can tell of places at all, others only by
        positions."""
        by_position, tells = EvidenceKind.POSITION in self.activation.evidence, self.activation.tells_of_places
        return tuple(r for r in self.requirements if by_position or (tells and r.kind is ObligationKind.CURFEW))

    @property
    def is_heard_by_units_only(self) -> bool:
        """Whether what home units send is the only sign of life of the device (its evidence is RF alone)."""
        return self.activation.evidence == (EvidenceKind.RF,)

    def rf_gap_ms(self, requirement: Requirement, at_ms: int) -> int:
        """How long a sighting at an instant speaks for a curfew: as its home unit of then has it, else the requirement, else
        `max_gap_ms`. Of several units the shortest: beyond it nothing is known."""
        gaps_ms = [
            unit.rf_gap_ms
            for unit in self.home_units
            if unit.requirement_id == requirement.requirement_id
            and unit.rf_gap_ms is not None
            and unit.from_ms <= at_ms < unit.to_ms
        ]
        own_ms = self.settings.max_gap_ms if requirement.rf_gap_ms is None else requirement.rf_gap_ms
        return min(gaps_ms, default=own_ms)

    @property
    def silence_limit_ms(self) -> int:
        return self.activation.report_interval_ms + self.settings.silence_buffer_ms


VersionedPart = Literal["rules", "settings", "requirement", "geometry"]


def version_of(thing: object) -> str:
    """A short name for exactly this content: 16 hexadecimal digits that change when it does."""
    return hashlib.blake2b(msgspec.json.encode(thing, order="sorted"), digest_size=8).hexdigest()


@lru_cache(maxsize=1_000)
def _version_of_settings(*settings: object) -> str:
    """Of a deployment there are few."""
    return version_of(settings)


def versions_of(plan: Plan, requirement: Requirement | None) -> dict[VersionedPart, str]:
    """What a finding was decided under (RULES.md section 7)."""
    versions: dict[VersionedPart, str] = {
        "rules": RULES_VERSION,
        "settings": _version_of_settings(plan.settings, plan.timezone, plan.activation.report_interval_ms),
    }
    if requirement is not None:
        versions["requirement"] = version_of(requirement)
        versions["geometry"] = version_of(requirement.zone)
    return versions


Device = TypeVar("Device")
Item = TypeVar("Item")


class ActivationIndex(Generic[Device, Item]):
    """Which activation covers a device at an instant: things that stand for activations, found by device and interval.
    Activations of one device do not overlap."""

    def __init__(self, rows: Iterable[tuple[Device, Activation, Item]] = ()) -> None:
        self._by_device: dict[Device, list[tuple[Activation, Item]]] = {}
        for device, activation, item in rows:
            self.add(device, activation, item)

    def add(self, device: Device, activation: Activation, item: Item) -> None:
        """One more, beside those that are there."""
        insort(self._by_device.setdefault(device, []), (activation, item), key=_from_ms)

    def remove(self, device: Device, item: Item) -> None:
        """This very item of the device."""
        kept = [row for row in self._by_device[device] if row[1] is not item]
        if kept:
            self._by_device[device] = kept
        else:
            del self._by_device[device]

    def of(self, device: Device) -> list[Item]:
        """All of a device, the first first."""
        return [item for _, item in self._by_device.get(device, ())]

    def knows(self, device: Device) -> bool:
        """Whether any activation names the device."""
        return device in self._by_device

    def at(self, device: Device, at_ms: int) -> Item | None:
        """None where no activation covers the device."""
        found = self._by_device.get(device, ())
        index = bisect_right(found, at_ms, key=_from_ms) - 1
        if index < 0 or at_ms >= found[index][0].to_ms:
            return None
        return found[index][1]


def _from_ms(row: tuple[Activation, object]) -> int:
    return row[0].from_ms
