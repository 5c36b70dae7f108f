"""A line of the queue in words: what happened, how near the person is now and how old that is, and what is due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from alerts import ATV, CLOCK, HOME_UNIT_SILENT, INCIDENT, Alert, AlertState, Deadline, EntryFate
from emtrack.web.guard import log_fault
from emtrack.web.wording import DEADLINES, REASONS, Words, length, title_of_alert
from geofence import CurfewReason, EventType, Kind

if TYPE_CHECKING:
    from emtrack.reading.last_seen import LastSeen

MINUTE_MS = 60_000
BURST = 4
"""So many alerts of one kind that began in the same second are one line that opens."""


BurstKey = tuple[str, str | None, int, int]


class QueueRow(NamedTuple):
    """`left`: of the next deadline, or by how much it was missed. `is_near`: more than half of its time is gone."""

    alert: Alert
    sentence: str
    position: str
    age: str
    left: str
    is_overdue: bool
    is_near: bool = False

    @property
    def severity_name(self) -> str:
        return self.alert.severity.name.lower()


class QueueLine(NamedTuple):
    """One row, or a burst of several. `title`: of a burst."""

    rows: list[QueueRow]
    title: str | None = None


def queue_lines(
    alerts: Sequence[Alert], seen: Sequence[LastSeen | None], words: Words, now_ms: int
) -> list[QueueLine]:
    """In the order of the queue. Bursts are of alerts that nobody has acknowledged, of one severity; one stands where the first of
    its alerts would."""
    rows = [_row_at_all(alert, last, words, now_ms) for alert, last in zip(alerts, seen, strict=True)]
    members: dict[BurstKey | int, list[QueueRow]] = {}
    for number, row in enumerate(rows):
        members.setdefault(_burst_key(row) or number, []).append(row)
    lines = []
    for number, row in enumerate(rows):
        burst = members.get(_burst_key(row) or number, [])
        if len(burst) >= BURST:
            lines += [QueueLine(burst, _burst_title(burst, words))] if burst[0] is row else []
        else:
            lines.append(QueueLine([row]))
    return lines


def handover_rows(alerts: Sequence[Alert], words: Words, now_ms: int) -> list[QueueRow]:
    return [_row_at_all(alert, None, words, now_ms) for alert in alerts]


def _burst_key(row: QueueRow) -> BurstKey | None:
    alert = row.alert
    if alert.state is not AlertState.NEW or alert.wearer_no is None or alert.possible is not None:
        return None
    return (alert.kind, alert.reason, int(alert.severity), alert.known_ms // 1000)


def _burst_title(rows: Sequence[QueueRow], words: Words) -> str:
    first = rows[0].alert
    return f"{len(rows)} people: {title_of_alert(first)}, {words.clock(first.known_ms, first.raised_ms)}"


def _row_at_all(alert: Alert, last: LastSeen | None, words: Words, now_ms: int) -> QueueRow:
    """An alert that cannot be told in words stands in the queue all the same: nobody may miss it, or the others."""
    try:
        return _row(alert, last, words, now_ms)
    except Exception as error:
        log_fault(error, "a row of the queue")
        return QueueRow(alert, f"Alert {alert.alert_no}, which cannot be told in words", "", "", "", is_overdue=False)


def _row(alert: Alert, last: LastSeen | None, words: Words, now_ms: int) -> QueueRow:
    deadline = None if alert.state is AlertState.CLOSED else alert.next_deadline
    return QueueRow(
        alert, sentence_of(alert, words, now_ms), position_words(last, alert.kind, words, now_ms), _brief(now_ms - alert.raised_ms),
        "" if deadline is None else deadline_words(deadline, now_ms),
        is_overdue=deadline is not None and deadline.is_missed(now_ms), is_near=deadline is not None and deadline.is_near(now_ms),
    )  # fmt: skip


def _brief(length_ms: int) -> str:
    """In whole minutes from two minutes on, so that a row keeps to two lines."""
    return length(length_ms if length_ms < 2 * MINUTE_MS else length_ms // MINUTE_MS * MINUTE_MS)


def deadline_words(deadline: Deadline, now_ms: int) -> str:
    """ "acknowledge within 1 min", "call: 4 min late"."""
    left_ms = deadline.due_ms - now_ms
    what = DEADLINES[deadline.target]
    return f"{what}: {_brief(left_ms)} left" if left_ms > 0 else f"{what}: {_brief(-left_ms)} late"


def position_words(last: LastSeen | None, kind: str, words: Words, now_ms: int) -> str:
    """ "Last position 18:55, 2.7 km from home, ±6 m, 3 min old". Never where."""
    if last is None:
        return "No position in the last 3 days"
    parts = [f"Last position {words.clock(last.fix_ms, now_ms)}"]
    if last.margin_m is not None:
        parts.append(_distance(last.margin_m, kind))
    parts.append("radius not known" if last.radius_m is None else f"±{last.radius_m:.0f} m")
    parts.append(f"{_brief(now_ms - last.fix_ms)} old")
    return ", ".join(parts)


def _distance(margin_m: float, kind: str) -> str:
    """To the edge of the zone."""
    far = f"{abs(margin_m):.0f} m" if abs(margin_m) < 1000 else f"{abs(margin_m) / 1000:.1f} km"
    if kind == Kind.CURFEW:
        return "at home" if margin_m >= 0 else f"{far} from home"
    return f"{far} {'inside' if margin_m >= 0 else 'outside'} the zone"


def sentence_of(alert: Alert, words: Words, now_ms: int) -> str:
    """What happened, in the words of somebody who tells a colleague."""
    who = alert.name or alert.wearer_id or ""
    at = words.clock(alert.latest_ms, now_ms)
    if alert.kind == INCIDENT:
        return f"{alert.people} tags of {alert.network} fell silent together at {at}"
    if alert.kind == HOME_UNIT_SILENT:
        return f"Home unit {alert.home_unit} has not called in since {at}; {alert.people} depend on it"
    if alert.kind == CLOCK:
        return f"The clock of {who}'s tag is wrong"
    if alert.kind == ATV:
        return f"{who} is over the limit of accumulated time violations ({alert.requirement_id})"
    if alert.possible is not None:
        fate = "not confirmed yet" if alert.possible.fate is EntryFate.POSSIBLE else "not confirmed"
        zone = alert.zone_name or f"exclusion zone {alert.requirement_id}"
        return f"{who} may be in {zone}: one position at {at}, {fate}"
    return _of_finding(alert, who, at)


def _of_finding(alert: Alert, who: str, at: str) -> str:
    kind = Kind(alert.kind)
    if kind is Kind.CURFEW:
        return _CURFEW[CurfewReason(alert.reason or "")].format(who=who, at=at)
    if alert.reason is not None:
        return _EVENTS[EventType(alert.reason)].format(who=who, at=at)
    zone = alert.zone_name or f"{_ZONES.get(kind, '')}{alert.requirement_id or ''}"
    text = _PLACES[kind].format(who=who, at=at, zone=zone)
    return text if alert.lasts else text.replace(" is ", " was ").replace(" since ", " from ")


_CURFEW = {
    CurfewReason.OUT_AT_START: "{who} was not at home when the curfew began at {at}",
    CurfewReason.RETURNED_LATE: "{who} came home late: the curfew began at {at}",
    CurfewReason.LEFT_DURING: "{who} left home during curfew at {at}",
    CurfewReason.OUT_AT_END: "{who} was out from {at} until the curfew ended",
    CurfewReason.OUT_ENTIRE_PERIOD: "{who} was out for the whole curfew from {at}",
    CurfewReason.SEEN_OUT: "{who} was seen away from home during curfew at {at}",
}
_EVENTS = {
    EventType.STRAP_TAMPER: "The strap of {who}'s tag was opened or cut at {at}",
    EventType.CASE_TAMPER: "The case of {who}'s tag was opened at {at}",
    EventType.BATTERY_LOW: "The battery of {who}'s tag is low since {at}",
    EventType.BATTERY_CRITICAL: "The battery of {who}'s tag is nearly empty since {at}",
    EventType.HMU_MOVED: "The home unit of {who} was moved at {at}",
    EventType.HMU_POWER_LOST: "The home unit of {who} lost its power at {at}",
    EventType.JAMMING: "The signals of {who}'s tag are jammed since {at}",
    EventType.ALCOHOL_DETECTED: "{who}'s tag detected alcohol at {at}",
}
_ZONES = {Kind.EXCLUSION: "exclusion zone ", Kind.APPROACH: "exclusion zone ", Kind.INCLUSION: "inclusion zone "}
"""Before the id of one that has no name."""
_PLACES = {
    Kind.EXCLUSION: "{who} is in {zone} since {at}",
    Kind.APPROACH: "{who} is near {zone} since {at}",
    Kind.INCLUSION: "{who} is outside {zone} since {at}",
    Kind.ATTENDANCE: "{who} missed the appointment {zone}, known at {at}",
    Kind.UNVERIFIED: "Where {who} is has not been known since {at}",
    Kind.NO_COMMUNICATION: "Nothing has come from {who}'s tag since {at}",
    Kind.JAMMING: "The signals of {who}'s tag are jammed since {at}",
    Kind.ALCOHOL: "{who}'s tag detected alcohol at {at}",
}
assert set(REASONS) == set(_CURFEW) | set(_EVENTS), "every reason has a sentence"
