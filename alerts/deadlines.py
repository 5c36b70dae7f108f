"""By when an alert must be acknowledged, somebody called and an authority told, and what happens when that is missed. Pure.

    raised            who asked for it is told of each new alert that is grave enough
    possible entry    the same, of one position that nothing has confirmed: people of the centre only (RULES.md section 8)
    not acknowledged  the first on call is told
    still not ...     the second on call is told, after as long again
    no contact        the first on call is told
    authority not told  the second on call is told

Each happens once for each time from which the deadlines count: when the alert was raised, grew graver, or became new again. A
suspension mutes all of them, and none is lost by it: they are looked at when it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

from alerts.grading import Severity
from alerts.life import AlertState

MINUTE_MS = 60_000
LONGEST_MIN = 7 * 24 * 60


class Target(StrEnum):
    """What must have been done by a deadline."""

    ACKNOWLEDGE = "acknowledge"
    CONTACT = "contact"
    AUTHORITY = "authority"


class Within(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Minutes from when the deadlines count; None: there is no such target. `escalates`: people on call are told of a miss."""

    acknowledge: int | None = None
    contact: int | None = None
    authority: int | None = None
    escalates: bool = False


class DeadlineRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Targets by severity. Defaults of this project; contracts ask for notification of an authority within 15 minutes."""

    critical: Within = Within(2, 5, 15, escalates=True)
    serious: Within = Within(10, 30, 120, escalates=True)
    warning: Within = Within(30)
    message: Within = Within(240)

    def of(self, severity: Severity) -> Within:
        return (self.critical, self.serious, self.warning, self.message)[severity - 1]


class UnfitRules(ValueError):
    """Rules that cannot be used. The message says which field, and what was expected."""


def read_rules(text: bytes) -> DeadlineRules:
    """From JSON. Raises UnfitRules."""
    try:
        rules = msgspec.json.decode(text, type=DeadlineRules)
    except msgspec.DecodeError as error:
        raise UnfitRules(f"the rules of deadlines do not fit: {error}") from error
    for severity in Severity:
        for target in Target:
            minutes = getattr(rules.of(severity), target)
            if minutes is not None and not 1 <= minutes <= LONGEST_MIN:
                raise UnfitRules(
                    f"{severity.name.lower()}: {target} is {minutes}; expected minutes from 1 to {LONGEST_MIN:,}, or null"
                )
    return rules


class Occasion(StrEnum):
    """What happened to an alert by the clock."""

    POSSIBLE_ENTRY = "possible entry"
    RAISED = "raised"
    NOT_ACKNOWLEDGED = "not acknowledged"
    STILL_NOT_ACKNOWLEDGED = "still not acknowledged"
    NO_CONTACT = "no contact"
    AUTHORITY_NOT_TOLD = "authority not told"


ON_CALL = {
    Occasion.NOT_ACKNOWLEDGED: 1,
    Occasion.STILL_NOT_ACKNOWLEDGED: 2,
    Occasion.NO_CONTACT: 1,
    Occasion.AUTHORITY_NOT_TOLD: 2,
}
"""Whom an escalation goes to: the first or the second on call."""
REASONS = {
    Occasion.POSSIBLE_ENTRY: "One position inside an exclusion zone, not confirmed.",
    Occasion.RAISED: "A new alert.",
    Occasion.NOT_ACKNOWLEDGED: "Nobody acknowledged it in time.",
    Occasion.STILL_NOT_ACKNOWLEDGED: "Nobody acknowledged it after the first person on call was told.",
    Occasion.NO_CONTACT: "Nobody was called in time.",
    Occasion.AUTHORITY_NOT_TOLD: "No authority was told in time.",
}


class Deadlines(NamedTuple):
    """Instants by which something must have been done; None: there is no such target."""

    acknowledge_ms: int | None
    contact_ms: int | None
    authority_ms: int | None


def deadlines_of(rules: DeadlineRules, severity: Severity, counts_from_ms: int) -> Deadlines:
    within = rules.of(severity)
    minutes = (within.acknowledge, within.contact, within.authority)
    return Deadlines(*(None if one is None else counts_from_ms + one * MINUTE_MS for one in minutes))


class Watched(NamedTuple):
    """What the clock goes by. `is_possible`: nothing but a position that is not confirmed stands behind the alert. `is_grouped`:
    under an incident that is open, which is what people are told of. `escalates`: by the rules, for its severity."""

    state: AlertState
    counts_from_ms: int
    deadlines: Deadlines
    contacted_ms: int | None
    told_ms: int | None
    suspended_until_ms: int | None
    is_possible: bool
    is_grouped: bool
    escalates: bool


class Due(NamedTuple):
    """What has happened by now and was not noted before, and when to look again; None: when something changes."""

    occasions: list[Occasion]
    next_ms: int | None


def due(alert: Watched, noted: Mapping[Occasion, int], now_ms: int) -> Due:
    """Of an alert that is looked at. `noted`: what was, and when."""
    if alert.state is AlertState.CLOSED or alert.is_grouped:
        return Due([], None)
    if alert.suspended_until_ms is not None and alert.suspended_until_ms > now_ms:
        return Due([], alert.suspended_until_ms)
    found = [occasion for occasion, at_ms in _plan(alert, noted).items() if occasion not in noted and at_ms <= now_ms]
    after = _plan(alert, {**noted, **dict.fromkeys(found, now_ms)})
    later = [at_ms for occasion, at_ms in after.items() if occasion not in noted and at_ms > now_ms]
    return Due(found, min(later, default=None))


def _plan(alert: Watched, noted: Mapping[Occasion, int]) -> Mapping[Occasion, int]:
    """When each happens if nobody does anything more."""
    first = Occasion.POSSIBLE_ENTRY if alert.is_possible else Occasion.RAISED
    plan = {first: alert.counts_from_ms}
    if alert.escalates:
        plan |= dict(_missed(alert, noted))
    return plan


def _missed(alert: Watched, noted: Mapping[Occasion, int]) -> Iterable[tuple[Occasion, int]]:
    acknowledge_ms, contact_ms, authority_ms = alert.deadlines
    if acknowledge_ms is not None and alert.state is AlertState.NEW:
        yield Occasion.NOT_ACKNOWLEDGED, acknowledge_ms
        if Occasion.NOT_ACKNOWLEDGED in noted:  # the second is told after the first had as long
            told_ms = noted[Occasion.NOT_ACKNOWLEDGED]
            yield Occasion.STILL_NOT_ACKNOWLEDGED, told_ms + acknowledge_ms - alert.counts_from_ms
    if contact_ms is not None and alert.contacted_ms is None and not alert.is_possible:
        yield Occasion.NO_CONTACT, contact_ms
    if authority_ms is not None and alert.told_ms is None and not alert.is_possible:
        yield Occasion.AUTHORITY_NOT_TOLD, authority_ms
