"""What people read: times in the zone of the orders, lengths, and a finding in plain words."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from alerts import ATV, CLOCK, HOME_UNIT_SILENT, INCIDENT, Alert, EntryFate, LineKind, Occasion, Severity, Target
from emtrack.files.positions import PositionForm
from emtrack.forms.drafts import Draft
from emtrack.forms.wall_time import instant_of_wall, passes_of_wall, wall_clock
from emtrack.iom.circumstances import CircumstanceKind
from emtrack.iom.offences import OffenceKind, OffenceOutcome
from emtrack.iom.signals import SignalKind
from emtrack.iom.transitions import TransitionKind
from emtrack.reading.ways import Passes, Way
from emtrack.record.disclosures import Given
from geofence import (
    FIRST_MS,
    LAST_MS,
    CurfewReason,
    Disc,
    EventType,
    Kind,
    Mechanism,
    ObligationKind,
    Presence,
    Requirement,
    TimetableRow,
    datetime_of,
    instant_of,
    parse_instant,
)
from geofence.judgement import Finding, PositionStatus, Weighed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerts import PossibleEntry, Skew
    from emtrack.reading.casefile import LateFacts, WeighedFix
    from emtrack.reading.home_units import UnitOfWearer

KINDS = {
    Kind.EXCLUSION: "In an exclusion zone",
    Kind.APPROACH: "Near an exclusion zone",
    Kind.INCLUSION: "Outside an inclusion zone",
    Kind.CURFEW: "Curfew",
    Kind.ATTENDANCE: "Appointment missed",
    Kind.UNVERIFIED: "Whereabouts not known",
    Kind.NO_COMMUNICATION: "Tag silent",
    Kind.TAMPER: "Tamper",
    Kind.BATTERY: "Battery",
    Kind.HMU: "Home unit",
    Kind.JAMMING: "Jamming",
    Kind.ALCOHOL: "Alcohol",
}
OF_NO_FINDING = {
    INCIDENT: "Platform incident",
    ATV: "Accumulated time violations",
    CLOCK: "Tag clock wrong",
    HOME_UNIT_SILENT: "Home unit does not call in",
}
REASONS = {
    CurfewReason.OUT_AT_START: "not home at curfew start",
    CurfewReason.RETURNED_LATE: "returned late",
    CurfewReason.LEFT_DURING: "left home during curfew",
    CurfewReason.OUT_AT_END: "not home at curfew end",
    CurfewReason.OUT_ENTIRE_PERIOD: "out for the entire period",
    CurfewReason.SEEN_OUT: "seen out",
    EventType.STRAP_TAMPER: "strap",
    EventType.CASE_TAMPER: "case",
    EventType.BATTERY_LOW: "low",
    EventType.BATTERY_CRITICAL: "critical",
    EventType.HMU_MOVED: "moved",
    EventType.HMU_POWER_LOST: "without power",
    EventType.JAMMING: "",
    EventType.ALCOHOL_DETECTED: "detected",
}
PATHWAYS = {
    "ACCOMMODATION": "Accommodation",
    "EDUCATION_TRAINING_EMPLOYMENT": "Education, training, employment",
    "HEALTH": "Health",
    "DRUGS_ALCOHOL": "Drugs and alcohol",
    "FINANCE": "Finance",
    "RELATIONSHIPS_FAMILY": "Relationships and family",
    "ATTITUDES_THINKING_BEHAVIOUR": "Attitudes, thinking and behaviour",
}
COHORTS = {"FIXED": "Fixed", "FLEX": "Flex", "FREE": "Free"}
SEVERITIES = {
    Severity.CRITICAL: "Critical",
    Severity.SERIOUS: "Serious",
    Severity.WARNING: "Warning",
    Severity.MESSAGE: "Information",
}
MECHANISMS = {Mechanism.GPS: "GPS", Mechanism.WIFI: "Wi-Fi", Mechanism.LBS: "Cellular (LBS)", Mechanism.RF: "RF"}
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LOOKED_AT = {
    "shift": "Work began",
    "queue": "Alerts in the list",
    "findings": "Findings",
    "positions": "Positions",
    "past order": "An order for a time that was past",
    "export": "What is stored, as files",
    "restricted record": "A restricted record was opened",
    "details": "Addresses and phones, in a list",
    "IOM record": "The record of the IOM programme",
    "near": "Who was near a place, or near whom",
    "what if": "What would have been found with other settings or zones",
}
GIVEN = {Given.POSITIONS: "Positions", Given.REPORT: "Evidence report"}
POSITION_FORMS = {
    PositionForm.CSV: ("Table, condensed (CSV)", "Number, time, place, accuracy and type of each position"),
    PositionForm.CSV_FULL: ("Table, full (CSV)", "All that is known of each position"),
    PositionForm.GEOJSON: ("GeoJSON", "For maps: a point for each position"),
    PositionForm.GPX: (
        "GPX",
        "For route planners: a track through the positions that count as evidence, parted at gaps",
    ),
    PositionForm.GEOPARQUET: ("GeoParquet", "For analysis of many positions"),
}
"""What each kind of file is called, and what it is for."""
STATES = {"new": "New", "acknowledged": "Acknowledged", "in progress": "In progress", "closed": "Closed"}
DEADLINES = {
    Target.ACKNOWLEDGE: "acknowledge",
    Target.CONTACT: "call somebody",
    Target.AUTHORITY: "tell the authority",
}
"""What is to be done by a deadline."""
OCCASIONS = {
    Occasion.POSSIBLE_ENTRY: "a possible entry",
    Occasion.RAISED: "a new alert",
    Occasion.NOT_ACKNOWLEDGED: "not acknowledged in time",
    Occasion.STILL_NOT_ACKNOWLEDGED: "still not acknowledged",
    Occasion.NO_CONTACT: "nobody was called in time",
    Occasion.AUTHORITY_NOT_TOLD: "no authority was told in time",
}
SEVERITY_NAMES = {severity.value: text.lower() for severity, text in SEVERITIES.items()}
CALLED = {
    "person": "The person",
    "officer": "Responsible officer",
    "contact": "Somebody the person named",
    "field": "Field team",
    "other": "Somebody else",
}
WEARER_MESSAGES = {
    "charge": "Charge your tag now.",
    "call": "Call the monitoring centre now.",
    "home": "Your curfew has begun. Go home now.",
    "leave": "You are in an area that you must not enter. Leave it now.",
    "signal": "Your tag is not heard. Go outside or to a window, and call the monitoring centre.",
    "unit": "Plug in your home unit, and do not move it.",
}
"""What a wearer can be told: fixed texts, so that nobody is told what a tired operator typed at 3 a.m."""
CALL_RESULTS = {
    "answered": "answered",
    "no answer": "did not answer",
    "message": "a message was left",
    "engaged": "engaged, or the number is wrong",
}
MOVED = {
    "acknowledged": "acknowledged it",
    "unacknowledged": "made it new again",
    "taken over": "took it over",
    "started": "started work on it",
    "noted": "added a note",
    "called": "logged a call",
    "authority told": "told an authority",
    "messaged": "sent the wearer a message",
    "escalated": "escalated it",
    "suspended": "suspended it",
    "resumed": "ended the suspension",
    "closed": "closed it",
    "reopened": "re-opened it",
}
"""What somebody did to an alert, after their name."""
DOORS = {"page": "on a page", "program": "by a program", "command": "by a command"}
CHANGES = {"new": "Found", "amended": "Amended", "withdrawn": "Withdrawn"}
LEDGER = {LineKind.COUNTED: "counted", LineKind.REVERSED: "reversed", LineKind.EXCUSED: "excused"}
POSITION_STATUSES = {
    PositionStatus.EVIDENCE: "evidence",
    PositionStatus.IMPLAUSIBLE: "not evidence: impossible place, or ahead of its receipt",
    PositionStatus.CONFLICT: "not evidence: another fix of the same instant is more precise",
    PositionStatus.JUMP: "not evidence: too far from the fix before to be true",
}


ENTRIES = {
    EntryFate.POSSIBLE: "Possible entry: one position in an exclusion zone, not confirmed",
    EntryFate.NOT_CONFIRMED: "Possible entry: not confirmed",
    EntryFate.CONFIRMED: "Possible entry: confirmed",
}


def kind_name(kind: str) -> str:
    return OF_NO_FINDING[kind] if kind in OF_NO_FINDING else KINDS[Kind(kind)]


def title_of_alert(alert: Alert) -> str:
    """As of its newest finding; of one that no finding stands behind, what is possible."""
    if alert.possible is not None:
        return ENTRIES[alert.possible.fate]
    return title_of(alert.kind, alert.reason)


def title_of(kind: str, reason: str | None) -> str:
    """ "Curfew: returned late", "Tamper: strap", "In an exclusion zone"."""
    words = _reason_words(reason)
    return f"{kind_name(kind)}: {words}" if words else kind_name(kind)


def _reason_words(reason: str | None) -> str:
    if reason is None:
        return ""
    return REASONS[CurfewReason(reason)] if reason in CurfewReason.__members__ else REASONS[EventType(reason)]


EVENT_NAMES = {
    EventType.RF_IN: "In range of UNIT",
    EventType.RF_OUT: "Out of range of UNIT",
    EventType.HMU_MOVED: "UNIT was moved",
    EventType.HMU_POWER_LOST: "UNIT lost its power",
    EventType.HMU_POWER_RESTORED: "UNIT has its power again",
    EventType.STRAP_TAMPER: "Strap opened or cut",
    EventType.STRAP_CLEAR: "Strap closed",
    EventType.CASE_TAMPER: "Case opened",
    EventType.CASE_CLEAR: "Case closed",
    EventType.BATTERY_LOW: "Battery low",
    EventType.BATTERY_CRITICAL: "Battery nearly empty",
    EventType.BATTERY_OK: "Battery charged",
    EventType.JAMMING: "Signals jammed",
    EventType.JAMMING_CLEAR: "Signals jammed no longer",
    EventType.ALCOHOL_DETECTED: "Alcohol detected",
    EventType.ALCOHOL_CLEAR: "No alcohol any longer",
    EventType.HEARTBEAT: "Sign of life",
}


def event_words(event: EventType, hmu_id: str | None) -> str:
    """ "In range of the home unit H1", "Strap opened or cut"."""
    unit = f"the home unit {hmu_id}" if hmu_id else "the home unit"
    text = EVENT_NAMES[event].replace("UNIT", unit)
    return text[0].upper() + text[1:]


def reporter_words(sent_by: str | None) -> str:
    """ "Reported by the home unit H1", or by the tag itself."""
    return "Reported by the tag" if sent_by is None else f"Reported by the home unit {sent_by}"


class IntervalWords(NamedTuple):
    """An interval in words."""

    begin: str
    end: str
    length: str


_DAY_MS = 86_400_000


class Words:
    """Times of one time zone, in words."""

    def __init__(self, timezone: str) -> None:
        self.timezone = timezone
        self._zone = ZoneInfo(timezone)

    def local(self, instant_ms: int) -> datetime:
        """At the ends of the calendar, where a zone would lead out of it, in UTC."""
        moment = datetime_of(instant_ms)
        try:
            return moment.astimezone(self._zone)
        except OverflowError:
            return moment

    def ms(self, moment: datetime) -> int:
        """The instant of a stored time."""
        return instant_of(moment)

    def moment(self, instant_ms: int) -> str:
        """ "Mon 2 Mar 2026 21:02:10 GMT"."""
        moment = self.local(instant_ms)
        return f"{moment:%a} {moment.day} {moment:%b %Y %H:%M:%S %Z}"

    def short(self, instant_ms: int) -> str:
        """ "2 Mar 21:02:10"; within a day of a change of the clocks "26 Oct 01:35:00 GMT"."""
        moment = self.local(instant_ms)
        zone = f" {moment:%Z}" if self._clocks_change_near(instant_ms) else ""
        return f"{moment.day} {moment:%b %H:%M:%S}{zone}"

    def row(self, instant_ms: int) -> str:
        """ "26 Oct 01:35:00 GMT": of a row of a history, which always says which of the two clocks it is of."""
        moment = self.local(instant_ms)
        return f"{moment.day} {moment:%b %H:%M:%S %Z}"

    def _clocks_change_near(self, instant_ms: int) -> bool:
        if not FIRST_MS + _DAY_MS < instant_ms < LAST_MS - _DAY_MS:
            return False
        before, after = (self.local(instant_ms + by_ms).utcoffset() for by_ms in (-_DAY_MS, _DAY_MS))
        return before != after

    def force(self, requirement: Requirement) -> str:
        """ "from 1 Mar 00:00:00 GMT on", "from … to …": of a requirement as it was in force."""
        begin = f"from {self.row(requirement.from_ms)}"
        return f"{begin} on" if requirement.to_ms >= LAST_MS else f"{begin} to {self.row(requirement.to_ms)}"

    def clock(self, instant_ms: int, now_ms: int) -> str:
        """ "19:00"; of another day "1 Mar 19:00"."""
        moment = self.local(instant_ms)
        zone = f" {moment:%Z}" if self._clocks_change_near(instant_ms) else ""
        is_today = moment.date() == self.local(now_ms).date()
        return f"{'' if is_today else f'{moment.day} {moment:%b} '}{moment:%H:%M}{zone}"

    def day(self, instant_ms: int) -> str:
        """ "2 March 2026"."""
        moment = self.local(instant_ms)
        return f"{moment.day} {moment:%B %Y}"

    def field(self, instant_ms: int) -> str:
        """As a browser's date and time field takes it, in local time."""
        return self.local(instant_ms).strftime("%Y-%m-%dT%H:%M")

    def field_to_the_second(self, instant_ms: int) -> str:
        """The same of a field with `step="1"`."""
        return self.local(instant_ms).strftime("%Y-%m-%dT%H:%M:%S")

    def read_field(self, text: str, pass_name: str = "") -> int:
        """Milliseconds of a local date and time out of such a field. Of a time that comes twice, `pass_name` says which: the name
        of its offset (BST, GMT). Raises NotAnInstant."""
        return instant_of_wall(text, self._zone, pass_name)

    def passes(self, text: str) -> list[str]:
        """The names of both passes of a local time that comes twice (BST, GMT); none of another."""
        return [one.name for one in passes_of_wall(text, self._zone)]

    def pass_name(self, instant_ms: int) -> str:
        """Which pass of its local time an instant is in."""
        return f"{self.local(instant_ms):%Z}"

    def span(
        self, begin_ms: int, end_ms: int | None, now_ms: int, unknown_since_ms: int | None = None
    ) -> IntervalWords:
        """`unknown_since_ms`: of what lasts, since when that is not known."""
        end = "ongoing" if end_ms is None else self.short(end_ms)
        if unknown_since_ms is not None:
            end = f"ongoing, not known since {self.short(unknown_since_ms)}"
            now_ms = unknown_since_ms
        return IntervalWords(self.short(begin_ms), end, length((now_ms if end_ms is None else end_ms) - begin_ms))

    def story(self, finding: Finding, now_ms: int, zone_name: str | None = None) -> str:
        """What happened, in one or two sentences. `zone_name`: what people call the zone."""
        begin, end_ms = self.moment(finding.begin_ms), finding.end_ms
        lasted = length((now_ms if end_ms is None else end_ms) - finding.begin_ms)
        until = f"It has lasted {lasted}." if end_ms is None else f"It lasted {lasted}, until {self.moment(end_ms)}."
        if finding.unknown_since_ms is not None:
            until = self._not_known_since(finding, finding.unknown_since_ms)
        what = _what(finding, zone_name).replace("{begin}", begin)
        return f"{what[:1].upper()}{what[1:]} {until}{_grace(finding)}"

    def _not_known_since(self, finding: Finding, since_ms: int) -> str:
        lasted, since = length(since_ms - finding.begin_ms), self.moment(since_ms)
        return (
            f"It had lasted {lasted} by {since}. Since then it is not known whether it goes on: the next report may still say so. "
            "If none comes in time, it ended then."
        )

    def possible_entry(self, entry: PossibleEntry, newest: WeighedFix | None) -> str:
        """What raised an alert that nothing has confirmed, and what the newest position says."""
        told = f"One position at {self.moment(entry.seen_ms)} was inside the exclusion zone. "
        if entry.fate is EntryFate.NOT_CONFIRMED:
            return f"{told}No second position confirmed it."
        return f"{told}No second position has confirmed it yet.{self.newest(newest)}"

    def newest(self, fix: WeighedFix | None) -> str:
        """ " The newest position, at 21:04:10, is 168 m inside the zone, to within 16 m." Nothing where there is none."""
        if fix is None or fix.weighed is None:
            return ""
        position = fix.weighed.position
        at, where = f"{self.local(position.fix_ms):%H:%M:%S}", margin_words(fix.weighed.margin_m)
        return f" The newest position, at {at}, is {where} the zone, to within {position.radius_m:.0f} m."

    def called_in(self, unit: UnitOfWearer, now_ms: int) -> str:
        """ "It last called in at Mon 2 Mar 2026 21:02:10 GMT, 12 min ago. It calls in every 4 h." """
        every = "" if unit.call_in_ms is None else f" It should call in at least every {length(unit.call_in_ms)}."
        if unit.heard_ms is None:
            return f"It has never called in.{every}"
        ago = length(now_ms - unit.heard_ms)
        return f"It last called in at {self.moment(unit.heard_ms)}, {ago} ago.{every}"

    def unit_story(self, alert: Alert, now_ms: int) -> str:
        """What happened, of an alert of a home unit."""
        people = "1 person depends" if alert.people == 1 else f"{alert.people} people depend"
        since = f"and has not for {length(now_ms - alert.latest_ms)}." if alert.lasts else "and did not. It is over."
        begin = self.moment(alert.latest_ms)
        return f"The home unit {alert.home_unit} should have called in by {begin}, {since} {people} on it."

    def against(self, late: LateFacts, finding: Finding) -> str:
        """ "Late positions show that the person was at the address of the curfew C1 from 21:02:00 to 21:40:00"."""
        came = ["positions"] * late.with_positions + ["sightings of the home unit"] * late.with_sightings
        spans = " and ".join(self._between(begin_ms, end_ms) for begin_ms, end_ms in late.spans)
        where = _ELSEWHERE[finding.kind].format(requirement=finding.requirement_id)
        return f"Late {' and '.join(came)} show that the person was {where} {spans}"

    def _between(self, begin_ms: int, end_ms: int) -> str:
        """ "from 2 Mar 21:02:00 to 21:40:00", the day again where it is another."""
        begin, end = self.local(begin_ms), self.local(end_ms)
        if begin_ms == end_ms:
            return f"at {self.short(begin_ms)}"
        is_plain = begin.date() == end.date() and not self._clocks_change_near(end_ms)
        return f"from {self.short(begin_ms)} to {f'{end:%H:%M:%S}' if is_plain else self.short(end_ms)}"


def _what(finding: Finding, zone_name: str | None) -> str:
    return _whereabouts(finding, zone_name) + (_AWAY_FROM_ALL.format(finding.zone_id) if _is_away(finding) else "")


def _is_away(finding: Finding) -> bool:
    return finding.zone_id is not None and finding.kind in (Kind.INCLUSION, Kind.CURFEW)


_AWAY_FROM_ALL = " The nearest zone of the set was {} when it began."


def _whereabouts(finding: Finding, zone_name: str | None) -> str:
    requirement = finding.requirement_id
    if finding.kind is Kind.CURFEW:
        return _CURFEW[CurfewReason(finding.reason or "")].replace("CURFEW", f"the curfew {requirement}")
    if finding.reason is not None:
        unit = f" of {requirement}" if requirement else ""
        return _EVENTS[EventType(finding.reason)].replace("UNIT", f"home unit{unit}")
    zone = (
        f"zone {requirement}"
        if finding.zone_id is None or _is_away(finding)
        else f"zone {finding.zone_id} of {requirement}"
    )
    told = _PLACES[finding.kind]
    if zone_name is not None and finding.zone_id is None:
        told = re.sub("the (ex|in)clusion ZONE", lambda _: f"{zone_name} ({requirement})", told)
    return told.replace("PLACE", zone_name or str(requirement)).replace("ZONE", zone)


def _grace(finding: Finding) -> str:
    return " That is within the grace of the order, and raises no alert." if finding.within_grace else ""


_PLACES = {
    Kind.EXCLUSION: "The person was inside the exclusion ZONE from {begin} on.",
    Kind.APPROACH: "The person was within the buffer of the exclusion ZONE from {begin} on, and not inside the zone.",
    Kind.INCLUSION: "The person was outside the inclusion ZONE from {begin} on, while obliged to be inside.",
    Kind.ATTENDANCE: "The person was away from the appointment PLACE for so long that from {begin} on it could not be kept.",
    Kind.UNVERIFIED: "From {begin} on nobody could tell whether the person kept to PLACE: no fix was decisive.",
    Kind.NO_COMMUNICATION: "Nothing was received from the tag; from {begin} on that was longer than it may be silent.",
}
_ELSEWHERE = {
    Kind.EXCLUSION: "outside the exclusion zone {requirement}",
    Kind.INCLUSION: "inside the inclusion zone {requirement}",
    Kind.CURFEW: "at the address of the curfew {requirement}",
}
_CURFEW = {
    CurfewReason.OUT_AT_START: "CURFEW began at {begin}, and the person was not there.",
    CurfewReason.RETURNED_LATE: "CURFEW began at {begin}, and the person was not there; they came later.",
    CurfewReason.LEFT_DURING: "The person left the address of CURFEW at {begin}, while it was in force.",
    CurfewReason.OUT_AT_END: "The person was away from the address of CURFEW from {begin} until it ended.",
    CurfewReason.OUT_ENTIRE_PERIOD: "The person was away from the address of CURFEW for the whole of it, from {begin} on.",
    CurfewReason.SEEN_OUT: "The person was seen away from the address of CURFEW from {begin} on; no departure was seen.",
}
_EVENTS = {
    EventType.STRAP_TAMPER: "The tag reported at {begin} that its strap was opened or cut.",
    EventType.CASE_TAMPER: "The tag reported at {begin} that its case was opened.",
    EventType.BATTERY_LOW: "The tag reported a low battery at {begin}.",
    EventType.BATTERY_CRITICAL: "The tag reported at {begin} that its battery was nearly empty.",
    EventType.HMU_MOVED: "The UNIT was moved at {begin}.",
    EventType.HMU_POWER_LOST: "The UNIT lost its power at {begin}.",
    EventType.JAMMING: "The tag reported at {begin} that its signals were being jammed.",
    EventType.ALCOHOL_DETECTED: "The tag detected alcohol at {begin}.",
}


MANY_MINUTES_MS = 3 * 3_600_000


def clock_words(skew: Skew) -> str:
    """ "This tag's clock is 60 to 70 min behind; its times cannot be trusted."."""
    side = "behind" if skew.most_ms > 0 else "ahead"
    least_ms, most_ms = sorted(abs(edge_ms) for edge_ms in skew)
    if most_ms < MANY_MINUTES_MS:
        least, most = (f"{round(edge_ms / 60_000)} min" for edge_ms in (least_ms, most_ms))
        least = least if least == most else least.removesuffix(" min")
    else:
        least, most = length(least_ms), length(most_ms)
    amount = most if least == most else f"{least} to {most}"
    return f"This tag's clock is {amount} {side}; its times cannot be trusted."


def length(duration_ms: int) -> str:
    """ "2 h 5 min", "4 min 10 s", "3 days 2 h"."""
    whole = timedelta(seconds=max(0, duration_ms) // 1000)
    hours, rest = divmod(whole.seconds, 3600)
    parts = [(whole.days, "day" if whole.days == 1 else "days"), (hours, "h"), (rest // 60, "min"), (rest % 60, "s")]
    first = next((index for index, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count) or "0 s"


def minutes(duration_ms: int) -> str:
    """ "+42 min 10 s", "−5 min", of a line of the ledger."""
    return f"{'−' if duration_ms < 0 else '+'}{length(abs(duration_ms))}"


def use_of(weighed: Weighed) -> str:
    """What became of a position: evidence, or why not."""
    if weighed.status is PositionStatus.EVIDENCE and weighed.overruled:
        return "recorded, not used: the home unit saw the tag"
    if weighed.is_repeat:
        return "the same cell circle again: it confirms nothing"
    if weighed.status is PositionStatus.EVIDENCE and weighed.verdict is Presence.UNKNOWN:
        return "not decisive: its circle meets the edge of the zone"
    return POSITION_STATUSES[weighed.status]


def margin_words(margin_m: float) -> str:
    """ "35 m inside", "1.2 km outside"."""
    side = "inside" if margin_m >= 0 else "outside"
    distance_m = abs(margin_m)
    return f"{distance_m:.0f} m {side}" if distance_m < 1000 else f"{distance_m / 1000:.1f} km {side}"


def timetable_words(requirement: Requirement) -> str:
    """ "always", or "Mon–Fri 19:00–07:00"."""
    return "always" if requirement.timetable is None else rows_words(requirement.timetable)


def rows_words(rows: Sequence[TimetableRow]) -> str:
    """ "Mon–Fri 19:00–07:00"."""
    by_time: dict[str, list[str]] = {}
    for row in rows:
        times = f"{wall_clock(row.start_min)}–{wall_clock(row.end_min)}"
        by_time.setdefault(times, []).append(DAYS[row.day])
    return "; ".join(f"{_days(days)} {times}" for times, days in by_time.items())


def _days(days: list[str]) -> str:
    return "daily" if len(days) == 7 else ", ".join(days)


NOUNS = {
    "note": "Note", "signal": "Signal", "finding": "Finding", "grade": "Grade", "proposal": "Proposal", "task": "Task",
    "contact": "Contact", "status": "Status", "transition": "Transition", "membership": "Membership", "nomination": "Nomination",
    "assessment": "Assessment", "plan": "Plan", "circumstance": "Circumstance", "offence": "Offence", "breach": "Breach",
    "share": "Disclosure", "person": "Personal details", "merge": "Records joined or parted", "meeting": "Meeting",
    "line": "On an agenda",
}  # fmt: skip
"""Nouns of the programme's record, and findings, as a chronology names them."""
IOM_WORDS = COHORTS | {
    "RED": "Red", "AMBER": "Amber", "GREEN": "Green", "COMMUNITY": "In the community", "REMAND": "On remand",
    "SENTENCED": "Serving a sentence", "RECALLED": "Recalled", "UNLAWFULLY_AT_LARGE": "Unlawfully at large", "WANTED": "Wanted",
    "HOSPITAL": "In hospital", "OUT_OF_AREA": "Out of the area", "DECEASED": "Died",
    "HUDDLE": "Huddle", "CASE_CONFERENCE": "Case conference", "SELECTION_PANEL": "Selection panel", "ACCEPTED": "Accepted",
    "DECLINED": "Declined", "DEFERRED": "Deferred", "RISK_REDUCED": "risk reduced", "SENTENCE_ENDED": "sentence ended",
    "CRITERIA_NOT_MET": "criteria not met", "MOVED": "moved", "MAPPA_2_3": "MAPPA level 2 or 3", "LONG_CUSTODY": "long custody",
    "DEPORTED": "deported", "DIED": "died", "IN_ERROR": "entered in error",
}  # fmt: skip
MANY = {
    "status": "statuses", "person": "changes of personal details", "merge": "records joined or parted", "breach": "breaches",
    "line": "times on an agenda",
}  # fmt: skip


def changed_words(noun: str, count: int) -> str:
    """ "3 signals", "1 grade"; of what was withdrawn "2 signals withdrawn"."""
    name, _, withdrawn = noun.partition(" ")
    one = NOUNS.get(name, name).lower()
    said = one if count == 1 else MANY.get(name, f"{one}s")
    return f"{count} {said}{' ' if withdrawn else ''}{withdrawn}"


MEETING_STATES = {
    "PLANNED": "Planned", "AGENDA_FROZEN": "The agenda is frozen", "HELD": "Held", "CANCELLED": "Cancelled",
}  # fmt: skip
DECISIONS = {
    "GRADE": "A grade is given", "TASK": "A task", "PLAN": "The plan is changed", "NOMINATION": "The nomination is answered",
    "REMOVAL": "Removed from the programme", "DISCLOSURE": "A disclosure", "NONE": "Nothing was decided",
}  # fmt: skip
END_REASONS = {
    "RISK_REDUCED": "The risk that you offend again has become lower.",
    "SENTENCE_ENDED": "Your sentence has ended.",
    "CRITERIA_NOT_MET": "You do not meet the conditions for being in the programme.",
    "MOVED": "You moved to another area.",
    "MAPPA_2_3": "You are now managed under the Multi-Agency Public Protection Arrangements (MAPPA).",
    "LONG_CUSTODY": "You will be in prison for a long time.",
    "DEPORTED": "You left the country.",
    "DIED": "The programme was told of a death.",
    "IN_ERROR": "You should not have been in the programme. This was a mistake.",
}
"""Of the letter, as the person reads it."""
BREACH_STATES = {
    "FINDING": "Finding", "TO_DECIDE": "To be decided", "NO_ACTION": "No action", "WARNED": "Warned",
    "PACK_IN_PREPARATION": "Pack begun", "PACK_SENT": "Pack sent", "HEARING": "Hearing", "CLOSED": "Closed",
    "RECALL_REQUESTED": "Recall requested", "RECALL_REFUSED": "Recall refused", "RECALLED": "Recalled", "ARRESTED": "Arrested",
}  # fmt: skip
STRANDS = {"CONTROL": "Control", "CHANGE": "Change", "DIVERT": "Divert"}
REGISTRATIONS = {
    "IIOM": "integrated offender management",
    "MAPP": "MAPPA",
    "ADVP": "perpetrator of domestic abuse",
    "RVHR": "very high risk of serious harm",
    "RHRH": "high risk of serious harm",
    "RMRH": "medium risk of serious harm",
    "RLRH": "low risk of serious harm",
}
STEP_STATES = {
    "NOT_STARTED": "not started", "IN_PROGRESS": "in progress", "COMPLETED": "completed",
    "CANNOT_BE_DONE_YET": "cannot be done yet", "NO_LONGER_NEEDED": "no longer needed",
}  # fmt: skip
TASK_STATES = {
    "NEW": "New", "ACCEPTED": "Accepted", "DONE": "Done", "REJECTED": "Rejected", "CANCELLED": "Cancelled",
}  # fmt: skip
ORIGINS = {
    "ALERT": "From an alert", "MEETING": "From a meeting", "PLAN": "From the plan", "SIGNAL": "From a signal",
    "TRANSITION": "From a release", "PROPOSAL": "A proposal that nobody answered", "BY_HAND": "Entered by hand",
}  # fmt: skip
CONTACT_OUTCOMES = {
    "KEPT": "kept", "ACCEPTABLE_ABSENCE": "missed, with a reason that was accepted", "UNACCEPTABLE_ABSENCE": "missed",
    "ATTENDED_DID_NOT_COMPLY": "came, and did not do what was asked", "NOT_RECORDED": "nothing recorded yet",
}  # fmt: skip
VISIBILITIES = {
    "ALL": "Everybody with whom the person is shared",
    "OWN": "My agency only",
    "NAMED": "Those named below",
    "POLICE_INTEL": "The police only",
}
WHYS = {"more facts came": "new data was received", "time passed": "no new data was received"}
"""Why a version of a finding was added, as people say it; what stands for itself is left as it is."""


def why_words(why: str) -> str:
    return WHYS.get(why, why)


_MOMENTS = {"from": "from", "to": "until", "due": "due", "end": "until"}
_FIRST_OF_LINE = ("because", "text", "title", "reason", "what", "status", "grade", "cohort", "kind", "outcome")


def told_line(line: Any, words: Words) -> str:
    """A line of a chronology in words: what says most comes first; numbers of items and what follows from them is left out."""
    content = {name: value for name, value in line.content.items() if isinstance(value, str) and value}
    moments = [
        f"{said} {words.moment(parse_instant(content.pop(name)))}"
        for name, said in _MOMENTS.items()
        if name in content
    ]
    why = [f"({why_words(content.pop('why'))})"] if "why" in content else []
    if line.what == "finding":
        first = [finding_words(content.pop("kind"), content.pop("reason", None))]
    else:
        first = [content.pop(name) for name in _FIRST_OF_LINE if name in content]
    rest = [f"{name.replace('_', ' ')}: {_said(value)}" for name, value in content.items() if name != "direction"]
    parts = [_said(part) for part in first]
    return " ".join(["; ".join(parts + rest + moments), *why])


_CODED = frozenset(map(str, (*SignalKind, *OffenceKind, *OffenceOutcome, *CircumstanceKind, *TransitionKind)))


def _said(value: str) -> str:
    """A value of the record in words; a text is left as it is."""
    if value in _CODED:
        return value.replace("_", " ").lower()
    return IOM_WORDS.get(value) or CONTACT_OUTCOMES.get(value, value)


def finding_words(kind: str, reason: str | None) -> str:
    name, title = KINDS[Kind(kind)], title_of(kind, reason)
    return title if name.lower() in title.lower() else f"{name}: {title[:1].lower()}{title[1:]}"


DRAFT_NUMBERS = {
    "max_gap_s": (
        "How long a position holds",
        "s",
        "Longest time without a position in which it is still known where somebody is (60 to 7,200)",
    ),
    "unknown_limit_s": ("Whereabouts not known after", "s", "60 to 86,400"),
    "silence_buffer_s": ("No communication: allowance", "s", "Added to the time between two uploads (0 to 86,400)"),
    "confirm_points": ("Positions that confirm", "", "1 to 20"),
    "confirm_seconds": ("Seconds that confirm", "s", "0 to 3,600"),
    "grace_s": ("Grace of curfews", "s", "0 to 7,200"),
    "seen_within_s": ("Seen out before the start within", "s", "0 to 3,600"),
    "widen_m": ("Zones taken wider by", "m", "0 to 500"),
    "buffer_m": ("Warning distance around exclusion zones", "m", "0 to 5,000"),
}
"""Settings that can be tried: what they are called, their unit, and what is allowed."""
DRAFT_KINDS = {
    ObligationKind.EXCLUSION: "Exclusion zone",
    ObligationKind.INCLUSION: "Inclusion zone",
    ObligationKind.CURFEW: "Curfew address",
}


def way_words(way: Way) -> str:
    """What the roads of the base map say of a way past a drafted zone."""
    if way.passes is Passes.UNKNOWN or way.shortest_m is None:
        return "not known: the map of this deployment has no roads there, or the two are too far apart"
    shortest = f"about {way.shortest_m / 1000:.1f} km"
    if way.passes is Passes.ONLY:
        return f"the zone lies on every way that is near ({shortest}): there is no other road"
    if way.passes is Passes.OTHER and way.around_m is not None:
        return f"the shortest way ({shortest}) leads through the zone; another has about {way.around_m / 1000:.1f} km"
    return f"the shortest way ({shortest}) does not lead through the zone"


def draft_words(draft: Draft) -> list[str]:
    """What is tried, a line for each change."""
    said: list[str] = []
    if draft.settings is not None:
        for name, (what, unit, _) in DRAFT_NUMBERS.items():
            value = getattr(draft.settings, name)
            said += [] if value is None else [f"{what}: {value:g} {unit}".strip()]
    if draft.zone is not None:
        shape = draft.zone.shape
        where = (
            f"circle of {shape.radius_m:g} m around {shape.centre[1]:.5f}, {shape.centre[0]:.5f}"
            if isinstance(shape, Disc)
            else f"{len(shape.polygons)} area(s)"
        )
        times = "always" if draft.zone.timetable is None else rows_words(draft.zone.timetable)
        said.append(f"{DRAFT_KINDS[draft.zone.kind]}, drafted: {where}; {times}")
    if draft.timetable is not None:
        whose = draft.timetable.requirement_id or "every curfew"
        said.append(f"Timetable of {whose}: {rows_words(draft.timetable.rows)}")
    return said
