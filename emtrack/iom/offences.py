"""An offence: when it was committed, of which kind, what came of it and when it was proven. Feeds the graphs and the measures."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Final

from emtrack.iom.noun import Content, Noun
from emtrack.iom.states import states


class OffenceKind(StrEnum):
    """As the crime harm index of the programme counts."""

    ROBBERY = "ROBBERY"
    RESIDENTIAL_BURGLARY = "RESIDENTIAL_BURGLARY"
    VIOLENCE_WITH_INJURY = "VIOLENCE_WITH_INJURY"
    VEHICLE = "VEHICLE"
    THEFT_FROM_PERSON = "THEFT_FROM_PERSON"
    SHOPLIFTING = "SHOPLIFTING"
    CRIMINAL_DAMAGE = "CRIMINAL_DAMAGE"
    OTHER = "OTHER"


HARM_INDEX: Final = "crime harm index, version 2026-11"
HARM_DAYS: Final = {
    OffenceKind.ROBBERY: 365.0, OffenceKind.RESIDENTIAL_BURGLARY: 273.5, OffenceKind.VIOLENCE_WITH_INJURY: 365.0,
    OffenceKind.VEHICLE: 5.0, OffenceKind.THEFT_FROM_PERSON: 2.0, OffenceKind.SHOPLIFTING: 1.0, OffenceKind.CRIMINAL_DAMAGE: 2.0,
    OffenceKind.OTHER: 0.0,
}  # fmt: skip
"""One index, its version named. OTHER has no figure there and adds nothing; how many there are is shown beside the sum."""


class OffenceOutcome(StrEnum):
    ARRESTED = "ARRESTED"
    CHARGED = "CHARGED"
    CONVICTED = "CONVICTED"
    CAUTIONED = "CAUTIONED"
    DROPPED = "DROPPED"


PROVEN: Final = frozenset({OffenceOutcome.CONVICTED, OffenceOutcome.CAUTIONED})


class Offence(Content, frozen=True):
    """`arrested_ms`, `charged_ms`: when, in milliseconds. `is_non_custodial`: of a conviction, whether the sentence was."""

    kind: OffenceKind
    outcome: OffenceOutcome
    what: str | None = None
    arrested_ms: int | None = None
    charged_ms: int | None = None
    proven_on: date | None = None
    is_non_custodial: bool | None = None


OFFENCE: Final = Noun("offence", Offence, states("STATED", {"STATED": "WITHDRAWN", "WITHDRAWN": ""}), happens=True)


def trouble_with(content: Offence) -> str | None:
    if content.outcome in PROVEN and content.proven_on is None:
        return f"an offence that is {content.outcome} says on which day it was proven (proven_on)"
    return None
