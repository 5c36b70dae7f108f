"""The IOM record as orders.json carries it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from emtrack.forms.moment import Moment
from emtrack.forms.strict import Form


class RagGrade(StrEnum):
    RED = "RED"
    AMBER = "AMBER"
    GREEN = "GREEN"


class Cohort(StrEnum):
    """Neighbourhood and acquisitive crime; local choice; local discretion."""

    FIXED = "FIXED"
    FLEX = "FLEX"
    FREE = "FREE"


class Pathway(StrEnum):
    """Criminogenic pathways: what helps a person to stop."""

    ACCOMMODATION = "ACCOMMODATION"
    EDUCATION_TRAINING_EMPLOYMENT = "EDUCATION_TRAINING_EMPLOYMENT"
    HEALTH = "HEALTH"
    DRUGS_ALCOHOL = "DRUGS_ALCOHOL"
    FINANCE = "FINANCE"
    RELATIONSHIPS_FAMILY = "RELATIONSHIPS_FAMILY"
    ATTITUDES_THINKING_BEHAVIOUR = "ATTITUDES_THINKING_BEHAVIOUR"


class RagForm(Form, frozen=True):
    grade: RagGrade
    from_: Moment = field(name="from")
    reason: str | None = None
    by: str | None = None


class IomForm(Form, frozen=True):
    """The IOM record: ids in the systems of partners, and what the programme knows. `rag` is the grade that holds now;
    with `rag_history` (ascending) it is the last of them."""

    pnc: str | None = None
    crn: str | None = None
    nomis: str | None = None
    ecins: str | None = None
    cohort: Cohort | None = None
    rag: RagGrade | None = None
    rag_history: list[RagForm] = []
    mappa_category: Annotated[int, Meta(ge=1, le=4)] | None = None
    mappa_level: Annotated[int, Meta(ge=1, le=3)] | None = None
    pathways: list[Pathway] = []
    agencies: list[str] = []
    lead_officer: str | None = None
    lead_agency: str | None = None
