"""The form of orders.json (CONTRACT.md), as strict structures: a field that is not known is an error."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from emtrack.forms.features import Features
from emtrack.forms.geometry import Geometry
from emtrack.forms.iom import IomForm
from emtrack.forms.moment import Moment
from emtrack.forms.person import ContactForm, CourtOrderForm, Line, OfficerForm, Phone
from emtrack.forms.protocols import ProtocolForm
from emtrack.forms.strict import Form
from geofence import EvidenceKind, ObligationKind

Identifier = Annotated[str, Meta(min_length=1, max_length=200)]
Seconds = Annotated[float, Meta(ge=0, le=1e8)]
UnitGap = Annotated[float, Meta(gt=0, le=7 * 86_400)]
WallTime = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5, description="HH:MM")]
DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


class TimetableForm(Form, frozen=True):
    day: Literal["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
    start: WallTime
    end: WallTime


class ActivationForm(Form, frozen=True):
    activation_id: Identifier
    device_id: Identifier
    wearer_id: Identifier
    from_: Moment = field(name="from")
    to: Moment | None = None
    report_interval_s: Annotated[float, Meta(gt=0, le=1e8)] = 60
    network: str | None = None
    entered_at: Moment | None = None
    """When we were told of it (`emtrack export` writes it)."""
    evidence: list[EvidenceKind] = field(default_factory=lambda: list(EvidenceKind))
    """What the device can tell; empty for an alcohol tag."""


class RequirementForm(Form, frozen=True):
    requirement_id: Identifier
    wearer_id: Identifier
    kind: ObligationKind
    from_: Moment = field(name="from")
    geometry: Geometry
    to: Moment | None = None
    timetable: list[TimetableForm] | None = None
    buffer_m: Annotated[float, Meta(ge=0, le=1e6)] = 0
    widen_m: Annotated[float, Meta(ge=0, le=1e6)] = 0
    confirm_points: Annotated[int, Meta(ge=1, le=20)] = 2
    confirm_seconds: Annotated[float, Meta(ge=0, le=3600)] = 0
    grace_s: Seconds = 0
    seen_within_s: Seconds = 120
    rf_gap_s: UnitGap | None = None
    """Of a curfew: how long a sighting of its home unit speaks; null: `max_gap_s`."""
    stay_s: Annotated[float, Meta(gt=0, le=86_400)] = 60
    """Of an attendance: how much of each period the wearer has to stay."""
    reason: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None
    """Why it is entered now, if it begins in the past (an addition to the contract); nobody is judged by it."""
    name: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    """What people call its zone, such as "Hanley exclusion zone" (an addition to the contract); of all entries of a requirement the
    last one that has a name counts. Nobody is judged by it."""


class ZoneSetForm(Form, frozen=True):
    """One version of a shared zone set: what requirements with the geometry {"type": "ZoneSet", "set_id"} are on."""

    set_id: Identifier
    version: Identifier
    features: Features


class AbsenceForm(Form, frozen=True):
    wearer_id: Identifier
    from_: Moment = field(name="from")
    to: Moment | None
    reason: str = ""


class OutageForm(Form, frozen=True):
    """Of ours. `wearer_ids`: whom it concerns, where several workers share a record; none: everybody."""

    from_: Moment = field(name="from")
    to: Moment
    wearer_ids: list[Identifier] | None = None


class HomeUnitForm(Form, frozen=True):
    """Which home unit stands at the address of which curfew requirement."""

    hmu_id: Identifier
    wearer_id: Identifier
    requirement_id: Identifier
    from_: Moment = field(name="from")
    to: Moment | None = None
    rf_gap_s: UnitGap | None = None
    """How long its sightings speak; null: as the requirement has it."""
    call_in_s: UnitGap | None = None
    """How often it calls in; null: nobody is told when it does not."""


class DeviceForm(Form, frozen=True):
    device_id: Identifier
    speaks: Annotated[dict[str, str], Meta(min_length=1, max_length=10)]
    """By what it is known in protocols of trackers, such as {"teltonika": "356307042441013"}."""


class WearerForm(Form, frozen=True):
    wearer_id: Identifier
    name: str | None = None
    iom: IomForm | None = None
    date_of_birth: date | None = None
    sex: Line | None = None
    ethnicity: Line | None = None
    address: Annotated[str, Meta(min_length=1, max_length=500)] | None = None
    phones: Annotated[list[Phone], Meta(max_length=10)] = []
    responsible_officer: OfficerForm | None = None
    offence: Annotated[str, Meta(min_length=1, max_length=500)] | None = None
    order: CourtOrderForm | None = None
    contacts: Annotated[list[ContactForm], Meta(max_length=20)] = []


class SettingsForm(Form, frozen=True):
    max_gap_s: Annotated[float, Meta(gt=0, le=1e8)] = 900
    unknown_limit_s: Seconds = 1800
    silence_buffer_s: Seconds = 540
    silence_near_m: Annotated[float, Meta(ge=0, le=1e6)] = 2000
    """How near an exclusion zone the last position makes a silence serious."""
    atv_threshold_s: Annotated[float, Meta(gt=0, le=1e8)] | None = None
    """Accumulated curfew violations that raise an alert (an addition to the contract); null: none do."""
    atv_counts_grace: bool = False


class Orders(Form, frozen=True):
    """orders.json."""

    activations: list[ActivationForm] = []
    requirements: list[RequirementForm] = []
    zone_sets: list[ZoneSetForm] = []
    timezone: str | UnsetType = UNSET
    absences: list[AbsenceForm] = []
    outages: list[OutageForm] = []
    home_units: list[HomeUnitForm] = []
    settings: SettingsForm | UnsetType = UNSET
    wearers: list[WearerForm] = []
    protocols: list[ProtocolForm] = []
    devices: list[DeviceForm] = []
