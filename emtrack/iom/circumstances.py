"""A circumstance: housing, work, treatment and such, from when to when. Feeds needs and signals."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from emtrack.iom.noun import Content, Noun
from emtrack.iom.states import states


class CircumstanceKind(StrEnum):
    HOUSING = "HOUSING"
    WORK = "WORK"
    TREATMENT = "TREATMENT"
    RELATIONSHIP = "RELATIONSHIP"
    OTHER = "OTHER"


class Circumstance(Content, frozen=True):
    """`ended_well`: it came to its end as planned, such as a treatment that was completed; None: nobody said, or it lasts."""

    kind: CircumstanceKind
    what: str
    source: str | None = None
    ended_well: bool | None = None


CIRCUMSTANCE: Final = Noun(
    "circumstance", Circumstance, states("STATED", {"STATED": "WITHDRAWN", "WITHDRAWN": ""}), holds=True
)
