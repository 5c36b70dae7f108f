"""For how long each kind of data is kept, counted in days after the end of a person's last order or activation.

The defaults are ours: the Data Protection Act 2018 (section 39) asks for limits and names none. A file changes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from emtrack.errors import MendableError

LONGEST_DAYS: Final = 36_500


class Kind(StrEnum):
    """Kinds of data that have a rule."""

    POSITIONS = "positions"
    EVENTS = "events"
    RAW_REPORTS = "raw reports"
    QUARANTINE = "quarantine"
    FINDINGS = "findings"
    ALERTS = "alerts"
    LOOKS = "looks"
    CREDENTIAL_EVENTS = "credential events"
    IOM_RECORD = "IOM record"


class Rule(NamedTuple):
    """Kept through the last of `days` days, in the time zone of the deployment."""

    days: int
    reason: str


YEAR: Final = 365
DEFAULTS: Final[Mapping[Kind, Rule]] = {
    Kind.POSITIONS: Rule(
        6 * YEAR, "claims about what monitoring did can be brought for six years (Limitation Act 1980)"
    ),
    Kind.EVENTS: Rule(6 * YEAR, "as positions: findings rest on both, and one without the other tells half"),
    Kind.RAW_REPORTS: Rule(
        YEAR, "what a device sent, byte by byte, answers questions about devices, which come early"
    ),
    Kind.QUARANTINE: Rule(YEAR, "what could not be used is evidence of nothing but the device"),
    Kind.FINDINGS: Rule(6 * YEAR, "as the positions that they rest on"),
    Kind.ALERTS: Rule(6 * YEAR, "what staff did about findings is asked about as long as the findings are"),
    Kind.LOOKS: Rule(7 * YEAR, "who looked must be answerable for longer than there is something to look at"),
    Kind.CREDENTIAL_EVENTS: Rule(
        2 * YEAR, "break-ins are found late; counted from each event, as it is of no wearer"
    ),
    Kind.IOM_RECORD: Rule(
        6 * YEAR, "as findings; probation keeps case records for six years after the end of contact"
    ),
}
"""Ours. Whoever runs a deployment decides, and says so in a file."""


class GivenRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule as a file has it."""

    days: int
    reason: str


class UnfitRules(MendableError, ValueError):
    """A file of rules that cannot be used. The message says what was expected."""


def rules_of(path: Path | None) -> dict[Kind, Rule]:
    """The defaults, less what the file says otherwise. Raises UnfitRules, or OSError."""
    if path is None:
        return dict(DEFAULTS)
    try:
        given = msgspec.json.decode(path.read_bytes(), type=dict[str, GivenRule])
    except msgspec.DecodeError as error:
        raise UnfitRules(f'{path}: {error}; expected {{"positions": {{"days": 365, "reason": "…"}}}}') from error
    return {**DEFAULTS, **{_kind(path, name): _rule(path, name, rule) for name, rule in given.items()}}


def _kind(path: Path, name: str) -> Kind:
    try:
        return Kind(name)
    except ValueError:
        raise UnfitRules(f"{path}: {name[:60]!r} is no kind; expected one of {', '.join(Kind)}") from None


def _rule(path: Path, name: str, given: GivenRule) -> Rule:
    if not 0 <= given.days <= LONGEST_DAYS or not given.reason.strip():
        raise UnfitRules(f"{path}: {name}: expected days from 0 to {LONGEST_DAYS:,}, and a reason")
    return Rule(given.days, given.reason)


def ended_before(now: datetime, days: int, timezone: str) -> datetime:
    """What ended before this instant may go: `days` whole days of the deployment's time zone lie between the day of its end and the
    day that is now. On the last of them it is kept."""
    zone = ZoneInfo(timezone)
    first_kept_day = now.astimezone(zone).date() - timedelta(days=days)
    return datetime(first_kept_day.year, first_kept_day.month, first_kept_day.day, tzinfo=zone).astimezone(UTC)
