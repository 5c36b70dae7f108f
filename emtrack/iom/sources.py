"""What becomes a signal: findings, and entries of the record. Pure.

Each source says which signals there are to be because of it, by name; what it no longer says is withdrawn. Findings that could not
tell (UNVERIFIED) and equipment that is at fault (BATTERY) are no signals; an ATTENDANCE is a contact for an officer to decide; a
possible entry is no finding and never comes here (RULES.md section 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from emtrack.iom.breaches import Breach
from emtrack.iom.circumstances import Circumstance, CircumstanceKind
from emtrack.iom.contacts import Contact, Outcome
from emtrack.iom.entries import Entry
from emtrack.iom.grades import DAY_MS
from emtrack.iom.offences import PROVEN, Offence, OffenceKind, OffenceOutcome
from emtrack.iom.rules import EXPIRES_DAYS
from emtrack.iom.signals import SignalKind
from emtrack.iom.standing import status_at
from emtrack.iom.statuses import AT_LARGE, CUSTODY, STATUS, Status, StatusKind
from emtrack.iom.transitions import TRANSITION, Transition, TransitionKind
from geofence import Kind

K = SignalKind
NOT_MONITORED_AFTER_MS: Final = DAY_MS
SAME_MOVE_MS: Final = DAY_MS
"""A release or a way into custody so near another is the same one, told by a status and by a transition."""
TOLD_TOGETHER: Final = (STATUS, TRANSITION)
"""Nouns that tell the same events."""
SAME_RECALL_MS: Final = 7 * DAY_MS
"""A recall that a contact tells of is that of a breach so near in time: a pack and its request are entered on different days."""
RECALL_CODE: Final = "C041"


class Wish(NamedTuple):
    """A signal that there is to be. `record`: its name, of all signals from emtrack. `expires_ms` None: what it tells of lasts.
    `excused_why`: it does not count, and why."""

    record: str
    kind: SignalKind
    occurred_ms: int
    expires_ms: int | None
    known_ms: int
    because: str
    excused_why: str | None = None
    finding_no: int | None = None
    alert_no: int | None = None
    entry_no: int | None = None


class FoundOf(NamedTuple):
    """A finding of a member of the programme as it stands; times in milliseconds. `excused_why`: of its alert or in the ledger."""

    finding_no: int
    wearer_no: int
    kind: str
    device_reason: str | None
    is_withdrawn: bool
    why: str
    begin_ms: int
    end_ms: int | None
    known_ms: int
    within_grace: bool
    excused_why: str | None


WORDS: Final = {
    Kind.EXCLUSION: (K.EXCLUSION, "entered an exclusion zone"),
    Kind.CURFEW: (K.CURFEW_VIOLATION, "violated the curfew"),
    Kind.ALCOHOL: (K.POSITIVE_TEST, "the tag found alcohol"),
    Kind.INCLUSION: (K.OTHER_FINDING, "left an inclusion zone"),
    Kind.APPROACH: (K.OTHER_FINDING, "came near an exclusion zone"),
    Kind.JAMMING: (K.OTHER_FINDING, "the tag was jammed"),
    Kind.HMU: (K.OTHER_FINDING, "the home unit was moved or lost its power"),
}
"""Of findings that are signals from their beginning."""


def name_of_finding(finding_no: int) -> str:
    return f"finding {finding_no}"


def from_finding(found: FoundOf, now_ms: int) -> list[Wish]:
    """The signal of a finding, if there is to be one."""
    if found.is_withdrawn or (found.kind == Kind.CURFEW and found.within_grace):
        return []
    if found.kind == Kind.NO_COMMUNICATION:
        return _from_silence(found, now_ms)
    if found.kind == Kind.TAMPER:
        is_strap = found.device_reason == "STRAP_TAMPER"
        kind, words = (
            (K.STRAP_TAMPER, "tampered with the strap") if is_strap else (K.OTHER_FINDING, "tampered with the case")
        )
    elif found.kind in WORDS:
        kind, words = WORDS[Kind(found.kind)]
    else:
        return []
    return [_of_finding(found, kind, found.begin_ms, expires(kind, found.begin_ms), words)]


def _from_silence(found: FoundOf, now_ms: int) -> list[Wish]:
    since_ms = found.begin_ms + NOT_MONITORED_AFTER_MS
    if since_ms > (now_ms if found.end_ms is None else found.end_ms):
        return []
    return [_of_finding(found, K.NOT_MONITORED, since_ms, found.end_ms, "not monitored for more than 24 hours")]


def _of_finding(found: FoundOf, kind: SignalKind, occurred_ms: int, expires_ms: int | None, because: str) -> Wish:
    return Wish(
        name_of_finding(found.finding_no), kind, occurred_ms, expires_ms, found.known_ms, because, found.excused_why,
        finding_no=found.finding_no,
    )  # fmt: skip


def look_again_ms(found: FoundOf) -> int | None:
    """When a silence that lasts has lasted for so long that it is a signal; None: never, as it stands."""
    if found.kind != Kind.NO_COMMUNICATION or found.is_withdrawn or found.end_ms is not None:
        return None
    return found.begin_ms + NOT_MONITORED_AFTER_MS


def expires(kind: SignalKind, occurred_ms: int) -> int:
    return occurred_ms + round(EXPIRES_DAYS[kind] * DAY_MS)


# ------------------------------------------------------------------ entries

NAMES: Final = {
    "status": ("status {}", "release by status {}"),
    "contact": ("contact {}", "test of contact {}"),
    "offence": ("arrest of offence {}", "charge of offence {}", "offence {}"),
    "circumstance": ("circumstance {}", "end of circumstance {}"),
    "transition": ("transition {}",),
    "breach": ("breach {}",),
}
"""Names of all signals that an item of a noun may give, whatever it says."""


def names_of_item(entry: Entry) -> list[str]:
    return [name.format(entry.item_no) for name in NAMES.get(entry.noun.name, ())]


def from_entry(entry: Entry, others: Sequence[Entry], cohort_offences: Sequence[OffenceKind]) -> list[Wish]:
    """The signals of an item as it stands. `others`: what holds now of the same person, of the same noun, or of those that tell the
    same events."""
    if entry.state == "WITHDRAWN" or entry.wearer_no is None:
        return []
    match entry.content:
        case Status():
            return _from_status(entry, entry.content, others)
        case Contact():
            return _unless_told(_from_contact(entry, entry.content), others, Breach, SAME_RECALL_MS)
        case Offence():
            return _from_offence(entry, entry.content, cohort_offences)
        case Circumstance():
            return _from_circumstance(entry, entry.content, others)
        case Transition():
            return _unless_told(_from_transition(entry, entry.content), others, Status, SAME_MOVE_MS)
        case Breach():
            return _from_breach(entry)
        case _:
            return []


def _wish(entry: Entry, name: str, kind: SignalKind, occurred_ms: int, because: str) -> Wish:
    record = name.format(entry.item_no)
    return Wish(
        record, kind, occurred_ms, expires(kind, occurred_ms), entry.recorded_ms, because, entry_no=entry.entry_no
    )


def _from_status(entry: Entry, content: Status, others: Sequence[Entry]) -> list[Wish]:
    assert entry.valid is not None, "a status holds from an instant on"
    begin_ms, end_ms = entry.valid
    words = str(content.status).lower().replace("_", " ")
    if content.status in AT_LARGE:
        return [_wish(entry, "status {}", K.AT_LARGE, begin_ms, words)._replace(expires_ms=end_ms)]
    if content.status not in CUSTODY:
        return []
    wishes = [_wish(entry, "status {}", K.INTO_CUSTODY, begin_ms, f"in custody ({words})")]
    then = None if end_ms is None else status_at(others, end_ms)
    if (
        then is not None
        and end_ms is not None
        and isinstance(then.content, Status)
        and then.content.status == StatusKind.COMMUNITY
    ):
        wishes.append(_wish(entry, "release by status {}", K.RELEASED, end_ms, "released"))
    return wishes


KIND_OF_CODE: Final = {
    "C145": (K.CURFEW_VIOLATION, "curfew violation, told by probation"),
    "EM01": (K.EXCLUSION, "exclusion zone, told by probation"),
    "EM02": (K.STRAP_TAMPER, "strap tamper, told by probation"),
    RECALL_CODE: (K.RECALL_REQUESTED, "recall requested, told by probation"),
}


def _from_contact(entry: Entry, content: Contact) -> list[Wish]:
    at_ms = entry.recorded_ms if entry.occurred_ms is None else entry.occurred_ms
    wishes = []
    if content.test_positive:
        wishes.append(_wish(entry, "test of contact {}", K.POSITIVE_TEST, at_ms, "positive test"))
    if content.code in KIND_OF_CODE:
        kind, words = KIND_OF_CODE[content.code]
        wishes.append(_wish(entry, "contact {}", kind, at_ms, words))
    elif content.outcome is Outcome.UNACCEPTABLE_ABSENCE:
        wishes.append(
            _wish(entry, "contact {}", K.UNACCEPTABLE_ABSENCE, at_ms, f"unacceptable absence: {content.kind}")
        )
    elif content.outcome is Outcome.ATTENDED_DID_NOT_COMPLY:
        wishes.append(
            _wish(entry, "contact {}", K.OTHER_FINDING, at_ms, f"attended and did not comply: {content.kind}")
        )
    elif content.outcome is Outcome.KEPT:
        wishes.append(_wish(entry, "contact {}", K.APPOINTMENT_KEPT, at_ms, f"kept: {content.kind}"))
    return wishes


def _from_offence(entry: Entry, content: Offence, cohort_offences: Sequence[OffenceKind]) -> list[Wish]:
    if content.outcome is OffenceOutcome.DROPPED or entry.occurred_ms is None:
        return []
    words = str(content.kind).lower().replace("_", " ")
    is_charged = content.outcome in PROVEN or content.outcome is OffenceOutcome.CHARGED
    wishes = []
    if content.kind in cohort_offences:
        arrested_ms = content.arrested_ms
        if arrested_ms is None and content.outcome is OffenceOutcome.ARRESTED:
            arrested_ms = entry.occurred_ms
        charged_ms = content.charged_ms
        if charged_ms is None and content.outcome is OffenceOutcome.CHARGED:
            charged_ms = entry.occurred_ms
        if arrested_ms is not None:
            wishes.append(_wish(entry, "arrest of offence {}", K.ARREST, arrested_ms, f"arrested: {words}"))
        if charged_ms is not None:
            wishes.append(_wish(entry, "charge of offence {}", K.CHARGE, charged_ms, f"charged: {words}"))
    if is_charged:
        wishes.append(_wish(entry, "offence {}", K.OFFENCE, entry.occurred_ms, f"offence: {words}"))
    return wishes


OF_CIRCUMSTANCE: Final = {
    CircumstanceKind.HOUSING: (K.HOUSED, K.HOUSING_LOST, "housing"),
    CircumstanceKind.WORK: (K.IN_WORK, K.JOB_LOST, "work"),
    CircumstanceKind.TREATMENT: (K.IN_TREATMENT, K.TREATMENT_LOST, "treatment"),
}


def _from_circumstance(entry: Entry, content: Circumstance, others: Sequence[Entry]) -> list[Wish]:
    assert entry.valid is not None, "a circumstance holds from an instant on"
    begin_ms, end_ms = entry.valid
    is_lost = end_ms is not None and not content.ended_well and not _goes_on(content.kind, end_ms, others)
    if content.kind is CircumstanceKind.RELATIONSHIP and is_lost and end_ms is not None:
        return [_wish(entry, "end of circumstance {}", K.RELATIONSHIP_BREAKDOWN, end_ms, "a relationship broke down")]
    if content.kind not in OF_CIRCUMSTANCE:
        return []
    good, bad, words = OF_CIRCUMSTANCE[content.kind]
    wishes = [_wish(entry, "circumstance {}", good, begin_ms, f"{words}: {content.what}")]
    if is_lost and end_ms is not None:
        wishes.append(_wish(entry, "end of circumstance {}", bad, end_ms, f"lost {words}: {content.what}"))
    return wishes


def _goes_on(kind: CircumstanceKind, at_ms: int, others: Sequence[Entry]) -> bool:
    """Whether there is another of the kind by then: who moves house has lost none."""
    return any(
        isinstance(other.content, Circumstance)
        and other.content.kind is kind
        and other.state != "WITHDRAWN"
        and other.valid is not None
        and other.valid.begin_ms <= at_ms
        and (other.valid.end_ms is None or other.valid.end_ms > at_ms)
        for other in others
    )


def _from_transition(entry: Entry, content: Transition) -> list[Wish]:
    if entry.state != "DONE" or entry.occurred_ms is None:
        return []
    if content.kind is TransitionKind.RELEASE:
        return [_wish(entry, "transition {}", K.RELEASED, entry.occurred_ms, "released")]
    if content.kind is TransitionKind.INTO_CUSTODY:
        return [_wish(entry, "transition {}", K.INTO_CUSTODY, entry.occurred_ms, "into custody")]
    return []


def _unless_told(wishes: Sequence[Wish], others: Sequence[Entry], by: type, within_ms: int) -> list[Wish]:
    """One event is one signal: where others of a form tell the same at about that time, it is theirs. What had ended by then is
    another."""
    told = [
        wish
        for other in others
        if isinstance(other.content, by) and other.state != "WITHDRAWN"
        for wish in from_entry(other, others, ())
    ]
    return [
        wish
        for wish in wishes
        if not any(
            one.kind is wish.kind and abs(one.occurred_ms - wish.occurred_ms) <= within_ms
            for one in told
            if one.expires_ms is None or one.expires_ms >= wish.occurred_ms
        )
    ]


def _from_breach(entry: Entry) -> list[Wish]:
    content = entry.content
    assert isinstance(content, Breach), "the caller looked"
    at_ms = content.steps.get("RECALL_REQUESTED")
    if entry.state == "RECALL_REQUESTED":
        begin_ms = entry.recorded_ms if at_ms is None else at_ms
        return [_wish(entry, "breach {}", K.RECALL_REQUESTED, begin_ms, "recall requested")._replace(expires_ms=None)]
    if at_ms is None:
        return []
    ended = min((ms for state, ms in content.steps.items() if ms > at_ms), default=entry.recorded_ms)
    return [_wish(entry, "breach {}", K.RECALL_REQUESTED, at_ms, "recall requested")._replace(expires_ms=ended)]
