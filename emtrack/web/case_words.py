"""What stands beside a decision, in words: whether the person is there, which steps apply, how the tag is, how long an order runs."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from alerts import POSSIBLE_ENTRY, Alert, AlertAction, Protocol, StepAction, Tick
from emtrack.web.queue_rows import position_words
from emtrack.web.wording import clock_words, kind_name, length
from geofence import EventType, ObligationKind, Presence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emtrack.forms.person import CourtOrderForm
    from emtrack.reading.casefile import Occurrence
    from emtrack.reading.last_seen import LastSeen
    from emtrack.reading.person_card import TagHealth
    from emtrack.reading.there_now import There
    from emtrack.record.findings import FindingVersion
    from emtrack.web.wording import Words

STEP_ACTIONS = {
    StepAction.CHECK: "Check", StepAction.CALL: "Call", StepAction.NOTIFY: "Tell", StepAction.WAIT: "Wait", StepAction.VISIT: "Visit",
    StepAction.RECORD: "Write down",
}  # fmt: skip
BATTERIES = {
    EventType.BATTERY_LOW: "low", EventType.BATTERY_CRITICAL: "nearly empty", EventType.BATTERY_OK: "charged",
}  # fmt: skip
BASES = {"rules": "Rules", "settings": "Settings", "requirement": "Order", "geometry": "Zone"}
"""What a finding was decided under, as people call it."""


class ThereLine(NamedTuple):
    """`lead` answers; `rest` says since when, and how old the last position is."""

    lead: str
    rest: str
    at: str


def there_line(there: There, last: LastSeen | None, name: str | None, words: Words, now_ms: int) -> ThereLine:
    kind = "" if there.requirement is None else str(there.requirement.kind)
    seen = position_words(last, kind, words, now_ms)
    at = f"{words.local(now_ms):%H:%M:%S}"
    if not there.has_tag:
        return ThereLine("Not known", f"no tag is fitted. {seen}", at)
    if there.requirement is None:
        return ThereLine("Not known", f"no order in force says where the person has to be. {seen}", at)
    lead = _lead(there.requirement.kind, there.presence, name or there.requirement.requirement_id)
    since = "" if there.since_ms is None else f" since {words.clock(there.since_ms, now_ms)}"
    if there.presence is Presence.UNKNOWN:
        where = _lead(there.requirement.kind, Presence.INSIDE, name or there.requirement.requirement_id)
        return ThereLine("Not known", f"whether the person is {where[:1].lower()}{where[1:]}{since}. {seen}", at)
    return ThereLine(lead, f"{since.strip()}. {seen}" if since else seen, at)


def _lead(kind: ObligationKind, presence: Presence, name: str) -> str:
    if kind is ObligationKind.CURFEW:
        return "At home" if presence is Presence.INSIDE else "Not at home"
    return f"{'In' if presence is Presence.INSIDE else 'Not in'} {name}"


def protocol_words(protocol: Protocol) -> str:
    """ "steps for curfew, version 2"; which one applies, and why."""
    of = []
    if protocol.wearer_no is not None:
        of.append("this person")
    if protocol.order is not None:
        of.append(f"the order “{protocol.order}”")
    if protocol.zone is not None:
        of.append(f"the zone {protocol.zone}")
    if protocol.kind is not None:
        of.append(kind_words(protocol.kind))
    origin = "as shipped, " if protocol.protocol_no is None else ""
    return f"Steps for {' and '.join(of)}, {origin}version {protocol.version}"


def kind_words(kind: str) -> str:
    """ "possible entry", "tag silent"."""
    name = "Possible entry" if kind == POSSIBLE_ENTRY else kind_name(kind)
    return f"{name[:1].lower()}{name[1:]}"


def battery_words(tag: TagHealth, words: Words, now_ms: int) -> str:
    if tag.battery is None or tag.battery_ms is None:
        return "not known"
    return f"{BATTERIES[EventType(tag.battery)]} since {words.clock(tag.battery_ms, now_ms)}"


def tag_clock_words(tag: TagHealth) -> str:
    return "no fault known" if tag.skew is None else clock_words(tag.skew)


def contact_words(tag: TagHealth, words: Words, now_ms: int) -> str:
    if tag.heard_ms is None:
        return "none in 14 days"
    return f"{words.clock(tag.heard_ms, now_ms)}, {length(now_ms - tag.heard_ms)} ago"


def order_words(order: CourtOrderForm | None, ends_ms: int | None, words: Words, now_ms: int) -> str:
    """ "Suspended sentence order, North Staffordshire, ends 31 March 2026: 29 days left"."""
    today = words.local(now_ms).date()
    if order is None:
        if ends_ms is None:
            return "no end is entered"
        return f"requirements end {words.day(ends_ms)}: {_left(words.local(ends_ms).date(), today)}"
    parts = [order.kind, *([order.court] if order.court else [])]
    if order.begins is not None and order.begins > today:
        parts.append(f"begins {_day(order.begins)}")
    if order.ends is None:
        return ", ".join([*parts, "no end is entered"])
    return f"{', '.join(parts)}, ends {_day(order.ends)}: {_left(order.ends, today)}"


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _left(last: date, today: date) -> str:
    days = (last - today).days
    if days < 0:
        return "it has ended"
    return "the last day" if days == 0 else "1 day left" if days == 1 else f"{days} days left"


class Happening(NamedTuple):
    """A line of the timeline: one of `action`, `tick` and `version` is there; of none, the alert was raised."""

    at_ms: int
    action: AlertAction | None = None
    tick: Tick | None = None
    version: FindingVersion | None = None


def timeline_of(alert: Alert, ticks: Sequence[Tick], occurrences: Sequence[Occurrence]) -> list[Happening]:
    """What was found, what people did and which steps they ticked; the newest first."""
    found = [Happening(alert.raised_ms)]
    found += [Happening(v.recorded_ms, version=v) for o in occurrences for v in o.versions]
    found += [Happening(t.ticked_ms, tick=t) for t in ticks]
    found += [Happening(a.done_ms, action=a) for a in alert.actions]
    return sorted(found, key=lambda one: one.at_ms)[::-1]


def zone_name(names: Mapping[str, str], requirement_id: str | None) -> str:
    """What people call it, with its id; the id alone where it has no name."""
    if requirement_id is None:
        return ""
    name = names.get(requirement_id)
    return requirement_id if name is None else f"{name} ({requirement_id})"
