"""A signal: something that happened and says for a while that somebody is more, or less, likely to offend.

It has a source and it expires: nothing counts for ever. A withdrawn finding withdraws its signal, which stays to be seen; an excused
violation excuses it. When it occurred is `occurred_ms`, when it expires `due_ms`; when it was known stands in its content.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from emtrack.iom.noun import Content, Noun
from emtrack.iom.states import states


class SignalKind(StrEnum):
    """What happened."""

    ARREST = "ARREST"
    CHARGE = "CHARGE"
    AT_LARGE = "AT_LARGE"
    RECALL_REQUESTED = "RECALL_REQUESTED"
    EXCLUSION = "EXCLUSION"
    STRAP_TAMPER = "STRAP_TAMPER"
    CURFEW_VIOLATION = "CURFEW_VIOLATION"
    UNACCEPTABLE_ABSENCE = "UNACCEPTABLE_ABSENCE"
    INTELLIGENCE = "INTELLIGENCE"
    POSITIVE_TEST = "POSITIVE_TEST"
    HOUSING_LOST = "HOUSING_LOST"
    JOB_LOST = "JOB_LOST"
    TREATMENT_LOST = "TREATMENT_LOST"
    RELATIONSHIP_BREAKDOWN = "RELATIONSHIP_BREAKDOWN"
    SAFEGUARDING = "SAFEGUARDING"
    NOT_MONITORED = "NOT_MONITORED"
    RELEASED = "RELEASED"
    OFFENCE = "OFFENCE"
    INTO_CUSTODY = "INTO_CUSTODY"
    OTHER_FINDING = "OTHER_FINDING"
    ALERT = "ALERT"
    APPOINTMENT_KEPT = "APPOINTMENT_KEPT"
    HOUSED = "HOUSED"
    IN_WORK = "IN_WORK"
    IN_TREATMENT = "IN_TREATMENT"


class Direction(StrEnum):
    UP = "UP"
    DOWN = "DOWN"


DOWN: Final = frozenset({
    SignalKind.APPOINTMENT_KEPT, SignalKind.HOUSED, SignalKind.IN_WORK, SignalKind.IN_TREATMENT, SignalKind.INTO_CUSTODY,
})  # fmt: skip


class Signal(Content, frozen=True):
    """`known_ms`: when it was known, in milliseconds. `because`: in words, as the row shows it. `why`: of an end, why it ended."""

    kind: SignalKind
    direction: Direction
    because: str
    known_ms: int | None = None
    finding_no: int | None = None
    alert_no: int | None = None
    entry_no: int | None = None
    why: str | None = None


STATES: Final = states(
    "LIVE EXCUSED",
    {"LIVE": "WITHDRAWN EXCUSED", "EXCUSED": "LIVE WITHDRAWN", "WITHDRAWN": "LIVE EXCUSED"},
)
"""A finding that is withdrawn may come back, and an excuse may be taken back."""
SIGNAL: Final = Noun("signal", Signal, STATES, happens=True, is_due=True, may_be_narrow=True)
