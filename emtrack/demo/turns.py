"""How a life turns for the worse and for the better, and what each turn is called, noted and done about."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

POLICE, PROBATION = "Police", "Probation Service"
HOUSING, DRUGS, HEALTH = "Council housing team", "Drug and alcohol service", "Community mental health service"
JOBCENTRE, DEBT, FAMILY, MENTORS = (
    "Jobcentre",
    "Debt and money advice service",
    "Family support service",
    "Peer mentoring service",
)


class TurnKind(StrEnum):
    MISSED = "MISSED"
    KEPT = "KEPT"
    CHARGED = "CHARGED"
    POSITIVE = "POSITIVE"
    NEGATIVE = "NEGATIVE"
    TREATMENT_LEFT = "TREATMENT_LEFT"
    TREATMENT_BEGUN = "TREATMENT_BEGUN"
    BED_LOST = "BED_LOST"
    BED_FOUND = "BED_FOUND"
    JOB_LOST = "JOB_LOST"
    JOB_FOUND = "JOB_FOUND"
    CARE_LEFT = "CARE_LEFT"
    CARE_BEGUN = "CARE_BEGUN"
    FELL_OUT = "FELL_OUT"
    MADE_UP = "MADE_UP"
    ARREARS = "ARREARS"
    DEBT_PLAN = "DEBT_PLAN"
    ASSOCIATES = "ASSOCIATES"
    COURSE = "COURSE"


class TurnWords(NamedTuple):
    """`need`: the pathway that it is of; None: of none. `words`: of a grade that follows. `note`: what is written down, by `agency`,
    as a note of `about`. `task`: what somebody is then to do. `completes`: the step of the plan is done with it."""

    need: str | None
    is_better: bool
    words: str
    about: str
    agency: str
    note: str
    task: str | None = None
    completes: bool = False


K = TurnKind
TURNS: Final[Mapping[TurnKind, TurnWords]] = {
    K.MISSED: TurnWords(
        None, False, "missed two appointments in a row", "appointment", PROBATION,
        "Did not come, for the second time in a row; no excuse given.", "Send the warning letter, and visit",
    ),
    K.KEPT: TurnWords(
        None, True, "kept every appointment for six weeks", "appointment", PROBATION,
        "Came on time again: every appointment of the last six weeks was kept.",
    ),
    K.CHARGED: TurnWords(
        None, False, "charged", "crime", POLICE, "The plan has to be looked at again.",
        "Look at the plan again after the charge",
    ),
    K.POSITIVE: TurnWords(
        "DRUGS_ALCOHOL", False, "positive test", "test", DRUGS, "Test positive. Says it was once, at the weekend.",
        "Bring the next appointment forward",
    ),
    K.NEGATIVE: TurnWords(
        "DRUGS_ALCOHOL", True, "negative tests for six weeks", "test", DRUGS, "Test negative, as all tests of the last six weeks.",
    ),
    K.TREATMENT_LEFT: TurnWords(
        "DRUGS_ALCOHOL", False, "stopped the treatment", "treatment", DRUGS, "Has not come to the treatment for a fortnight.",
        "Offer another start of the treatment",
    ),
    K.TREATMENT_BEGUN: TurnWords(
        "DRUGS_ALCOHOL", True, "began the treatment", "treatment", DRUGS, "Began the treatment, and came to the first sessions.",
    ),
    K.BED_LOST: TurnWords(
        "ACCOMMODATION", False, "lost their place, stays with friends", "housing", HOUSING,
        "Lost their place over arrears and stays with friends. No address for a curfew at the moment.", "Find a place to live",
    ),
    K.BED_FOUND: TurnWords(
        "ACCOMMODATION", True, "moved into a place of their own", "housing", HOUSING,
        "Moved in. The address fits a curfew; the landlord knows of the tag.", completes=True,
    ),
    K.JOB_LOST: TurnWords(
        "EDUCATION_TRAINING_EMPLOYMENT", False, "lost the job", "work", JOBCENTRE, "The job ended; the firm had no more work.",
        "Appointment about new work",
    ),
    K.JOB_FOUND: TurnWords(
        "EDUCATION_TRAINING_EMPLOYMENT", True, "started work", "work", JOBCENTRE, "Started work, Monday to Friday.", completes=True,
    ),
    K.CARE_LEFT: TurnWords(
        "HEALTH", False, "no longer sees the mental health team", "health", HEALTH,
        "Missed the clinic twice and does not answer calls.",
        "Ask the mental health team for a visit",
    ),
    K.CARE_BEGUN: TurnWords(
        "HEALTH", True, "sees the mental health team", "health", HEALTH, "Came to the clinic, and will come every other week.",
    ),
    K.FELL_OUT: TurnWords(
        "RELATIONSHIPS_FAMILY", False, "the relationship broke down", "family", FAMILY,
        "Quarrel at home; the partner wants to be left alone.",
        "Speak with both, apart from each other",
    ),
    K.MADE_UP: TurnWords(
        "RELATIONSHIPS_FAMILY", True, "stable with the family", "family", FAMILY, "The family supports them; visits go well.",
    ),
    K.ARREARS: TurnWords(
        "FINANCE", False, "new debts", "money", DEBT, "Three letters about debts, none opened.", "Go through the letters together",
    ),
    K.DEBT_PLAN: TurnWords(
        "FINANCE", True, "debt plan agreed and kept", "money", DEBT, "Debt plan agreed; the first payments came.", completes=True,
    ),
    K.ASSOCIATES: TurnWords(
        "ATTITUDES_THINKING_BEHAVIOUR", False, "back with those they offended with", "visit", MENTORS,
        "Speaks of little else than old friends; did not want to talk about the course.", "A mentor meets them this week",
    ),
    K.COURSE: TurnWords(
        "ATTITUDES_THINKING_BEHAVIOUR", True, "completed the thinking skills course", "course", MENTORS,
        "Completed the thinking skills course, with a good word of the tutor.", completes=True,
    ),
}  # fmt: skip
KINDS_WHILE_WORN: Final = (
    K.MISSED, K.KEPT, K.POSITIVE, K.NEGATIVE, K.CARE_LEFT, K.CARE_BEGUN, K.FELL_OUT, K.MADE_UP, K.ARREARS, K.DEBT_PLAN, K.ASSOCIATES,
    K.COURSE,
)  # fmt: skip
"""What a tag denies is not among them: a bed, work and treatment that it would show as lost or begun."""
COURSES: Final = frozenset({K.COURSE})
"""Once in a life."""
ALWAYS: Final = frozenset({K.MISSED, K.KEPT, K.POSITIVE, K.NEGATIVE, K.ASSOCIATES, K.COURSE})
"""They may come whatever was before; of the others a loss comes only to who had it, a gain to who had not."""


class Turn(NamedTuple):
    """`offence`: of a charge, its kind."""

    kind: TurnKind
    at_ms: int
    offence: str | None = None

    @property
    def is_better(self) -> bool:
        return TURNS[self.kind].is_better

    @property
    def need(self) -> str | None:
        return TURNS[self.kind].need

    @property
    def words(self) -> str:
        told = TURNS[self.kind].words
        return told if self.offence is None else f"{told} with {self.offence.lower().replace('_', ' ')}"


def turns_of_needs(kinds: Sequence[TurnKind], needs: Collection[str], is_better: bool) -> list[TurnKind]:
    """Those of the needs that somebody has, and those of none; a charge follows from an offence only."""
    return [
        kind
        for kind in kinds
        if TURNS[kind].is_better is is_better
        and (TURNS[kind].need is None or TURNS[kind].need in needs)
        and kind is not K.CHARGED
    ]


def may_follow(kind: TurnKind, is_well: Mapping[str, bool]) -> bool:
    need = TURNS[kind].need
    return kind in ALWAYS or need is None or is_well[need] is not TURNS[kind].is_better
