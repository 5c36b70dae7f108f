"""IOM records of the invented wearers: cohort, grade and its history, pathways, partners, who leads. All of it made up.

The parts of a record follow from each other as they do in a programme. The cohort says what somebody is selected for; that
shifts the pathways and the MAPPA category; the pathways bring the partners in; a grade stands at the end of a history of
grades, each with a reason of the direction in which it went. Whoever is prone to break an order is graded so more often.
Partners are kinds of agency, never a named one; ids have forms that no real system gives.
"""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

from emtrack.emulator.chance import dice, draw
from emtrack.emulator.schedule import DAY_MS, HOUR_MS, MINUTE_MS, iso_of

GRADES = ("GREEN", "AMBER", "RED")
"""Ascending: a change goes one step up or down."""
GRADES_OF_PRONE = ((0.45, "RED"), (0.40, "AMBER"), (0.15, "GREEN"))

PATHWAYS = (
    "ACCOMMODATION",
    "EDUCATION_TRAINING_EMPLOYMENT",
    "HEALTH",
    "DRUGS_ALCOHOL",
    "FINANCE",
    "RELATIONSHIPS_FAMILY",
    "ATTITUDES_THINKING_BEHAVIOUR",
)
# Chance of each pathway, in the order above.
ACQUISITIVE = (0.50, 0.45, 0.25, 0.70, 0.55, 0.15, 0.40)
DOMESTIC = (0.25, 0.25, 0.25, 0.35, 0.20, 0.85, 0.70)
OTHER = (0.35, 0.35, 0.30, 0.40, 0.30, 0.35, 0.50)

POLICE, PROBATION = "Police", "Probation Service"
# Partners that a pathway can bring in, each with its chance.
PARTNERS: dict[str, tuple[tuple[float, str], ...]] = {
    "ACCOMMODATION": ((0.8, "Council housing team"), (0.3, "Supported accommodation provider")),
    "EDUCATION_TRAINING_EMPLOYMENT": ((0.7, "Jobcentre"), (0.4, "Employment and training provider")),
    "HEALTH": ((0.7, "Community mental health service"), (0.3, "Primary care liaison")),
    "DRUGS_ALCOHOL": ((0.9, "Drug and alcohol service"),),
    "FINANCE": ((0.7, "Debt and money advice service"), (0.3, "Jobcentre")),
    "RELATIONSHIPS_FAMILY": ((0.5, "Children's services"), (0.4, "Family support service")),
    "ATTITUDES_THINKING_BEHAVIOUR": ((0.4, "Peer mentoring service"),),
}
OF_DOMESTIC = ((0.8, "Domestic abuse service"), (0.3, "Victim liaison unit"))
YOUTH, PRISON = "Youth Justice Service", "Prison offender management unit"
YOUNG_SHARE, FROM_PRISON_SHARE = 0.06, 0.25
DOMESTIC_SHARE = 0.6  # of the cohort FLEX

WORSE = (
    "missed two appointments",
    "arrested on suspicion of theft, no charge yet",
    "positive drug test",
    "lost accommodation, sofa surfing",
    "late for curfew three times in a week",
    "intelligence of contact with former associates",
    "stopped engaging with the drug service",
    "relationship broke down",
    "lost job",
    "warning letter issued after a missed appointment",
)
BETTER = (
    "settled in new accommodation",
    "keeps appointments, negative tests for six weeks",
    "started work",
    "engages with the drug and alcohol service",
    "no breach for two months",
    "completed the thinking skills course",
    "family supportive, stable at home",
    "debt plan agreed and kept",
    "back in contact after a new start with the case officer",
)
FIRST = (
    "selection meeting",
    "released on licence, selected before release",
    "transferred in from another area",
    "selected after sentence",
)

# fmt: off
OFFICER_GIVEN = (
    "Ansel", "Brenna", "Carrow", "Dilys", "Emmet", "Fallon", "Greer", "Hester", "Isolde", "Joss", "Kerrin", "Linnet",
    "Maddoc", "Nerys", "Oswin", "Petra", "Rhosyn", "Silas", "Thea", "Wilmot",
)
OFFICER_FAMILY = (
    "Ashlock", "Birchill", "Coldwell", "Dunmere", "Everholt", "Farlow", "Greybank", "Hexley", "Ingmoor", "Keldon",
    "Lowther-Vane", "Marrick", "Northay", "Oakhanger", "Penhallow", "Ravenhill", "Stanmore", "Tolworthy", "Underbank",
    "Wetherlow",
)
# fmt: on
ROUND = 73
"""So many wearers in a row share two lead officers; 730 make ten rounds."""
CASELOAD = (33, 40)


class Drawn(NamedTuple):
    """What a wearer's own chance gave before the record is written."""

    cohort: str
    rag: str
    mappa_category: int | None
    mappa_level: int | None


class Officer(NamedTuple):
    """Who leads a case, and for which agency."""

    name: str
    agency: str


def draw_iom(rng: Random) -> Drawn:
    """Drawn where a wearer is made, in this order, from the wearer's own chance."""
    category = rng.choice((None, None, 1, 2, 3))
    cohort = rng.choices(("FIXED", "FLEX", "FREE"), (6, 3, 1))[0]
    rag = rng.choices(("RED", "AMBER", "GREEN"), (2, 4, 4))[0]
    level = None if category is None else rng.choices((1, 2, 3), (7, 2, 1))[0]
    return Drawn(cohort, rag, category, level)


def iom_record(seed: int, number: int, drawn: Drawn, *, prone: bool, start_ms: int) -> dict[str, Any]:
    """The record of one wearer as orders.json has it; its dates lie before `start_ms`."""
    rng = dice(seed, "iom", number)
    domestic = drawn.cohort == "FLEX" and rng.random() < DOMESTIC_SHARE
    rag = draw(rng, GRADES_OF_PRONE) if prone else drawn.rag
    category, level = _mappa(rng, drawn, rag, domestic)
    pathways = _pathways(rng, drawn.cohort, domestic)
    officer = officer_of(seed, number)
    return {
        "pnc": f"DEMO/{number:07d}P",
        "crn": f"DEMO-X{number:06d}",
        "nomis": f"DEMO-A{number:05d}ZZ",
        "ecins": f"DEMO-E{number:06d}",
        "cohort": drawn.cohort,
        "rag": rag,
        "rag_history": _history(rng, rag, officer, start_ms),
        "mappa_category": category,
        "mappa_level": level,
        "pathways": pathways,
        "agencies": _agencies(rng, pathways, domestic),
        "lead_officer": officer.name,
        "lead_agency": officer.agency,
    }


def _mappa(rng: Random, drawn: Drawn, rag: str, domestic: bool) -> tuple[int | None, int | None]:
    """Violence of a partner is category 2 or 3; theft is rarely managed so at all. Level 3 only with RED."""
    category = drawn.mappa_category
    if domestic:
        category = rng.choices((2, 3, None), (5, 3, 3))[0]
    elif drawn.cohort == "FIXED":
        category = 3 if category == 3 and rng.random() < 0.4 else None
    if category is None:
        return None, None
    level = drawn.mappa_level or rng.choices((1, 2), (3, 1))[0]
    return category, level if level < 3 or rag == "RED" else 2


def _pathways(rng: Random, cohort: str, domestic: bool) -> list[str]:
    chances = DOMESTIC if domestic else ACQUISITIVE if cohort == "FIXED" else OTHER
    found = [name for name, chance in zip(PATHWAYS, chances, strict=True) if rng.random() < chance]
    return found or [PATHWAYS[max(range(len(PATHWAYS)), key=lambda k: chances[k])]]


def _agencies(rng: Random, pathways: list[str], domestic: bool) -> list[str]:
    """Police and probation are always there; the rest is brought in by what somebody needs."""
    possible = [partner for pathway in pathways for partner in PARTNERS[pathway]]
    possible += OF_DOMESTIC if domestic else ()
    possible += ((YOUNG_SHARE, YOUTH), (FROM_PRISON_SHARE, PRISON))
    found = [name for chance, name in possible if rng.random() < chance]
    return list(dict.fromkeys([POLICE, PROBATION, *found]))


def _history(rng: Random, rag: str, officer: Officer, start_ms: int) -> list[dict[str, Any]]:
    """One to five grades, each a step from the one before, over the months before the start; the last is `rag`."""
    grades = [rag]
    for _ in range(rng.choices((0, 1, 2, 3, 4), (15, 30, 28, 17, 10))[0]):
        place = GRADES.index(grades[0])
        neighbours = [GRADES[k] for k in (place - 1, place + 1) if 0 <= k < len(GRADES)]
        grades.insert(0, rng.choice(neighbours))
    at_ms = _instants(rng, len(grades), start_ms)
    return [
        {"grade": grade, "from": iso_of(at), "reason": _reason(rng, before, grade), "by": officer.name}
        for before, grade, at in zip([None, *grades], grades, at_ms, strict=False)
    ]


def _instants(rng: Random, count: int, start_ms: int) -> list[int]:
    """Office hours of different days, three to 270 days before the start, ascending."""
    days = sorted(rng.sample(range(3, 270), count), reverse=True)
    midnight_ms = start_ms // DAY_MS * DAY_MS
    return [midnight_ms - day * DAY_MS + 9 * HOUR_MS + rng.randrange(8 * 60) * MINUTE_MS for day in days]


def _reason(rng: Random, before: str | None, grade: str) -> str:
    if before is None:
        return rng.choice(FIRST)
    return rng.choice(WORSE if GRADES.index(grade) > GRADES.index(before) else BETTER)


def officer_of(seed: int, number: int) -> Officer:
    """Who leads the case of a wearer: of every `ROUND` wearers one part is led by the police, the other by probation."""
    turn, place = divmod(number - 1, ROUND)
    rng = dice(seed, "caseload", turn)
    cases = list(range(ROUND))
    rng.shuffle(cases)
    by_police = cases.index(place) < rng.randint(*CASELOAD)
    return Officer(_officer_name(seed, 2 * turn + by_police), POLICE if by_police else PROBATION)


def _officer_name(seed: int, ordinal: int) -> str:
    """Different for every officer; past the supply (400) names come again."""
    supply = [f"{given} {family}" for given in OFFICER_GIVEN for family in OFFICER_FAMILY]
    dice(seed, "officers").shuffle(supply)
    return supply[ordinal % len(supply)]
