"""Settings of the programme: rules, days, and mappings of codes; a table of versions, of which the newest counts. All
numbers are
ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta, field

from emtrack.errors import MendableError
from emtrack.forms.iom import RagGrade
from emtrack.iom.costs import COSTS_OF, UNIT_COSTS, Pounds, UnitCost
from emtrack.iom.offences import OffenceKind
from emtrack.iom.rules import DEFAULT_RULES, Rule
from emtrack.iom.transitions import RELEASE_TASKS, ReleaseTask
from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

Days = Annotated[int, Meta(ge=1, le=3650)]

REVIEW_DAYS: Final = {RagGrade.RED: 7, RagGrade.AMBER: 14, RagGrade.GREEN: 28}
LEAST_DAYS: Final = {RagGrade.RED: 14, RagGrade.AMBER: 28, RagGrade.GREEN: 1}
COHORT_OFFENCES: Final = (
    OffenceKind.ROBBERY, OffenceKind.RESIDENTIAL_BURGLARY, OffenceKind.VEHICLE, OffenceKind.THEFT_FROM_PERSON,
)  # fmt: skip

NEWEST = "SELECT version_no, content FROM iom_settings ORDER BY version_no DESC LIMIT 1"
NEW = """
INSERT INTO iom_settings (content, recorded_at, recorded_by) VALUES ($1, $2, $3) RETURNING version_no
"""


class ProgrammeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`review_days`: after which a grade is looked at again. `least_days`: for which a grade is held before it goes down at a review.
    `answer_hours`: after which a proposal that nobody answers is a task. `cohort_offences`: arrests and charges for which RED is
    proposed. `grade_of_code`: which code of another system means which grade; not public, so none is known. `police_agencies`: who
    reads police intelligence. `yearly_cost`: pounds that twelve months of the programme cost; None: nobody said. `unit_costs`: of a
    crime, `unit_costs_of`: where they are from, and prices of which year. `chair`: accounts that are told of a task a working day
    after it was due. `release_tasks`: what a release opens, and when."""

    rules: tuple[Rule, ...] = DEFAULT_RULES
    review_days: dict[RagGrade, Days] = field(default_factory=lambda: dict(REVIEW_DAYS))
    custody_review_days: Days = 90
    least_days: dict[RagGrade, Days] = field(default_factory=lambda: dict(LEAST_DAYS))
    answer_hours: Days = 24
    cohort_offences: tuple[OffenceKind, ...] = COHORT_OFFENCES
    grade_of_code: dict[str, RagGrade] = {}
    police_agencies: tuple[str, ...] = ("Police",)
    yearly_cost: Pounds | None = None
    unit_costs: dict[OffenceKind, UnitCost] = field(default_factory=lambda: dict(UNIT_COSTS))
    unit_costs_of: str = COSTS_OF
    chair: tuple[str, ...] = ()
    release_tasks: tuple[ReleaseTask, ...] = RELEASE_TASKS


class UnfitSettings(MendableError, ValueError):
    """Settings that do not fit. The message says where."""

    exit_code = 2


class InForce(NamedTuple):
    """Settings with the number of their version; 0: the defaults."""

    version: int
    settings: ProgrammeSettings


async def load_settings(connection: Connection) -> InForce:
    row = await connection.fetchrow(NEWEST)
    if row is None:
        return InForce(0, ProgrammeSettings())
    return InForce(row["version_no"], msgspec.convert(row["content"], ProgrammeSettings))


async def enter_settings(connection: Connection, given: Any, who: str, now_ms: int) -> int:
    """A new version, whole; what is left out is as by default. Its number. Raises UnfitSettings."""
    try:
        settings = msgspec.convert(given, ProgrammeSettings)
    except msgspec.ValidationError as error:
        raise UnfitSettings(f"settings of the programme: {error}") from error
    for name in ("review_days", "least_days"):
        if missing := set(RagGrade) - set(getattr(settings, name)):
            raise UnfitSettings(f"settings of the programme: {name} says nothing of {', '.join(sorted(missing))}")
    codes = [rule.code for rule in settings.rules]
    if len(set(codes)) < len(codes):
        raise UnfitSettings("settings of the programme: two rules have one code")
    number: int = await connection.fetchval(NEW, settings, datetime_of(now_ms), who)
    return number
