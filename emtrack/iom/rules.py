"""The rules of the proposal: which live signals say RED, which AMBER. The first list with a live rule wins; without one it is GREEN.

Pure: signals and an instant in, a proposal with its reasons out. A day is 24 hours. A signal counts while it is LIVE and has not
expired; a rule may count only those that occurred lately, several of a kind, or several without another in between. Severity of
alerts, grades and scores of people are asked by no rule; ethnicity, address and places are no signals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from emtrack.forms.iom import RagGrade
from emtrack.iom.grades import DAY_MS, Held, is_down, may_go_down
from emtrack.iom.signals import SignalKind


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`count` signals of any of `kinds` that occurred in the last `days` (None: that have not expired). `broken_by`: kinds that
    end a row of them; without any, they need not follow one another."""

    code: str
    grade: RagGrade
    words: str
    kinds: list[SignalKind]
    days: float | None = None
    count: int = 1
    broken_by: list[SignalKind] = []


K = SignalKind
RED, AMBER = RagGrade.RED, RagGrade.AMBER
DEFAULT_RULES: Final = (
    Rule("R1", RED, "Arrest or charge for an offence of the cohort in the last 14 days", [K.ARREST, K.CHARGE], 14),
    Rule("R2", RED, "Wanted, unlawfully at large, or recall requested", [K.AT_LARGE, K.RECALL_REQUESTED]),
    Rule("R3", RED, "Entered an exclusion zone in the last 7 days", [K.EXCLUSION], 7),
    Rule("R4", RED, "Strap tamper without an explanation in the last 72 hours", [K.STRAP_TAMPER], 3),
    Rule("R5", RED, "Two curfew violations without an excuse in 7 days", [K.CURFEW_VIOLATION], 7, 2),
    Rule(
        "R6", RED, "Two unacceptable absences in a row in 14 days", [K.UNACCEPTABLE_ABSENCE], 14, 2, [K.APPOINTMENT_KEPT]
    ),
    Rule("R7", RED, "Accepted intelligence of current offending in the last 14 days", [K.INTELLIGENCE], 14),
    Rule(
        "A1", AMBER, "A curfew violation or an unacceptable absence in the last 14 days",
        [K.CURFEW_VIOLATION, K.UNACCEPTABLE_ABSENCE], 14,
    ),
    Rule("A2", AMBER, "A positive test in the last 28 days", [K.POSITIVE_TEST], 28),
    Rule("A3", AMBER, "Lost housing, work or treatment in the last 28 days", [K.HOUSING_LOST, K.JOB_LOST, K.TREATMENT_LOST], 28),
    Rule(
        "A4", AMBER, "A relationship broke down, or a safeguarding flag, in the last 28 days",
        [K.RELATIONSHIP_BREAKDOWN, K.SAFEGUARDING], 28,
    ),
    Rule("A5", AMBER, "Not monitored for more than 24 hours", [K.NOT_MONITORED]),
    Rule("A6", AMBER, "Released less than 28 days ago", [K.RELEASED], 28),
    Rule("A7", AMBER, "Free of offences for less than 3 months", [K.OFFENCE]),
)  # fmt: skip
"""Ours. What has no number of days counts until its signal expires."""

EXPIRES_DAYS: Final[dict[SignalKind, float]] = {
    K.ARREST: 14, K.CHARGE: 14, K.RECALL_REQUESTED: 14, K.EXCLUSION: 7, K.STRAP_TAMPER: 3, K.CURFEW_VIOLATION: 14,
    K.UNACCEPTABLE_ABSENCE: 14, K.INTELLIGENCE: 14, K.POSITIVE_TEST: 28, K.HOUSING_LOST: 28, K.JOB_LOST: 28,
    K.TREATMENT_LOST: 28, K.RELATIONSHIP_BREAKDOWN: 28, K.SAFEGUARDING: 28, K.NOT_MONITORED: 0, K.RELEASED: 28, K.OFFENCE: 91,
    K.INTO_CUSTODY: 28, K.OTHER_FINDING: 7, K.ALERT: 7, K.APPOINTMENT_KEPT: 14, K.HOUSED: 28, K.IN_WORK: 28, K.IN_TREATMENT: 28,
    K.AT_LARGE: 0,
}  # fmt: skip
"""Days after a signal occurred, or after what it tells of ended, at which it expires (ours). Of what lasts (AT_LARGE,
NOT_MONITORED) it is counted from the end, and there is none while it lasts."""


class Live(NamedTuple):
    """A signal as rules see it. `expires_ms` None: it tells of what lasts. `is_narrow`: only some may read it."""

    item_no: int
    kind: SignalKind
    occurred_ms: int
    expires_ms: int | None
    is_narrow: bool = False

    def counts(self, now_ms: int) -> bool:
        return self.occurred_ms <= now_ms and (self.expires_ms is None or now_ms < self.expires_ms)


class Fired(NamedTuple):
    """A rule with the signals for which it holds."""

    rule: Rule
    signals: tuple[Live, ...]


def fired(rule: Rule, signals: Iterable[Live], now_ms: int) -> Fired | None:
    """Whether a rule holds at an instant, and for which signals."""
    since_ms = -1 if rule.days is None else now_ms - rule.days * DAY_MS
    wanted = sorted(
        (one for one in signals if one.counts(now_ms) and one.kind in (*rule.kinds, *rule.broken_by)),
        key=lambda one: (one.occurred_ms, one.item_no),
    )
    row: list[Live] = []
    for one in wanted:
        if one.kind in rule.broken_by:
            row.clear()
        elif one.expires_ms is None or one.occurred_ms > since_ms or rule.days is None:
            row.append(one)
    return Fired(rule, tuple(row)) if len(row) >= rule.count else None


def what_fires(rules: Sequence[Rule], signals: Sequence[Live], now_ms: int) -> list[Fired]:
    """Rules of the first list that holds, in their order; none: GREEN."""
    for grade in (RED, AMBER):
        found = [one for rule in rules if rule.grade == grade and (one := fired(rule, signals, now_ms)) is not None]
        if found:
            return found
    return []


class Advice(NamedTuple):
    """What the rules propose, and why."""

    grade: RagGrade
    fired: tuple[Fired, ...]
    because: str


def advice(
    rules: Sequence[Rule], signals: Sequence[Live], held: Held | None, least_days: dict[RagGrade, int], now_ms: int
) -> Advice | None:
    """A grade to propose, or None where the one that is held stands. Up by as many steps as the rules say; down one step, when the
    grade was held for long enough and no signal of it is live."""
    found = tuple(what_fires(rules, signals, now_ms))
    live = found[0].rule.grade if found else RagGrade.GREEN
    because = "; ".join(one.rule.words for one in found)
    if held is None:
        return Advice(live, found, because or "No grade was given yet, and no signal is live")
    if not is_down(held.grade, live):
        return None if live == held.grade else Advice(live, found, because)
    lower = may_go_down(held, live, least_days, now_ms)
    if lower is None:
        return None
    days = least_days[held.grade]
    return Advice(lower, found, f"No signal of {held.grade} is live, and it was held for {days} days or more")


def review_due(grade: RagGrade, days: dict[RagGrade, int], custody_days: int | None, given_ms: int) -> int:
    """When a grade is looked at again. `custody_days`: of somebody in custody, instead of those of the grade."""
    return given_ms + (days[grade] if custody_days is None else custody_days) * DAY_MS
